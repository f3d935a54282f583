// The client: enqueue runs, publish events, look after a run.
// Everything that changes something carries a key of its own, so that sending it again can't do it again.

import { JobmillError } from "./error.js";
import type {
  AnyEvents,
  OutgoingEvent,
  PurchaseConfirmation,
  RefundNotification,
  Run,
  RunState,
  SentEvent,
  WelcomeEmail,
} from "./shapes.js";
import { pause, request, type Call, type Transport } from "./transport.js";

/** How a client reaches its server. */
export interface JobmillOptions {
  /** The server's URL. `JOBMILL_SERVER` where there are variables, else `http://127.0.0.1:8288`. */
  baseUrl?: string;
  /** The token, where the server wants one. `JOBMILL_TOKEN` where there are variables. */
  token?: string;
  /** What sends requests, in place of the platform's own `fetch`. */
  fetch?: typeof globalThis.fetch;
  /** Milliseconds that one answer may take. 10,000. */
  timeout?: number;
  /** How often a request is sent again when there is no answer, or when the answer says: not now. 3. */
  retries?: number;
}

/** What can be said of a run beside its payload. */
export interface EnqueueOptions {
  /** Enqueued once, however often it is sent, also by another process. The client makes a key where there is none. */
  idempotencyKey?: string;
  /** Not before so long from now, such as `"1h30m"`. */
  delay?: string;
  /** Not before then: RFC 3339, or a date. */
  scheduledAt?: string | Date;
  /** 0 to 9, as the job's own where it is left out. */
  priority?: number;
  /** Two runs of a job with the same key are one. */
  uniqueKey?: string;
  tags?: string[];
  signal?: AbortSignal;
}

/** How long a run is waited for. */
export interface WaitOptions {
  /** Milliseconds. 60,000. */
  timeout?: number;
  signal?: AbortSignal;
}

const FINAL: ReadonlySet<RunState> = new Set(["completed", "cancelled", "dead"]);

/** Between two looks at a run that is waited for, in milliseconds; each pause is half as long again as the one before. */
const FIRST_LOOK = 50;
const LONGEST_LOOK = 2_000;

/** A client of one server. `Events` lists what may be published: `JobmillEvents` of `/api/v1/events.d.ts`, or anything. */
export class Jobmill<Events extends object = AnyEvents> {
  readonly #transport: Transport;

  constructor(options: JobmillOptions = {}) {
    this.#transport = {
      baseUrl: checkedUrl(options.baseUrl ?? variable("JOBMILL_SERVER") ?? "http://127.0.0.1:8288"),
      token: options.token ?? variable("JOBMILL_TOKEN"),
      // Looked up at each call: some platforms refuse it unbound, and some replace it later.
      fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
      timeout: options.timeout ?? 10_000,
      retries: options.retries ?? 3,
    };
  }

  /** Confirms a purchase by mail and marks the order fulfilled. */
  enqueuePurchaseConfirmation(
    payload: PurchaseConfirmation,
    options?: EnqueueOptions,
  ): Promise<Run<PurchaseConfirmation>> {
    return this.enqueue("purchase-confirmation", payload, options);
  }

  /** Tells a customer about a refund by mail and marks the order refunded. */
  enqueueRefundNotification(payload: RefundNotification, options?: EnqueueOptions): Promise<Run<RefundNotification>> {
    return this.enqueue("refund-notification", payload, options);
  }

  /** Welcomes a new customer by mail. */
  enqueueWelcomeEmail(payload: WelcomeEmail, options?: EnqueueOptions): Promise<Run<WelcomeEmail>> {
    return this.enqueue("welcome-email", payload, options);
  }

  /** Enqueues a run of any job. Once there is an answer, the run is on the server's disk. */
  async enqueue<Payload>(job: string, payload: Payload, options: EnqueueOptions = {}): Promise<Run<Payload>> {
    const { scheduledAt } = options;
    const run = await this.#request({
      method: "POST",
      path: `/api/v1/jobs/${encodeURIComponent(job)}/runs`,
      body: {
        payload,
        delay: options.delay,
        scheduled_at: scheduledAt instanceof Date ? scheduledAt.toISOString() : scheduledAt,
        priority: options.priority,
        unique_key: options.uniqueKey,
        tags: options.tags,
      },
      headers: { "idempotency-key": options.idempotencyKey ?? crypto.randomUUID() },
      signal: options.signal,
    });
    return run as Run<Payload>;
  }

  /** Publishes an event, which starts a run of each job that listens to it. */
  send(event: OutgoingEvent<Events>, options?: { signal?: AbortSignal }): Promise<SentEvent>;
  /** Publishes events, all of them or none. */
  send(events: readonly OutgoingEvent<Events>[], options?: { signal?: AbortSignal }): Promise<SentEvent[]>;
  async send(
    events: OutgoingEvent<Events> | readonly OutgoingEvent<Events>[],
    options: { signal?: AbortSignal } = {},
  ): Promise<SentEvent | SentEvent[]> {
    const many: boolean = Array.isArray(events);
    const all = (many ? events : [events]) as readonly OutgoingEvent<AnyEvents>[];
    if (all.length === 0) {
      return [];
    }
    const body = all.map(({ name, data, id, ts }) => ({
      name,
      data,
      id: id ?? crypto.randomUUID(),
      ts: ts instanceof Date ? ts.toISOString() : ts,
    }));
    const answer = await this.#request({ method: "POST", path: "/api/v1/events", body, signal: options.signal });
    const sent = (answer as { events?: SentEvent[] }).events;
    const first = sent?.[0];
    if (sent?.length !== all.length || first === undefined) {
      const detail = `the server published ${all.length} events and told of ${sent?.length ?? "none"}`;
      throw new JobmillError({ code: "unexpected-answer", detail });
    }
    return many ? sent : first;
  }

  /** The run as it is now. */
  async run(id: string, options: { signal?: AbortSignal } = {}): Promise<Run> {
    const path = `/api/v1/runs/${encodeURIComponent(id)}`;
    return (await this.#request({ method: "GET", path, signal: options.signal })) as Run;
  }

  /** The run once it is completed, cancelled or dead. Throws with the code `still-going` when that takes too long. */
  async waitFor(id: string, options: WaitOptions = {}): Promise<Run> {
    const { timeout = 60_000, signal } = options;
    const end = Date.now() + timeout;
    for (let look = FIRST_LOOK; ; look = Math.min(look * 1.5, LONGEST_LOOK)) {
      const run = await this.run(id, signal === undefined ? {} : { signal });
      if (FINAL.has(run.state)) {
        return run;
      }
      const left = end - Date.now();
      if (left <= 0) {
        const detail = `the run ${id} is still ${run.state} after ${timeout} ms; it goes on`;
        throw new JobmillError({ code: "still-going", detail });
      }
      await pause(Math.min(look, left), signal);
    }
  }

  #request(call: Call): Promise<unknown> {
    return request(this.#transport, call);
  }
}

/** The URL without what its path ends with. */
function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new TypeError(`baseUrl (or JOBMILL_SERVER) must be a URL such as http://127.0.0.1:8288, not ${JSON.stringify(text)}`);
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
}

/** A variable of the process, on platforms that have them. */
function variable(name: string): string | undefined {
  const platform = globalThis as { process?: { env?: Record<string, string | undefined> } };
  // An empty one counts as none.
  return platform.process?.env?.[name] || undefined;
}
