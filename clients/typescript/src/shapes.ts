// What goes over the wire, with the names that the API gives it.
// It checks nothing: the server does, and says what does not fit.

/** The payload of the job `purchase-confirmation`. */
export interface PurchaseConfirmation {
  orderId: string;
  customerEmail: string;
}

/** The payload of the job `refund-notification`. */
export interface RefundNotification {
  orderId: string;
  customerEmail: string;
  refundReason?: string | null;
}

/** The payload of the job `welcome-email`. */
export interface WelcomeEmail {
  userId: string;
  email: string;
  name?: string | null;
}

/** The last three are final. */
export type RunState = "scheduled" | "available" | "running" | "retryable" | "completed" | "cancelled" | "dead";

/** Why an attempt failed. `kind` is such as `transient`, `permanent`, `timeout`, `trap`. */
export interface AttemptError {
  kind: string;
  message: string;
  trace?: string | null;
}

/** A host call that reached beyond the sandbox of its attempt. */
export interface HostCall {
  /** Such as `send-email`, `fetch-order` or `GET api.example.com`. */
  name: string;
  /** Milliseconds from the first instruction of the attempt. */
  at_ms: number;
  took_ms: number;
  /** Whether it was refused or failed, or had not ended when the attempt did. */
  failed: boolean;
}

/** What an attempt used. */
export interface AttemptUsage {
  /** Milliseconds from its first instruction to its last, waiting included. */
  wall_ms: number;
  /** Milliseconds of processor time. */
  cpu_ms: number;
  /** Bytes of linear memory, at most. */
  memory_bytes: number;
  /** Host calls, all of them. */
  host_calls: number;
  /** Those that reach beyond the sandbox, the first 50, in order. */
  calls: HostCall[];
}

/** One try of a run. Times are RFC 3339. */
export interface Attempt {
  number: number;
  version: string | null;
  started_at: string;
  finished_at: string | null;
  outcome: string | null;
  error: AttemptError | null;
  next_at: string | null;
  /** Null while it runs, of one that nobody saw end, and absent where the server is older than this. */
  usage?: AttemptUsage | null;
}

/** A run as the server shows it. Times are RFC 3339. */
export interface Run<Payload = unknown, Output = unknown> {
  id: string;
  job: string;
  version: string | null;
  queue: string;
  state: RunState;
  priority: number;
  payload: Payload;
  output: Output | null;
  attempt: number;
  max_attempts: number;
  enqueued_at: string;
  scheduled_at: string;
  started_at: string | null;
  finished_at: string | null;
  event_id: string | null;
  tags: string[];
  unique_key: string | null;
  rerun_of: string | null;
  waiting_for: { kind: string; detail: string; until: string | null; position: number | null } | null;
  cancel_reason: string | null;
  /** Mails that may have been sent: what to look for at the mail server before the run is put back. */
  mails_in_doubt: { id: string; to: string; message_id: string }[];
  attempts: Attempt[];
}

/** Events of which nothing is known. */
export interface AnyEvents {
  [name: string]: { data: unknown };
}

/** An event to publish, of those that `Events` lists. `JobmillEvents` of `/api/v1/events.d.ts` is such a list. */
export type OutgoingEvent<Events extends object = AnyEvents> = {
  [Name in keyof Events & string]: {
    name: Name;
    data: Events[Name] extends { data: infer Data } ? Data : unknown;
    /** Published once, however often it is sent. The client makes one where there is none. */
    id?: string;
    /** When it happened: milliseconds since 1970, RFC 3339, or a date. What lies ahead delays the runs until then. */
    ts?: number | string | Date;
  };
}[keyof Events & string];

/** A published event, and the ids of the runs that it started. */
export interface SentEvent {
  id: string;
  runs: string[];
}
