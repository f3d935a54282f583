// Uses a build of Jobmill's own client against the server that JOBMILL_SERVER names.
//
//   client.mjs CLIENT
//
// Prints the three runs when they are final, the events that were sent, and what came of an enqueue whose answer was lost.

import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { arguments_of, print, told } from "./print.mjs";

const [built] = arguments_of("client.mjs CLIENT", "CLIENT");
const { Jobmill } = await import(pathToFileURL(join(resolve(built), "index.js")).href);

const jobmill = new Jobmill();
const mail = { customerEmail: "user@example.com" };
const started = [
  await jobmill.enqueuePurchaseConfirmation({ orderId: "order_123", ...mail }),
  await jobmill.enqueueRefundNotification({ orderId: "order_124", ...mail, refundReason: "Damaged in transit" }),
  await jobmill.enqueueWelcomeEmail({ userId: "u_1", email: "ada@example.com", name: "Ada" }, { tags: ["new"] }),
];
const runs = await Promise.all(started.map(({ id }) => jobmill.waitFor(id)));

/** Takes requests to the server, and loses the first answer. */
function losing() {
  const requests = [];
  const send = async (url, init) => {
    const response = await fetch(url, init);
    requests.push({ status: response.status, key: init.headers["idempotency-key"] ?? null, body: init.body });
    if (requests.length === 1) {
      await response.text();
      throw new TypeError("the answer is lost");
    }
    return response;
  };
  return { requests, send };
}

const enqueuing = losing();
const payload = { userId: "retried", email: "bob@example.com" };
const retried = await new Jobmill({ fetch: enqueuing.send }).enqueueWelcomeEmail(payload);
const sending = losing();
const welcome = { name: "email/welcome", data: { userId: "sent", email: "eve@example.com" } };
const sent = await new Jobmill({ fetch: sending.send }).send([welcome, { name: "nobody/listens", data: {} }]);
const refused = await jobmill.enqueue("welcome-email", { userId: 1 }).then(
  () => null,
  (error) => ({ ...told(error), status: error.status, code: error.code, errors: error.errors }),
);

print({ runs, retried, enqueuing: enqueuing.requests, sent, sending: sending.requests, refused });
