// Run by `firn rules build`, in Node, on rules.js: reads it and what it imports, without running any of it. Gives as
// JSON what it exports and which files it is made of; or says what is wrong, with file and line.
const { SourceTextModule, SyntheticModule } = require("node:vm");
const { spawnSync } = require("node:child_process");
const { readFileSync } = require("node:fs");
const { dirname, relative, resolve } = require("node:path");

const read = new Map();

function load(file, from) {
  const known = read.get(file);
  if (known) return known;
  const name = relative(process.cwd(), file);
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const hint = /\.m?js$/.test(name) ? "" : `; is it ${name}.js?`;
    throw new Error(`${from} imports ${name}, which cannot be read: ${error.code ?? error.message}${hint}`);
  }
  let module;
  try {
    module = new SourceTextModule(text, { identifier: name });
  } catch (error) {
    // That one names line and column.
    const { stderr } = spawnSync(process.execPath, ["--check", file], { encoding: "utf8" });
    throw new Error(`${name} cannot be read:\n${stderr?.split("\n    at ")[0].trim() || error.message}`);
  }
  read.set(file, module);
  return module;
}

function link(specifier, from) {
  if (/^firn:rules\/log(@0\.1\.\d+)?$/.test(specifier)) return new SyntheticModule(["line"], () => {});
  if (specifier.startsWith("./") || specifier.startsWith("../"))
    return load(resolve(dirname(from.identifier), specifier), from.identifier);
  throw new Error(
    `${from.identifier} imports ${specifier}; there are firn:rules/log@0.1.0 and files of the project ("./words.js"), nothing else`,
  );
}

(async () => {
  const entry = load(resolve("rules.js"), "Firn");
  await entry.link(link);
  const files = [...read.keys()].map((file) => relative(process.cwd(), file));
  console.log(JSON.stringify({ exports: Reflect.ownKeys(entry.namespace).filter((name) => typeof name === "string"), files }));
})().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
