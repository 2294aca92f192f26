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

  /** What a request is looked at by: its whole path, and what is left of it where somebody before has rewritten it. */
  const looked = (request, headers) => {
    const mounted = request.baseUrl === undefined ? request.url : request.baseUrl + request.url;
    const paths = new Set(request.originalUrl === undefined ? [mounted] : [mounted, request.originalUrl]);
    const ways = [...paths].map((path) => [path, gateway.look(document, request.method, path, headers)]);
    return ways.find(([, way]) => way.tag !== "through") ?? ways[0];
  };

  return function firn(request, response, next) {
    const headers = pairs(request.rawHeaders);
    const [path, way] = looked(request, headers);
    if (way.tag === "through") return next();
    if (way.tag === "answered") return answered(response, way.val, log);
    if (request.readableEnded || request.readableDidRead)
      return next(new Error("the body was read already: put guard before whatever reads it"));
    const decide = (body) => {
      const text = typeof body === "string" ? body : asText(body);
      const verdict = gateway.receive(document, { method: request.method, path, headers, body: text }, BigInt(now()));
      if (verdict.tag === "answered") return answered(response, verdict.val, log);
      goesOn(request, verdict.val, body);
      if (way.tag === "read-both") holdAnswer(document, request.method, path, response, log);
      // Not within what is awaited here: what is thrown there is the program's own.
      setImmediate(next);
    };
    // Whoever breaks off is gone; nobody is there to be answered.
    read(request).then(decide, () => response.destroy()).catch((error) => setImmediate(next, error));
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
    request.on("data", (came) => {
      // A text, if somebody has set an encoding.
      const piece = typeof came === "string" ? Buffer.from(came, request.readableEncoding) : came;
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
  // It is whole, and has a length, or there is none of it.
  gone.add("transfer-encoding").add("content-length");
  if (request.body.length > 0 || request.headers["content-length"] !== undefined)
    set.set("content-length", String(request.body.length));
  // Made of what came before that is changed.
  const distinct = request.headersDistinct;
  const kept = pairs(request.rawHeaders).filter(([name]) => !gone.has(name));
  request.rawHeaders = [...kept, ...set].flat();
  for (const name of gone) {
    delete request.headers[name];
    delete distinct[name];
  }
  for (const [name, value] of set) {
    request.headers[name] = value;
    distinct[name] = [value];
  }
  if (onward.path === undefined) return;
  const base = request.baseUrl ?? "";
  if (!onward.path.startsWith(base))
    throw new Error(`the route goes on to ${onward.path}, which is not below ${base}: mount guard where that is`);
  request.url = onward.path.slice(base.length) || "/";
}

function answered(response, reply, log) {
  if (reply.why !== undefined) log(reply.why);
  response.statusMessage = undefined;
  response.statusCode = reply.status;
  for (const [name, value] of reply.headers) response.setHeader(name, value);
  // What a body that was not read may still hold is not taken for the next request.
  if (!response.req?.complete) response.setHeader("connection", "close");
  response.end(reply.body);
}

/** What is left of an answer's headers when another is given instead: what lets a browser read it. */
const KEPT = (name) => name === "vary" || name.startsWith("access-control-");
/** Nothing leaves: the answer is kept. */
const HELD = "held";
/** It leaves, by Node's own functions. */
const SENT = "sent";
/** Another was given instead; what is still said is nothing to anybody. */
const REFUSED = "refused";

/** Keeps an answer until it is whole and was decided on. */
function holdAnswer(document, method, path, response, log) {
  const names = ["writeHead", "write", "end", "flushHeaders", "addTrailers", "setHeader", "appendHeader", "removeHeader"];
  const own = Object.fromEntries(names.map((name) => [name, response[name]]));
  const pieces = [];
  let [state, size, headed] = [HELD, 0, false];

  /** As Node does before the first byte; whoever wants to know of it wraps `writeHead`. */
  const head = () => {
    if (!headed) response.writeHead(response.statusCode);
  };
  const decided = (body) => {
    const headers = Object.entries(response.getHeaders())
      .flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]));
    return gateway.answer(document, method, path, { headers, body });
  };
  const refuse = (reply) => {
    state = SENT;
    for (const name of response.getHeaderNames()) if (!KEPT(name)) response.removeHeader(name);
    answered(response, reply, log);
    state = REFUSED;
  };
  const take = (piece, encoding) => {
    if (piece === undefined || piece === null) return;
    head();
    // Copied: whoever wrote it may use its memory again.
    const bytes = typeof piece === "string" ? Buffer.from(piece, typeof encoding === "string" ? encoding : "utf8") : Buffer.from(piece);
    // What cannot be masked is not waited for: it may never end.
    if (size === 0 && bytes.length > 0) {
      const verdict = decided("-");
      if (verdict.tag === "answered") return refuse(verdict.val);
    }
    size += bytes.length;
    if (size <= LIMIT) pieces.push(bytes);
  };
  const called = (told) => {
    const callback = told.find((one) => typeof one === "function");
    if (callback) process.nextTick(callback);
  };

  // Whoever asks whether a part has left is to know that it cannot be taken back.
  const prototype = Object.getPrototypeOf(response);
  Object.defineProperty(response, "headersSent", {
    configurable: true,
    get: () => (state === HELD ? headed : Reflect.get(prototype, "headersSent", response)),
  });
  response.writeHead = (status, message, headers) => {
    if (state === SENT) return own.writeHead.call(response, status, message, headers);
    if (state === REFUSED) return response;
    headed = true;
    if (typeof message === "string") response.statusMessage = message;
    else headers ??= message;
    response.statusCode = status;
    for (const [name, values] of given(headers)) response.setHeader(name, values.length === 1 ? values[0] : values);
    return response;
  };
  response.write = (...told) => {
    if (state === SENT) return own.write.apply(response, told);
    if (state === HELD) take(told[0], told[1]);
    called(told);
    return true;
  };
  response.end = (...told) => {
    if (state === HELD && typeof told[0] !== "function") take(told[0], told[1]);
    if (state === SENT) return own.end.apply(response, told);
    if (state === REFUSED) {
      called(told);
      return response;
    }
    head();
    const callback = told.find((one) => typeof one === "function");
    if (method === "HEAD" || response.statusCode === 204 || response.statusCode === 304 || size === 0) {
      state = SENT;
      return own.end.call(response, callback);
    }
    let whole = Buffer.concat(pieces);
    const verdict = decided(size > LIMIT ? LONGER : asText(whole));
    if (verdict.tag === "answered") {
      refuse(verdict.val);
      called(told);
      return response;
    }
    state = SENT;
    const { without, headers, body } = verdict.val;
    // It is whole, and nothing follows.
    for (const name of [...without, "transfer-encoding", "trailer"]) response.removeHeader(name);
    for (const [name, value] of headers) response.setHeader(name, value);
    if (body !== undefined) whole = Buffer.from(body, "utf8");
    response.setHeader("content-length", whole.length);
    return own.end.call(response, whole, callback);
  };
  response.flushHeaders = () => {
    if (state === SENT) own.flushHeaders.call(response);
  };
  response.addTrailers = (trailers) => {
    if (state === SENT) own.addTrailers.call(response, trailers);
  };
  for (const name of ["setHeader", "appendHeader", "removeHeader"])
    response[name] = (...told) => (state === REFUSED ? response : own[name].apply(response, told));
}

/** Headers as `writeHead` takes them: an object, a flat list, or a list of pairs. Each name with all its values. */
function given(headers) {
  const list = !Array.isArray(headers)
    ? Object.entries(headers ?? {})
    : headers.every(Array.isArray)
      ? headers
      : headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]]] : []));
  const all = new Map();
  for (const [name, value] of list) {
    if (value === undefined) continue;
    const lower = String(name).toLowerCase();
    all.set(lower, [...(all.get(lower) ?? []), ...[value].flat()]);
  }
  return all;
}
