// A new ticket's category comes from the conversation's tags, and the ticket goes to the people who speak the
// caller's language.
//
// Which hooks there are, what each is given and what it may answer: wit/deps/firn-rules.wit. A hook that is to
// be asked is exported here, and stands in wit/world.wit.
import { line } from "firn:rules/log@0.1.0";

// CHANGE. tag: [category, subcategory], as your instance has them
const CATEGORIES = {
  vpn: ["network", "vpn"],
  wifi: ["network", "wireless"],
  laptop: ["hardware", "laptop"],
  invoice: ["inquiry", "billing"],
};

// CHANGE. language: the sys_id of the assignment group that speaks it
const GROUPS = {
  de: "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
  fr: "f9e8d7c6b5a4938271605f4e3d2c1b0a",
};

// Words that give a language away, if the platform does not say which it is.
const WORDS = {
  de: ["ich", "nicht", "mein", "und", "seit"],
  fr: ["je", "mon", "pas", "depuis", "est"],
};

function language(payload) {
  if (payload.language) return payload.language.slice(0, 2).toLowerCase();
  const words = (payload.question ?? "").toLowerCase().split(/[^\p{L}]+/u);
  for (const [code, known] of Object.entries(WORDS)) {
    if (known.filter((word) => words.includes(word)).length >= 2) return code;
  }
  return "en";
}

export const classify = {
  // `about` is the pair of records; `tables` are the kinds of ticket that may be chosen from.
  // What is left out stays as the settings have it.
  decide(about, tables) {
    const payload = JSON.parse(about.payload ?? "{}");
    const tag = (payload.tags ?? []).map((tag) => tag.toLowerCase()).find((tag) => tag in CATEGORIES);
    const [category, subcategory] = CATEGORIES[tag] ?? [];
    const code = language(payload);
    line(`${about.recordId}: ${tag ?? "no tag that we know"}, ${code}`);
    return { category, subcategory, assignmentGroup: GROUPS[code] };
  },
};
