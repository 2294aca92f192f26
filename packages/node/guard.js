// A gateway as middleware: for Express, Connect, or a plain server of node:http. What it decides, the core decides
// (`gateway`); here is only what HTTP in Node needs around it.
import { gateway } from "./dist/core.js";

/** The longest body that is read, in bytes. */
const LIMIT = 1 << 20;
/** Stands for a body that is longer than that: nothing but its length is looked at. */
const LONGER = " ".repeat(LIMIT + 1);

export function guard(document, { log = (why) => console.warn(`firn: ${why}`), now = Date.now } = {}) {
  const faults = gateway.check(document).filter((fault) => fault.level === "error");
  if (faults.length > 0)
    throw new Error(faults.map((f) => `${f.at || "the document"}: ${f.text}; ${f.remedy}`).join("\n"));

  return function firn(request, response, next) {
    const path = request.originalUrl ?? request.url;
    const headers = pairs(request.rawHeaders);
    const way = gateway.look(document, request.method, path, headers);
    if (way.tag === "through") return next();
    if (way.tag === "answered") return answered(response, way.val, log);
    if (request.readableEnded || request.readableDidRead)
      return next(new Error("the body was read already: put guard before whatever reads it"));
    read(request).then(
      (body) => {
        const text = typeof body === "string" ? body : asText(body);
        const verdict = gateway.receive(document, { method: request.method, path, headers, body: text }, BigInt(now()));
        if (verdict.tag === "answered") return answered(response, verdict.val, log);
        goesOn(request, verdict.val, body);
        if (way.tag === "read-both") holdAnswer(document, request.method, path, response, log);
        next();
      },
      // Whoever sent it is gone; nobody is there to be answered.
      () => response.destroy(),
    ).catch(next);
  };
}

function pairs(raw) {
  const headers = [];
  for (let i = 0; i < raw.length; i += 2) headers.push([raw[i].toLowerCase(), raw[i + 1]]);
  return headers;
}

/** The whole body; of one that is too long nothing but that. */
function read(request) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    let size = 0;
    request.on("data", (piece) => {
      size += piece.length;
      if (size <= LIMIT) pieces.push(piece);
    });
    request.on("end", () => resolve(size > LIMIT ? LONGER : Buffer.concat(pieces)));
    request.on("error", reject);
    request.on("close", () => reject(new Error("it broke off")));
  });
}

/** Undefined if it is not UTF-8. */
function asText(bytes) {
  const text = bytes.toString("utf8");
  return Buffer.from(text, "utf8").equals(bytes) ? text : undefined;
}

function goesOn(request, onward, came) {
  const set = new Map(onward.headers);
  const gone = new Set([...onward.without, ...set.keys()]);
  request.body = onward.body === undefined ? came : Buffer.from(onward.body, "utf8");
  // Parsers of bodies look here whether there is something left to read.
  request._body = true;
  if (onward.body !== undefined) {
    gone.add("content-length");
    set.set("content-length", String(request.body.length));
  }
  const kept = pairs(request.rawHeaders).filter(([name]) => !gone.has(name));
  request.rawHeaders = [...kept, ...set].flat();
  for (const name of gone) delete request.headers[name];
  for (const [name, value] of set) request.headers[name] = value;
  if (onward.path !== undefined) request.url = onward.path;
}

function answered(response, reply, log) {
  if (reply.why !== undefined) log(reply.why);
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  response.statusCode = reply.status;
  for (const [name, value] of reply.headers) response.setHeader(name, value);
  // What a body that was not read may still hold is not taken for the next request.
  if (!response.req?.complete) response.setHeader("connection", "close");
  response.end(reply.body);
}

/** Keeps an answer until it is whole and was decided on. */
function holdAnswer(document, method, path, response, log) {
  const { writeHead, write, end, flushHeaders } = response;
  const pieces = [];
  let size = 0;
  let done = false;
  const release = () => {
    done = true;
    Object.assign(response, { writeHead, write, end, flushHeaders });
  };
  const decided = (body) => {
    const headers = Object.entries(response.getHeaders())
      .flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]));
    return gateway.answer(document, method, path, { headers, body });
  };
  const take = (piece, encoding) => {
    if (piece === undefined || piece === null || done) return;
    const bytes = typeof piece === "string" ? Buffer.from(piece, typeof encoding === "string" ? encoding : "utf8") : piece;
    // What cannot be masked is not waited for: it may never end.
    if (size === 0 && bytes.length > 0) {
      const verdict = decided("-");
      if (verdict.tag === "answered") {
        release();
        answered(response, verdict.val, log);
        return;
      }
    }
    size += bytes.length;
    if (size <= LIMIT) pieces.push(bytes);
  };
  response.flushHeaders = () => {};
  response.writeHead = (status, message, headers) => {
    if (typeof message === "string") response.statusMessage = message;
    else headers = message;
    response.statusCode = status;
    const list = Array.isArray(headers) ? pairs(headers.flat()) : Object.entries(headers ?? {});
    for (const [name, value] of list) if (value !== undefined) response.setHeader(name, value);
    return response;
  };
  response.write = (piece, encoding, told) => {
    take(piece, encoding);
    const callback = typeof encoding === "function" ? encoding : told;
    if (callback) process.nextTick(callback);
    return true;
  };
  response.end = (piece, encoding, told) => {
    const callback = [piece, encoding, told].find((one) => typeof one === "function");
    if (typeof piece !== "function") take(piece, encoding);
    if (done) return response;
    const bytes = Buffer.concat(pieces);
    const none = method === "HEAD" || response.statusCode === 204 || response.statusCode === 304 || size === 0;
    const verdict = none ? undefined : decided(size > LIMIT ? LONGER : asText(bytes));
    release();
    if (verdict === undefined) return response.end(callback);
    if (verdict.tag === "answered") {
      answered(response, verdict.val, log);
      return response;
    }
    const { without, headers, body } = verdict.val;
    for (const name of without) response.removeHeader(name);
    for (const [name, value] of headers) response.setHeader(name, value);
    const whole = body === undefined ? bytes : Buffer.from(body, "utf8");
    response.setHeader("content-length", whole.length);
    return response.end(whole, callback);
  };
}
