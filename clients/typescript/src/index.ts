// What the package offers.
// It has no logic of its own.

export { Jobmill } from "./client.js";
export type { EnqueueOptions, JobmillOptions, WaitOptions } from "./client.js";
export { JobmillError } from "./error.js";
export type { JobmillErrorOptions, MemberProblem } from "./error.js";
export type {
  AnyEvents,
  Attempt,
  AttemptError,
  AttemptUsage,
  HostCall,
  OutgoingEvent,
  PurchaseConfirmation,
  RefundNotification,
  Run,
  RunState,
  SentEvent,
  WelcomeEmail,
} from "./shapes.js";
