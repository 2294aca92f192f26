// Written by `firn rules build`; changes here are lost. It stands between Firn and rules.js: what may be missing is
// undefined, and what is wrong with an answer is said in words, with the line of rules.js if there is one.
import "./before.js";
import * as own from "../rules.js";

const kind = (value) => {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  if (value === undefined) return "nothing (is there a return?)";
  return typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : `${typeof value} ${String(value)}`;
};

const fail = (hook, text) => {
  throw new Error(`${hook} answered ${text}`);
};

/** Texts go over as UTF-8, in which half of a character cannot be written. */
const whole = (hook, text) => {
  if (typeof text === "string" && /\p{Surrogate}/u.test(text))
    fail(hook, `${JSON.stringify(text.slice(0, 80))}, which has half of a character in it (was it cut with slice?)`);
  return text;
};

const optional = (value) => value ?? undefined;

/** `{ tag, val }`: one of these, each with or without a text. */
const variant = (cases) => (hook, answer) => {
  const names = Object.keys(cases).join(", ");
  if (typeof answer !== "object" || answer === null || Array.isArray(answer))
    fail(hook, `${kind(answer)}; it is { tag: ... } with one of ${names}`);
  const { tag, val, ...more } = answer;
  if (!Object.hasOwn(cases, tag ?? "")) fail(hook, `the tag ${kind(tag)}; there are ${names}`);
  const [other] = Object.keys(more);
  if (other !== undefined) fail(hook, `${other} beside the tag; there are tag and val`);
  if (cases[tag] && typeof val !== "string") fail(hook, `${tag} with val ${kind(val)}; it is a text`);
  if (!cases[tag] && val !== undefined && val !== null) fail(hook, `${tag} with a val; it has none`);
  return cases[tag] ? { tag, val: whole(hook, val) } : { tag };
};

const CLASS = ["table", "category", "subcategory", "assignmentGroup"];

const shapes = {
  admit: variant({ yes: false, no: true }),
  classify(hook, answer) {
    if (typeof answer !== "object" || answer === null || Array.isArray(answer))
      fail(hook, `${kind(answer)}; it is an object with some of ${CLASS.join(", ")}`);
    for (const [name, value] of Object.entries(answer)) {
      const camel = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
      if (!CLASS.includes(name))
        fail(hook, `${name}; ${CLASS.includes(camel) ? `in JavaScript it is ${camel}` : `there are ${CLASS.join(", ")}`}`);
      if (value !== undefined && value !== null && typeof value !== "string")
        fail(hook, `${name}: ${kind(value)}; it is a text, or left out`);
    }
    return Object.fromEntries(CLASS.map((name) => [name, optional(whole(hook, answer[name]))]));
  },
  draft(hook, answer) {
    if (typeof answer !== "object" || answer === null)
      fail(hook, `${kind(answer)}; it is an object of columns, or a list of [column, text]`);
    const columns = Array.isArray(answer) ? answer : answer instanceof Map ? [...answer] : Object.entries(answer);
    for (const pair of columns) {
      if (!Array.isArray(pair) || pair.length !== 2 || pair.some((part) => typeof part !== "string"))
        fail(hook, `${Array.isArray(pair) ? `[${pair.map(kind).join(", ")}]` : kind(pair)}; columns and their values are texts`);
      pair.forEach((text) => whole(hook, text));
    }
    return columns;
  },
  value: variant({ keep: false, instead: true, withhold: true }),
  conflict: variant({ settings: false, platform: false, servicenow: false, value: true, person: false }),
  summary(hook, answer) {
    if (answer?.tag !== "kept") return variant({ settings: false, nothing: false, kept: false })(hook, answer);
    const { tag, val, ...more } = answer;
    const [other] = Object.keys(more);
    if (other !== undefined) fail(hook, `${other} beside the tag; there are tag and val`);
    if (typeof val !== "object" || val === null || Array.isArray(val))
      fail(hook, `kept with val ${kind(val)}; it is an object with asked, found, solved and tags`);
    const { asked, found, solved, tags, ...strange } = val;
    const [unknown] = Object.keys(strange);
    if (unknown !== undefined) fail(hook, `${unknown}; there are asked, found, solved and tags`);
    if (typeof asked !== "string") fail(hook, `asked: ${kind(asked)}; it is a text`);
    const list = (name, all, one) => {
      if (all !== undefined && all !== null && !Array.isArray(all)) fail(hook, `${name}: ${kind(all)}; it is a list`);
      return (all ?? []).map(one);
    };
    const passages = (name, all) =>
      list(name, all, (passage) => {
        if (typeof passage?.text !== "string" || !Number.isInteger(passage.from) || passage.from < 0)
          fail(hook, `${name} with ${kind(passage)} in it; each is { text, from }, and from is the number of a source`);
        return { text: whole(hook, passage.text), from: passage.from };
      });
    const words = list("tags", tags, (word) => {
      if (typeof word !== "string") fail(hook, `tags with ${kind(word)} in it; each is a text`);
      return whole(hook, word);
    });
    const kept = { asked: whole(hook, asked), found: passages("found", found), solved: passages("solved", solved), tags: words };
    return { tag, val: kept };
  },
};

/** What a hook is given: what may be missing is undefined, as the page says. */
const given = (argument) => {
  if (typeof argument !== "object" || argument === null || Array.isArray(argument)) return argument;
  return Object.fromEntries(Object.entries(argument).map(([name, value]) => [name, value ?? undefined]));
};

function asked(hook) {
  if (typeof own[hook]?.decide !== "function")
    throw new Error(`rules.js exports ${hook}, and ${hook}.decide is no function`);
  return {
    decide(...parameters) {
      let answer;
      try {
        answer = own[hook].decide(...parameters.map(given));
      } catch (error) {
        const line = /rules\.js:(\d+)/.exec(error?.stack ?? "")?.[1];
        throw new Error(`${error?.message ?? String(error)}${line ? ` (rules.js:${line})` : ""}`);
      }
      if (typeof answer?.then === "function") fail(hook, "a promise; nothing can be waited for here");
      return shapes[hook](hook, answer);
    },
  };
}

