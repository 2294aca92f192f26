// Compiled, not run: the types say what the functions take and give.
import { createServer } from "node:http";

import { conflict, gateway, masking, settings } from "firn-core";
import { guard } from "firn-core/guard";

const masked: { text: string } = masking.mask("text");
const kinds: string[] = masking.mask(masked.text).spans.map((span) => span.kind);
const faults: settings.Fault[] = settings.check("{}");
const verdict: gateway.Verdict = gateway.receive("{}", { method: "POST", path: "/", headers: [] }, 0n);
const status: number | undefined = verdict.tag === "answered" ? verdict.val.status : undefined;
// @ts-expect-error an owner is one of three words
const owner: conflict.Owner = "nobody";
// @ts-expect-error a text is needed
masking.mask(7);

const middleware = guard("{}", { log: (why: string) => console.warn(why) });
createServer((request, response) => middleware(request, response, () => response.end()));
// @ts-expect-error a document is a text
guard({});

export { faults, kinds, owner, status };
