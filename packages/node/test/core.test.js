// What a user of the package would try first. Run with: node --test
import assert from "node:assert/strict";
import { test } from "node:test";

import { conflict, gateway, identity, mapping, masking, settings } from "firn-core";

test("masks", () => {
  const masked = masking.mask("card 4111 1111 1111 1111, ünïcode");
  assert.equal(masked.text, "card ****-****-****-1111, ünïcode");
  assert.deepEqual(
    masked.spans.map((s) => [s.kind, s.start, s.end]),
    [["CREDIT_CARD", 5, 24]],
  );
});

test("maps there and back", () => {
  const document = '{"preset": "incidents"}';
  const title = [["title", { tag: "text", val: "Down" }]];
  const there = mapping.toExternal(document, "incident", "title", title, undefined, []);
  assert.deepEqual(there.shape, [["short_description", { tag: "text", val: "Down" }]]);
  assert.deepEqual(mapping.toPlatform(document, "incident", "title", there.shape), title);
  assert.throws(
    () => mapping.toPlatform(document, "incident", "nothing", there.shape),
    (error) => error.payload.tag === "no-such-field",
  );
});

test("tells every fault", () => {
  const faults = settings.check('{"stratgy": 1, "conflict_window": "5s"}');
  assert.deepEqual(
    faults.map((f) => f.at),
    ["conflict_window", "stratgy"],
  );
  assert.throws(
    () => settings.complete("no JSON"),
    (error) => error.payload[0].level === "error",
  );
});

test("decides between two edits", () => {
  const rivals = {
    owner: "shared",
    strategy: "last-write-wins",
    window: 5000n,
    platformPriority: 0,
    externalPriority: 0,
    platform: { at: 1000n },
    external: { at: 9000n, clock: { low: 0n, high: 0n } },
  };
  assert.deepEqual(conflict.decide(rivals), ["external", "last-write-wins"]);
});

test("is a gateway", () => {
  const document = JSON.stringify({ routes: [{ path: "/hooks", takes: "webhook", secrets: ["a long secret"] }] });
  const verdict = gateway.receive(document, { method: "POST", path: "/hooks", headers: [], body: "{}" }, 0n);
  assert.equal(verdict.tag, "answered");
  assert.equal(verdict.val.status, 401);
  const other = gateway.receive(document, { method: "GET", path: "/other", headers: [] }, 0n);
  assert.equal(other.tag, "onward");
});

test("knows what is the same", () => {
  assert.equal(identity.correlationKey("PAY-1", 1), "PAY-1");
});
