// What the client sends, when it sends it again, and what it says when that does not help.
// The other side is a stand-in; the end-to-end tests run the same package against the real server.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Jobmill, JobmillError, type JobmillOptions } from "../src/index.js";
import { Stand, type Answer } from "./stand.js";

const RUN = { id: "run_1", job: "welcome-email", state: "available" };
const ACCEPTED: Answer = { status: 202, body: RUN };
const NOT_READY: Answer = {
  status: 503,
  body: { title: "Not ready", status: 503, code: "not-ready", detail: "it is starting" },
  headers: { "retry-after": "0" },
};

let stand: Stand | undefined;

afterEach(() => {
  stand?.stop();
  delete process.env["JOBMILL_SERVER"];
  delete process.env["JOBMILL_TOKEN"];
});

async function facing(answers: Answer[], options: JobmillOptions = {}): Promise<{ stand: Stand; jobmill: Jobmill }> {
  stand = await Stand.start(...answers);
  return { stand, jobmill: new Jobmill({ baseUrl: stand.url, ...options }) };
}

async function refused(promise: Promise<unknown>): Promise<JobmillError> {
  const error = await promise.then(
    () => assert.fail("it was not refused"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof JobmillError, String(error));
  return error;
}

test("each job has a call of its own", async () => {
  const { stand, jobmill } = await facing([ACCEPTED]);
  await jobmill.enqueuePurchaseConfirmation({ orderId: "o", customerEmail: "a@example.com" });
  await jobmill.enqueueRefundNotification({ orderId: "o", customerEmail: "a@example.com", refundReason: "late" });
  assert.deepEqual(await jobmill.enqueueWelcomeEmail({ userId: "u", email: "a@example.com" }), RUN);
  assert.deepEqual(
    stand.asked.map(({ method, path, body }) => [method, path, body]),
    [
      ["POST", "/api/v1/jobs/purchase-confirmation/runs", { payload: { orderId: "o", customerEmail: "a@example.com" } }],
      [
        "POST",
        "/api/v1/jobs/refund-notification/runs",
        { payload: { orderId: "o", customerEmail: "a@example.com", refundReason: "late" } },
      ],
      ["POST", "/api/v1/jobs/welcome-email/runs", { payload: { userId: "u", email: "a@example.com" } }],
    ],
  );
  const keys = new Set(stand.asked.map(({ headers }) => headers["idempotency-key"]));
  assert.equal(keys.size, 3, "each call has a key of its own");
});

test("what is said of a run goes along with it", async () => {
  const { stand, jobmill } = await facing([ACCEPTED], { token: "secret" });
  await jobmill.enqueue("a/b", 1, {
    idempotencyKey: "key",
    delay: "5m",
    scheduledAt: new Date(0),
    priority: 3,
    uniqueKey: "unique",
    tags: ["a"],
  });
  const [asked] = stand.asked;
  assert.equal(asked?.path, "/api/v1/jobs/a%2Fb/runs");
  assert.equal(asked?.headers["idempotency-key"], "key");
  assert.equal(asked?.headers.authorization, "Bearer secret");
  assert.equal(asked?.headers["content-type"], "application/json");
  assert.deepEqual(asked?.body, {
    payload: 1,
    delay: "5m",
    scheduled_at: "1970-01-01T00:00:00.000Z",
    priority: 3,
    unique_key: "unique",
    tags: ["a"],
  });
});

test("server and token come from the variables where nothing else says them", async () => {
  stand = await Stand.start(ACCEPTED);
  process.env["JOBMILL_SERVER"] = `${stand.url}/shop/`;
  process.env["JOBMILL_TOKEN"] = "from-a-variable";
  await new Jobmill().run("run_1");
  assert.equal(stand.asked[0]?.path, "/shop/api/v1/runs/run_1");
  assert.equal(stand.asked[0]?.headers.authorization, "Bearer from-a-variable");
  assert.equal(stand.asked[0]?.headers["idempotency-key"], undefined);
});

test("a URL that is none is refused at once", () => {
  for (const baseUrl of ["localhost:8288", "ftp://example.com", ""]) {
    assert.throws(() => new Jobmill({ baseUrl }), { name: "TypeError", message: /JOBMILL_SERVER/ }, baseUrl);
  }
});

test("it is sent again under one key while the server says not now or the line is cut", async () => {
  const proxy: Answer = { status: 502, body: "<html>", headers: { "retry-after": "0" } };
  const { stand, jobmill } = await facing([NOT_READY, "cut", proxy, ACCEPTED]);
  assert.deepEqual(await jobmill.enqueueWelcomeEmail({ userId: "u", email: "a@example.com" }), RUN);
  assert.equal(stand.asked.length, 4);
  const keys = new Set(stand.asked.map(({ headers }) => headers["idempotency-key"]));
  assert.equal(keys.size, 1);
  assert.match(String([...keys][0]), /^[0-9a-f-]{36}$/);
});

test("an answer that does not come in time is asked for again", async () => {
  const { stand, jobmill } = await facing(["silence", ACCEPTED], { timeout: 200 });
  assert.deepEqual(await jobmill.run("run_1"), RUN);
  assert.equal(stand.asked.length, 2);
});

test("the server's own patience is kept to", async () => {
  const busy: Answer = { ...NOT_READY, status: 429, headers: { "retry-after": "1" } };
  const { jobmill } = await facing([busy, ACCEPTED]);
  const started = performance.now();
  await jobmill.run("run_1");
  assert.ok(performance.now() - started >= 950, "it waited for the second that it was asked to");
});

test("more patience than a minute is not had", async () => {
  const busy: Answer = { ...NOT_READY, headers: { "retry-after": "3600" } };
  const { stand, jobmill } = await facing([busy]);
  assert.equal((await refused(jobmill.run("run_1"))).code, "not-ready");
  assert.equal(stand.asked.length, 1);
});

test("retries end", async () => {
  const { stand, jobmill } = await facing([NOT_READY], { retries: 2 });
  const error = await refused(jobmill.run("run_1"));
  assert.deepEqual([error.status, error.code, error.detail], [503, "not-ready", "it is starting"]);
  assert.equal(stand.asked.length, 3);
});

test("a refusal is told with what does not fit and not sent again", async () => {
  const errors = [{ pointer: "/orderId", detail: "is required" }];
  const body = { title: "Payload invalid", status: 422, code: "payload-invalid", detail: "it does not fit", errors, event: 1 };
  const { stand, jobmill } = await facing([{ status: 422, body }]);
  const error = await refused(jobmill.enqueue("purchase-confirmation", {}));
  assert.deepEqual([error.status, error.code, error.errors, error.event], [422, "payload-invalid", errors, 1]);
  assert.equal(error.message, "payload-invalid: it does not fit (/orderId is required)");
  assert.equal(stand.asked.length, 1);
});

test("what is no Jobmill is said to be none", async () => {
  for (const status of [200, 301, 404]) {
    const { jobmill } = await facing([{ status, body: "<html>", headers: { location: "/elsewhere" } }]);
    const error = await refused(jobmill.run("run_1"));
    assert.deepEqual([error.status, error.code], [status, "unexpected-answer"]);
    assert.match(error.detail, /JOBMILL_SERVER/);
    stand?.stop();
  }
});

test("a server that is not there is said to be unreachable", async () => {
  const gone = await Stand.start(ACCEPTED);
  const baseUrl = gone.url;
  gone.stop();
  const error = await refused(new Jobmill({ baseUrl, retries: 1 }).run("run_1"));
  assert.deepEqual([error.status, error.code], [0, "unreachable"]);
  assert.match(error.detail, /ECONNREFUSED/);
  assert.ok(error.cause instanceof Error);
});

test("what is no JSON is the caller's mistake and sent nowhere", async () => {
  const { stand, jobmill } = await facing([ACCEPTED]);
  await assert.rejects(jobmill.enqueue("job", { amount: 1n }), TypeError);
  assert.equal(stand.asked.length, 0);
});

test("a caller's signal ends it, also between two tries", async () => {
  const { stand, jobmill } = await facing([{ ...NOT_READY, headers: { "retry-after": "30" } }]);
  const reason = new Error("the customer left");
  const controller = new AbortController();
  const run = jobmill.run("run_1", { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 100);
  await assert.rejects(run, reason);
  assert.equal(stand.asked.length, 1);
  await assert.rejects(jobmill.run("run_1", { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(stand.asked.length, 1);
});

test("events get ids that stay the same when they are sent again", async () => {
  const published = { events: [{ id: "1", runs: ["run_1"] }, { id: "2", runs: [] }] };
  const { stand, jobmill } = await facing([NOT_READY, { status: 202, body: published }]);
  const sent = await jobmill.send([
    { name: "email/welcome", data: { userId: "u" } },
    { name: "order/paid", data: 1, id: "mine", ts: new Date(0) },
  ]);
  assert.deepEqual(sent, published.events);
  const [first, second] = stand.asked.map(({ body }) => body);
  assert.deepEqual(first, second);
  assert.match(first[0].id, /^[0-9a-f-]{36}$/);
  assert.deepEqual(first[1], { name: "order/paid", data: 1, id: "mine", ts: "1970-01-01T00:00:00.000Z" });
});

test("one event has one answer and none has none", async () => {
  const { stand, jobmill } = await facing([{ status: 202, body: { events: [{ id: "1", runs: [] }] } }]);
  assert.deepEqual(await jobmill.send({ name: "a", data: {} }), { id: "1", runs: [] });
  assert.deepEqual(await jobmill.send([]), []);
  assert.equal(stand.asked.length, 1);
  assert.equal((await refused(jobmill.send([{ name: "a", data: {} }, { name: "b", data: {} }]))).code, "unexpected-answer");
});

test("a run is waited for until it is final", async () => {
  const states = ["available", "running", "retryable", "dead"];
  const { stand, jobmill } = await facing(states.map((state) => ({ status: 200, body: { ...RUN, state } })));
  assert.equal((await jobmill.waitFor("run_1")).state, "dead");
  assert.equal(stand.asked.length, 4);
});

test("a run that takes too long is said to go on", async () => {
  const { jobmill } = await facing([{ status: 200, body: RUN }]);
  assert.equal((await refused(jobmill.waitFor("run_1", { timeout: 120 }))).code, "still-going");
});
