// One request: sent again under the same key while that can help, until it has an answer.
// It knows no route.

import { JobmillError, type MemberProblem } from "./error.js";

/** How requests are sent. */
export interface Transport {
  baseUrl: string;
  token: string | undefined;
  fetch: typeof globalThis.fetch;
  /** Milliseconds that one answer may take. */
  timeout: number;
  /** How often a request is sent again. */
  retries: number;
}

/** A request to the API. */
export interface Call {
  method: "GET" | "POST";
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** The first pause before a request is sent again; each later one is twice as long. Milliseconds, like the others. */
const FIRST_PAUSE = 200;
const LONGEST_PAUSE = 10_000;
/** A server that asks for more patience than this is not waited for. */
const LONGEST_RETRY_AFTER = 60_000;

/** Statuses that say: not now. 502 and 504 come from proxies. */
const NOT_NOW = new Set([429, 502, 503, 504]);

/** An answer that is no refusal; or why there is none, and when it is worth asking again. */
type Outcome = { answer: unknown } | { error: JobmillError; again: boolean; after?: number | undefined };

/** The document that the server answers with. */
export async function request(transport: Transport, call: Call): Promise<unknown> {
  // Once and first: what is no JSON is the caller's mistake, which no retry helps.
  const body = call.body === undefined ? undefined : JSON.stringify(call.body);
  for (let sent = 0; ; sent += 1) {
    const outcome = await attempt(transport, call, body);
    if ("answer" in outcome) {
      return outcome.answer;
    }
    if (!outcome.again || sent >= transport.retries || (outcome.after ?? 0) > LONGEST_RETRY_AFTER) {
      throw outcome.error;
    }
    const backoff = Math.min(FIRST_PAUSE * 2 ** sent, LONGEST_PAUSE) * (0.5 + Math.random() / 2);
    await pause(outcome.after ?? backoff, call.signal);
  }
}

async function attempt(transport: Transport, call: Call, body: string | undefined): Promise<Outcome> {
  const headers: Record<string, string> = { accept: "application/json", ...call.headers };
  if (body !== undefined) {
    headers["content-type"] = "application/json";
  }
  if (transport.token !== undefined) {
    headers["authorization"] = `Bearer ${transport.token}`;
  }
  call.signal?.throwIfAborted();
  const patience = new AbortController();
  const end = () => patience.abort(call.signal?.reason);
  call.signal?.addEventListener("abort", end, { once: true });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    patience.abort();
  }, transport.timeout);
  try {
    const response = await transport.fetch(transport.baseUrl + call.path, {
      method: call.method,
      headers,
      // A body that was sent must not be sent elsewhere, nor turned into a GET.
      redirect: "manual",
      signal: patience.signal,
      ...(body === undefined ? {} : { body }),
    });
    return read(response, await response.text());
  } catch (cause) {
    call.signal?.throwIfAborted();
    const detail = late
      ? `${transport.baseUrl} did not answer within ${transport.timeout} ms`
      : `${transport.baseUrl} can't be reached: ${reason(cause)}; is the server running, and is baseUrl (JOBMILL_SERVER) right?`;
    return { error: new JobmillError({ code: late ? "timeout" : "unreachable", detail, cause }), again: true };
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener("abort", end);
  }
}

function read(response: Response, text: string): Outcome {
  const document = parse(text);
  if (response.ok && document !== undefined) {
    return { answer: document };
  }
  const { status } = response;
  const again = NOT_NOW.has(status);
  return { error: refusal(status, document), again, after: again ? retryAfter(response.headers) : undefined };
}

/** The JSON document of an answer; undefined where it is none. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A refusal as `application/problem+json` says it, or as much as can be said without. */
function refusal(status: number, document: unknown): JobmillError {
  const problem = typeof document === "object" && document !== null ? (document as Record<string, unknown>) : {};
  const { code, detail, errors, event } = problem;
  if (typeof code !== "string") {
    const what = `the server answered ${status} and nothing that Jobmill says; is baseUrl (JOBMILL_SERVER) right?`;
    return new JobmillError({ status, code: "unexpected-answer", detail: what });
  }
  return new JobmillError({
    status,
    code,
    detail: typeof detail === "string" ? detail : "",
    errors: Array.isArray(errors) ? errors.filter(isMemberProblem) : [],
    ...(typeof event === "number" ? { event } : {}),
  });
}

function isMemberProblem(value: unknown): value is MemberProblem {
  return typeof value === "object" && value !== null && "pointer" in value && "detail" in value;
}

/** Milliseconds that the server asks for: seconds, or a date. */
function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("retry-after");
  if (value === null) {
    return undefined;
  }
  const milliseconds = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds);
}

function reason(cause: unknown): string {
  if (!(cause instanceof Error)) {
    return String(cause);
  }
  // Node says "fetch failed", and why in the cause.
  return cause.cause instanceof Error && cause.cause.message !== "" ? cause.cause.message : cause.message;
}

/** Rejects with the signal's reason when that comes first. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", end, { once: true });
  });
}
