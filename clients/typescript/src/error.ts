// The one error that the client throws.
// It retries nothing: what it says has been tried again already where that could help.

/** One thing that is wrong with a request: a JSON Pointer into the document that was sent, and the end of a sentence. */
export interface MemberProblem {
  pointer: string;
  detail: string;
}

/** What an error is made of. */
export interface JobmillErrorOptions {
  status?: number;
  code: string;
  detail: string;
  errors?: MemberProblem[];
  event?: number;
  cause?: unknown;
}

/** A request that was refused, or that got no answer. */
export class JobmillError extends Error {
  override readonly name = "JobmillError";
  /** The HTTP status. 0 where there was no answer. */
  readonly status: number;
  /**
   * The server's stable code, such as `payload-invalid` or `unknown-job`; of the client's own: `unreachable`, `timeout`,
   * `unexpected-answer`, and `still-going` for a run that was not final in time.
   */
  readonly code: string;
  /** What happened, for people. */
  readonly detail: string;
  /** What does not fit, for each member of the payload that does not. */
  readonly errors: MemberProblem[];
  /** Which of the events that were sent together was refused, counted from 0. */
  readonly event: number | undefined;

  constructor(options: JobmillErrorOptions) {
    const { status = 0, code, detail, errors = [], event, cause } = options;
    const members = errors.map(({ pointer, detail }) => `${pointer} ${detail}`.trim());
    const message = `${code}: ${detail}` + (members.length > 0 ? ` (${members.join("; ")})` : "");
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.errors = errors;
    this.event = event;
  }
}
