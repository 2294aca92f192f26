import type { IncomingMessage, ServerResponse } from "node:http";

export interface GuardOptions {
  /** Told why something was turned away, never with a value of a record. `console.warn` by default. */
  log?: (why: string) => void;
  /** Milliseconds since 1970. `Date.now` by default. */
  now?: () => number;
}

/**
 * A gateway as middleware: for Express, Connect, or a plain server of `node:http`. Before whatever reads the body.
 *
 * What a route reads goes on with `request.body`, a `Buffer`, as `express.raw` makes it; what no route names is not
 * touched. Answers of routes with `"answers": "masked"` are kept until they are whole.
 *
 * @param document The gateway's document, JSON. Secrets stand in it: `env:NAME` is nothing here.
 * @throws {Error} Every fault of the document, a line each.
 */
export function guard(
  document: string,
  options?: GuardOptions,
): (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void;
