// Sends events with Inngest's own SDK, which finds the server by its own variables (INNGEST_DEV, INNGEST_BASE_URL,
// INNGEST_EVENT_KEY).
//
//   inngest.mjs CASE…    one, hundred, ids, retried, wrong-key, invalid
//
// Prints { CASE: { ids } or { error }, and requests: [{ status, seed, answer }] }.

import { Inngest } from "inngest";

import { print, told } from "./print.mjs";

const welcome = (userId, more = {}) => ({ name: "email/welcome", data: { userId, email: "ada@example.com" }, ...more });

const quiet = Object.fromEntries(["debug", "info", "warn", "error"].map((level) => [level, console.error]));

const CASES = {
  one: (send) => send(welcome("one")),
  hundred: (send) => send(Array.from({ length: 100 }, (_, number) => welcome(`hundred-${number}`))),
  // The second and the third are one event, and so is what is sent again.
  ids: async (send) => {
    const events = [welcome("ids-1", { id: "a" }), welcome("ids-2", { id: "b" }), welcome("ids-2", { id: "b" })];
    const first = await send(events);
    const second = await send(welcome("ids-1", { id: "a" }));
    return { ids: [...first.ids, ...second.ids] };
  },
  // The server takes the first request, but its answer is lost.
  retried: (send) => send([welcome("retried-1"), welcome("retried-2")]),
  "wrong-key": (send) => send(welcome("wrong-key")),
  invalid: (send) => send([welcome("invalid-1"), { name: "email/welcome", data: { userId: 1 } }]),
};

async function run(name) {
  const requests = [];
  const watched = async (url, init) => {
    const response = await fetch(url, init);
    const answer = await response.clone().json().catch(() => null);
    requests.push({ status: response.status, seed: new Headers(init.headers).get("x-inngest-event-id-seed"), answer });
    if (name === "retried" && requests.length === 1) {
      throw new TypeError("the answer is lost");
    }
    return response;
  };
  const key = name === "wrong-key" ? { eventKey: "no-key-of-this-server" } : {};
  const inngest = new Inngest({ id: "shop", fetch: watched, logger: quiet, ...key });
  const outcome = await CASES[name]((events) => inngest.send(events)).catch(told);
  return { ...outcome, requests };
}

const results = {};
for (const name of process.argv.slice(2)) {
  if (!(name in CASES)) {
    throw new Error(`there is no case ${name}; there are ${Object.keys(CASES).join(", ")}`);
  }
  results[name] = await run(name);
}
print(results);
// The SDK may keep something open.
process.exit(0);
