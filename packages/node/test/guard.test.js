// The middleware, in front of a plain server. Run with: node --test
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer, request as send } from "node:http";
import { connect } from "node:net";
import { after, before, beforeEach, test } from "node:test";

import { guard } from "firn-core/guard";

const CARD = "4111 1111 1111 1111";
const SECRET = "a secret that is long";
const DOCUMENT = JSON.stringify({
  routes: [
    { path: "/hooks", takes: "webhook", signed: "servicenow", secrets: [SECRET], to: "/inside" },
    { path: "/chat/*", takes: "any", sends: "masked", answers: "masked" },
  ],
});
const MIB = 1 << 20;

let server, base, port;
/** What reached the one behind, and what was logged. */
let reached = [];
let logged = [];
/** What the one behind answers. */
let answer;

function behind(request, response) {
  const whole = (body) => {
    reached.push({ url: request.url, headers: request.headers, body });
    answer(request, response);
  };
  if (request.body !== undefined) return whole(request.body);
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => whole(Buffer.concat(pieces)));
}

before(async () => {
  const middleware = guard(DOCUMENT, { log: (why) => logged.push(why) });
  server = createServer((request, response) =>
    middleware(request, response, (error) => {
      if (!error) return behind(request, response);
      response.statusCode = 500;
      response.end(String(error));
    }),
  );
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  port = server.address().port;
  base = `http://127.0.0.1:${port}`;
});
after(() => server.close());
beforeEach(() => {
  reached = [];
  logged = [];
  answer = (_, response) => response.end("ok");
});

const post = (path, body, headers = {}) =>
  fetch(base + path, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });

test("refuses a document with faults, and secrets that it cannot have", () => {
  assert.throws(() => guard("{}"), /routes: there is no route/);
  const document = { routes: [{ path: "/h", takes: "webhook", secrets: ["env:SECRET"] }] };
  assert.throws(() => guard(JSON.stringify(document)), /put the secret itself here/);
});

test("lets in what is signed, and nothing else", async () => {
  const body = '{"a":1}';
  const refused = await post("/hooks", body);
  assert.equal(refused.status, 401);
  assert.equal(reached.length, 0);
  assert.match(logged[0], /^\/hooks: /);
  const mac = createHmac("sha256", SECRET).update(body).digest("base64");
  const taken = await post("/hooks", body, { "X-ServiceNow-Signature": mac });
  assert.equal(taken.status, 200);
  assert.equal(reached[0].url, "/inside");
  assert.equal(reached[0].body.toString(), body);
});

test("masks there and back", async () => {
  answer = (_, response) => {
    response.writeHead(200, { "content-type": "text/plain", etag: "x" });
    response.write(`card ${CARD.slice(0, 9)}`);
    response.end(CARD.slice(9));
  };
  const got = await post("/chat/1", JSON.stringify({ text: CARD }));
  assert.equal(await got.text(), "card ****-****-****-1111");
  assert.equal(got.headers.get("etag"), null);
  assert.equal(reached[0].body.toString(), '{"text":"****-****-****-1111"}');
  assert.equal(reached[0].headers["content-length"], "30");
  assert.equal(reached[0].headers["accept-encoding"], undefined);
});

test("a body that comes in chunks goes on with its length", async () => {
  async function* chunks() {
    yield Buffer.from("hello ");
    yield Buffer.from("there");
  }
  const got = await fetch(base + "/chat/1", { method: "POST", body: chunks(), duplex: "half", headers: { "content-type": "text/plain" } });
  assert.equal(got.status, 200);
  assert.deepEqual([reached[0].headers["content-length"], reached[0].headers["transfer-encoding"]], ["11", undefined]);
});

test("an answer that cannot be masked is not passed on", async () => {
  const answers = [
    (_, response) => response.writeHead(200, { "content-type": "image/png" }).end(CARD),
    (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(CARD),
    // It never ends.
    (_, response) => response.writeHead(200, { "content-type": "text/event-stream" }).write(`data: ${CARD}\n\n`),
    (_, response) => response.end(Buffer.alloc(MIB + 1, 65)),
  ];
  for (const one of answers) {
    answer = one;
    const got = await post("/chat/1", "{}");
    assert.equal(got.status, 502);
    assert.match((await got.json()).type, /unreadable-answer$/);
    assert.equal(got.headers.get("content-encoding"), null);
  }
  assert.equal(logged.length, answers.length);
});

test("answers without a body stay as they are", async () => {
  answer = (_, response) => response.writeHead(204).end();
  assert.equal((await post("/chat/1", "{}")).status, 204);
  answer = (_, response) => response.writeHead(304, { etag: "x" }).end();
  const got = await fetch(base + "/chat/1");
  assert.deepEqual([got.status, got.headers.get("etag")], [304, "x"]);
});

test("what no route names is not touched", async () => {
  const bytes = Buffer.alloc(MIB + 7, 0xff);
  answer = (_, response) => response.writeHead(200, { "content-type": "application/octet-stream" }).end(bytes);
  const got = await post("/other?a=1", bytes);
  assert.deepEqual(Buffer.from(await got.arrayBuffer()), bytes);
  assert.deepEqual(reached[0].body, bytes);
  assert.equal(reached[0].url, "/other?a=1");
});

test("what is too long, packed, or no text goes nowhere", async () => {
  assert.equal((await post("/chat/1", "x".repeat(MIB + 1))).status, 413);
  assert.equal((await post("/chat/1", "x", { "content-encoding": "gzip" })).status, 415);
  assert.equal((await post("/chat/1", Buffer.from([0xff, 0xfe]), { "content-type": "text/plain" })).status, 415);
  assert.equal(reached.length, 0);
  assert.match(logged[0], /413/);
});

test("who breaks off disturbs nobody", async () => {
  await new Promise((gone) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write("POST /chat/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{", () => socket.destroy());
    });
    socket.on("close", gone);
  });
  assert.equal((await post("/chat/1", "{}")).status, 200);
  assert.equal(reached.length, 1);
});

test("a body that was read before is a fault of the program", async () => {
  const middleware = guard(DOCUMENT);
  const other = createServer((request, response) => {
    request.on("data", () => {});
    request.on("end", () => middleware(request, response, (error) => response.end(String(error))));
  });
  await new Promise((listening) => other.listen(0, "127.0.0.1", listening));
  const got = await fetch(`http://127.0.0.1:${other.address().port}/chat/1`, { method: "POST", body: "x" });
  assert.match(await got.text(), /put guard before whatever reads it/);
  other.close();
});

test("a path with an address of its own is a route's too", async () => {
  for (const path of ["http://other/hooks", "http:///hooks", "q:///hooks", "//other/hooks"]) {
    const status = await new Promise((told) => {
      const request = send({ port, host: "127.0.0.1", method: "POST", path }, (r) => told(r.statusCode));
      request.end("{}");
    });
    assert.equal(status, 401, path);
  }
});

test("what was rewritten or mounted before is looked at as it is", async () => {
  const middleware = guard(DOCUMENT, { log: () => {} });
  for (const [rewrite, path, url] of [
    [(request) => Object.assign(request, { originalUrl: request.url, url: request.url.replace("/v2", "") }), "/v2/hooks"],
    [(request) => Object.assign(request, { originalUrl: request.url, baseUrl: "/hooks", url: "/" }), "/hooks"],
    [(request) => Object.assign(request, { originalUrl: request.url, baseUrl: "/chat", url: "/1" }), "/chat/1", "/1"],
  ]) {
    const other = createServer((request, response) =>
      middleware(rewrite(request), response, () => response.end(request.url)),
    );
    await new Promise((listening) => other.listen(0, "127.0.0.1", listening));
    const got = await fetch(`http://127.0.0.1:${other.address().port}${path}`, { method: "POST", body: "{}" });
    if (url === undefined) assert.equal(got.status, 401, path);
    else assert.equal(await got.text(), url);
    other.close();
  }
});

test("headers of an answer that is kept reach the client as they were set", async () => {
  for (const headers of [
    ["Set-Cookie", "a=1", "Set-Cookie", "b=2", "Transfer-Encoding", "chunked"],
    [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]],
    { "Set-Cookie": ["a=1", "b=2"], trailer: "x-a" },
  ]) {
    answer = (_, response) => {
      // As those do who want to add to the head of an answer.
      const { writeHead } = response;
      response.writeHead = function (...told) {
        response.setHeader("x-late", "1");
        response.writeHead = writeHead;
        return writeHead.apply(this, told);
      };
      response.writeHead(201, undefined, headers);
      const bytes = Buffer.from(`card ${CARD}`);
      response.write(bytes, () => {
        bytes.fill(66);
        response.addTrailers?.({ "x-a": "b" });
        response.end();
      });
    };
    const got = await post("/chat/1", "{}");
    assert.equal(got.status, 201);
    assert.deepEqual(got.headers.getSetCookie(), ["a=1", "b=2"]);
    assert.equal(got.headers.get("x-late"), "1");
    assert.equal(got.headers.get("transfer-encoding"), null);
    assert.equal(await got.text(), "card ****-****-****-1111");
  }
});

test("who goes on after an answer was refused disturbs nobody", async () => {
  answer = (_, response) => {
    response.writeHead(200, "CARD", { "content-type": "text/event-stream" });
    for (let i = 0; i < 3; i++) response.write(`data: ${CARD}\n\n`);
    setTimeout(() => {
      response.setHeader("a", "b");
      response.writeHead(201);
      response.end("more");
    }, 20);
  };
  const got = await post("/chat/1", "{}");
  assert.deepEqual([got.status, got.statusText], [502, "Bad Gateway"]);
  await new Promise((later) => setTimeout(later, 60));
  answer = (_, response) => response.end("ok");
  assert.equal((await post("/chat/1", "{}")).status, 200);
});

test("a part that was written cannot be taken back", async () => {
  let sent;
  answer = (_, response) => {
    response.write("part");
    sent = response.headersSent;
    response.destroy();
  };
  await assert.rejects(post("/chat/1", "{}"));
  assert.equal(sent, true);
});
