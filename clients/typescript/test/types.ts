// What the compiler has to accept and what it has to refuse. It is compiled with the tests and never run.

import { Jobmill } from "../src/index.js";

interface Events {
  "email/welcome": { data: { userId: string; email: string; name?: string | null } };
  "order/paid": { data: { orderId: string } };
}

export async function typed(jobmill: Jobmill<Events>, any: Jobmill): Promise<void> {
  const one: { runs: string[] } = await jobmill.send({ name: "order/paid", data: { orderId: "1" } });
  const many: { runs: string[] }[] = await jobmill.send([
    { name: "order/paid", data: { orderId: "1" }, id: "a", ts: 1 },
    { name: "email/welcome", data: { userId: "u", email: "a@example.com" } },
  ]);
  // @ts-expect-error: a member is misspelt
  await jobmill.send({ name: "order/paid", data: { ordreId: "1" } });
  // @ts-expect-error: data of another event
  await jobmill.send({ name: "order/paid", data: { userId: "u", email: "a@example.com" } });
  // @ts-expect-error: no job listens to it
  await jobmill.send([{ name: "order/payed", data: { orderId: "1" } }]);
  await any.send({ name: "whatever", data: [one, many] });

  await jobmill.enqueueWelcomeEmail({ userId: "u", email: "a@example.com", name: null });
  const run = await jobmill.enqueuePurchaseConfirmation({ orderId: "o", customerEmail: "a@example.com" });
  const order: string = run.payload.orderId;
  // @ts-expect-error: a member is missing
  await jobmill.enqueueRefundNotification({ orderId: order });
  // @ts-expect-error: a member is misspelt
  await jobmill.enqueuePurchaseConfirmation({ ordreId: "o", customerEmail: "a@example.com" });
}
