// Replays golden transcripts in Node, through the package as its users install it.
//
// usage: replay.mjs core.jsonl types.json
//
// Prints {"run", "passed", "differences"}. What a component's values look like as JSON is said in
// tests/src/golden/mod.rs; types.json tells the functions' types, which JavaScript cannot ask for.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import * as core from "firn-core";

const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());

/** A transcript's value as the package takes it. */
function fromJson(value, type) {
  if (type === "wide") return BigInt(value);
  if (typeof type === "string") return value;
  const [[kind, inside]] = Object.entries(type);
  switch (kind) {
    case "list":
      return value.map((item) => fromJson(item, inside));
    case "tuple":
      return value.map((item, i) => fromJson(item, inside[i]));
    case "record":
      return Object.fromEntries(inside.map(([name, ty]) => [camel(name), fromJson(value[name], ty)]));
    case "option":
      return value === null ? undefined : fromJson(value, inside);
    case "variant": {
      const [[tag, payload]] = Object.entries(value);
      const ty = inside.find(([name]) => name === tag)[1];
      return ty === null ? { tag } : { tag, val: fromJson(payload, ty) };
    }
    default:
      return value;
  }
}

/** What the package gave as a transcript has it. */
function toJson(value, type) {
  if (type === "wide") return Number(value);
  if (typeof type === "string") return value;
  const [[kind, inside]] = Object.entries(type);
  switch (kind) {
    case "list":
      return Array.from(value, (item) => toJson(item, inside));
    case "tuple":
      return value.map((item, i) => toJson(item, inside[i]));
    case "record":
      return Object.fromEntries(inside.map(([name, ty]) => [name, toJson(value[camel(name)], ty)]));
    case "option":
      return value === undefined ? null : toJson(value, inside);
    case "variant": {
      const ty = inside.find(([name]) => name === value.tag)[1];
      return { [value.tag]: ty === null ? null : toJson(value.val, ty) };
    }
    default:
      return value;
  }
}

function asked(call, { parameters, result }) {
  const given = call.arguments.map((argument, i) => fromJson(argument, parameters[i]));
  const fallible = typeof result === "object" && "result" in result ? result.result : undefined;
  try {
    const answer = core[call.interface][camel(call.function)](...given);
    return fallible ? { ok: toJson(answer, fallible[0]) } : toJson(answer, result);
  } catch (error) {
    if (!fallible || !("payload" in error)) throw error;
    return { error: toJson(error.payload, fallible[1]) };
  }
}

const [transcripts, types] = process.argv.slice(2);
const functions = JSON.parse(readFileSync(types, "utf8"));
const differences = [];
let run = 0;
for (const line of readFileSync(transcripts, "utf8").split("\n").filter((l) => l.trim())) {
  const call = JSON.parse(line);
  const type = functions.find((f) => f.interface === call.interface && f.name === call.function);
  run += 1;
  const answer = asked(call, type);
  try {
    assert.deepStrictEqual(answer, call.answer);
  } catch {
    const [got, wanted] = [JSON.stringify(answer), JSON.stringify(call.answer)];
    differences.push(`${call.interface}.${call.function}: ${got} and not ${wanted}`);
  }
}
console.log(JSON.stringify({ run, passed: run - differences.length, differences }));
