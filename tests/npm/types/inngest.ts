// Inngest's SDK with the events of the running server: what the compiler takes, and what it has to refuse.
// It is compiled and never run.

import { Inngest, eventType, staticSchema } from "inngest";
import type { JobmillEventName, JobmillEvents } from "./jobmill-events.js";

const inngest = new Inngest({ id: "shop" });

const purchase = eventType("email/purchase-confirmation", {
  schema: staticSchema<JobmillEvents["email/purchase-confirmation"]["data"]>(),
});

/** All of them by one function, as a shop may have it. */
const event = <Name extends JobmillEventName>(name: Name) =>
  eventType(name, { schema: staticSchema<JobmillEvents[Name]["data"]>() });

const welcome = event("email/welcome");

await inngest.send(purchase.create({ orderId: "o", customerEmail: "ada@example.com" }));
await inngest.send([
  welcome.create({ userId: "u", email: "ada@example.com", name: null }, { id: "welcome-u" }),
  event("email/refund-notification").create({ orderId: "o", customerEmail: "ada@example.com" }),
]);

export const confirm = inngest.createFunction({ id: "confirm", triggers: [purchase] }, ({ event }) => {
  const order: string = event.data.orderId;
  // @ts-expect-error: orderId is misspelt
  return [order, event.data.ordreId];
});

// @ts-expect-error: orderId is misspelt
purchase.create({ ordreId: "o", customerEmail: "ada@example.com" });
// @ts-expect-error: orderId is a text
purchase.create({ orderId: 1, customerEmail: "ada@example.com" });
// @ts-expect-error: userId is missing
welcome.create({ email: "ada@example.com" });
// @ts-expect-error: no job listens to it
event("email/goodbye");
