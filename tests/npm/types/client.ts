// Jobmill's client with the events of the running server: what the compiler takes, and what it has to refuse.
// It is compiled and never run.

import { Jobmill } from "@jobmill/client";
import type { JobmillEventName, JobmillEvents } from "./jobmill-events.js";

const jobmill = new Jobmill<JobmillEvents>({ baseUrl: "http://127.0.0.1:8288" });

const name: JobmillEventName = "email/welcome";
const reason: JobmillEvents["email/refund-notification"]["data"]["refundReason"] = null;

await jobmill.send({ name, data: { userId: "u", email: "ada@example.com" } });
await jobmill.send([
  { name: "email/purchase-confirmation", data: { orderId: "o", customerEmail: "ada@example.com" }, id: "order-o-paid" },
  { name: "email/refund-notification", data: { orderId: "o", customerEmail: "ada@example.com", refundReason: reason } },
]);

// @ts-expect-error: orderId is misspelt
await jobmill.send({ name: "email/purchase-confirmation", data: { ordreId: "o", customerEmail: "ada@example.com" } });
// @ts-expect-error: refundReason is misspelt, which nothing else would tell
await jobmill.send({ name: "email/refund-notification", data: { orderId: "o", customerEmail: "a@b.c", refundReson: "late" } });
// @ts-expect-error: orderId is missing
await jobmill.send({ name: "email/purchase-confirmation", data: { customerEmail: "ada@example.com" } });
// @ts-expect-error: orderId is a text
await jobmill.send({ name: "email/purchase-confirmation", data: { orderId: 1, customerEmail: "ada@example.com" } });
// @ts-expect-error: no job listens to it
await jobmill.send({ name: "email/purchase-confirmed", data: { orderId: "o", customerEmail: "ada@example.com" } });
// @ts-expect-error: no job listens to it
const other: JobmillEventName = "email/goodbye";

export { other };
