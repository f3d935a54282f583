// A shop's morning, for pictures: customers, orders, and what goes wrong, at times that are the same whenever it is made.
// It serves pictures only; tests say what they need where they need it.

import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import Stripe from "stripe";

import { api, finished } from "./chromium.mjs";

/** Of the morning that the pictures show. */
const DAY = "2026-09-14";
const SECRET = "whsec_of_a_shop_that_is_none";
const CONFIGURATION = `
[queues.mail]
concurrency = 8

[queues.newsletter]
concurrency = 2

[jobs.purchase-confirmation]
queue = "mail"
concurrency = [{ limit = 1, key = "/customerEmail" }]

[jobs.nightly-stats]
queue = "newsletter"
cron = ["TZ=Europe/Berlin 30 5 * * MON-FRI"]

[webhooks.stripe]
kind = "stripe"
secrets = ["${SECRET}"]
`;

const PEOPLE = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Mary Jackson", "Edsger Dijkstra", "Hedy Lamarr", "Tim Lee", "Radia Perlman"];
const GOODS = [
  ["LAMP-02", "Reading lamp “Aurora”", 4995],
  ["MUG-07", "Stoneware mug", 1450],
  ["TEA-11", "Assam tea, 250 g", 899],
  ["PEN-05", "Fountain pen", 7900],
  ["BAG-22", "Canvas bag", 3450],
];
const mail_of = (name) => `${name.split(" ")[0].toLowerCase()}@example.com`;

/** A job with a cron: the component of the welcome mails under another name of the same length, which requires nothing. */
function nightly(component) {
  const names = { "welcome-email": "nightly-stats", "Welcome email": "Nightly stats", "email/welcome": "stats/nightly", required: "requires" };
  let text = component.toString("latin1");
  for (const [name, other] of Object.entries(names)) text = text.replaceAll(name, other);
  return Buffer.from(text, "latin1");
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 100));

/** `jobmill dev` on a directory, under a wall clock that is set by hand. */
export class Shop {
  constructor(directory) {
    this.directory = directory;
    this.hopper = join(directory, "hopper");
    this.dial = join(directory, "clock");
    this.number = 1000;
  }

  /** Starts it at that time of the day, with these components. */
  async open(binary, shim, components, time) {
    mkdirSync(this.hopper, { recursive: true });
    for (const job of ["purchase-confirmation", "refund-notification", "welcome-email"]) copyFileSync(join(components, `${job}.wasm`), join(this.hopper, `${job}.wasm`));
    writeFileSync(join(this.hopper, "nightly-stats.wasm"), nightly(readFileSync(join(components, "welcome-email.wasm"))));
    writeFileSync(join(this.directory, "jobmill.toml"), CONFIGURATION);
    this.set_clock(time);
    const env = { ...process.env, LD_PRELOAD: shim, WALL_CLOCK_FILE: this.dial };
    this.server = spawn(binary, ["dev", "--listen", "127.0.0.1:0"], { cwd: this.directory, env, stdio: ["ignore", "pipe", "pipe"] });
    const said = [];
    this.url = await new Promise((resolve, reject) => {
      for (const stream of [this.server.stdout, this.server.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          said.push(line);
          const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
          if (url) resolve(url);
        });
      }
      this.server.on("exit", () => reject(new Error(`jobmill dev ended: ${said.slice(-20).join("\n")}`)));
    });
    while ((await this.ask("GET", "/api/v1/jobs")).items.length < 4) await pause();
  }

  close() {
    this.server?.kill();
  }

  /** The shim reads this file while it runs: whole seconds, to be added to the machine's own time. */
  set_clock(time) {
    const offset = Math.round((Date.parse(`${DAY}T${time}Z`) - Date.now()) / 1000);
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(offset));
    // In place, for it is mapped.
    writeFileSync(this.dial, bytes, { flag: this.url ? "r+" : "w" });
  }

  ask(method, path, body, headers) {
    return api(this.url, method, path, body, headers);
  }

  async run(job, payload, more = {}) {
    return (await this.ask("POST", `/api/v1/jobs/${job}/runs`, { payload, ...more })).id;
  }

  /** Somebody buys something, and the payment provider tells of it. */
  async purchase({ is_written = true } = {}) {
    this.number += 1;
    const id = `order_${this.number}`;
    const name = PEOPLE[this.number % PEOPLE.length];
    const chosen = GOODS.filter((_, place) => (this.number >> place) % 2 === 1).slice(0, 3);
    const goods = chosen.length > 0 ? chosen : [GOODS[0]];
    const items = goods.map(([sku, title, minor]) => ({ sku, name: title, quantity: 1, unit_price: { minor, currency: "EUR" } }));
    const total = { minor: goods.reduce((sum, [, , minor]) => sum + minor, 0), currency: "EUR" };
    const order = { status: "paid", customer_email: mail_of(name), customer_name: name, items, total };
    if (is_written) await this.ask("PUT", `/api/v1/orders/${id}`, order);
    return { id, name, payload: { orderId: id, customerEmail: mail_of(name) } };
  }

  async delivery(type, object) {
    const body = JSON.stringify({ id: `evt_${type}_${this.number}`, object: "event", type, livemode: true, data: { object } });
    const header = new Stripe("sk_test_none").webhooks.generateTestHeaderString({ payload: body, secret: SECRET, timestamp: Math.floor((Date.now() + this.ahead()) / 1000) });
    return this.ask("POST", "/webhooks/stripe", body, { "stripe-signature": header });
  }

  ahead() {
    return Number(readFileSync(this.dial).readBigInt64LE()) * 1000;
  }

  fail_mails(fail_next, kind) {
    return this.ask("POST", "/api/v1/mail/faults", { fail_next, kind });
  }

  /** One purchase, and nothing else. */
  async one() {
    this.set_clock("07:05:00");
    const bought = await this.purchase();
    await finished(this.url, await this.run("purchase-confirmation", bought.payload));
  }

  /** What happens in one minute of that hour; the runs that it starts. */
  async minute(minute) {
    const runs = [];
    const customer = PEOPLE[minute % PEOPLE.length];
    for (let each = 0; each < 1 + ((minute * 7) % 4); each += 1) {
      const bought = await this.purchase();
      const confirmed = await this.run("purchase-confirmation", bought.payload, { tags: minute % 5 === 0 ? ["autumn-sale"] : [] });
      runs.push(confirmed);
      if (minute % 6 !== 2) continue;
      // What is refunded was bought before.
      await finished(this.url, confirmed);
      runs.push(await this.refund(bought.id, bought.name));
    }
    if (minute % 4 === 0) runs.push(await this.run("welcome-email", { userId: `u_${minute}`, email: mail_of(customer), name: customer }));
    if (minute % 9 === 3) runs.push(await this.refund(`order_8${minute}`, customer));
    if (minute % 10 === 6) {
      const bought = await this.purchase();
      await this.delivery("checkout.session.completed", { id: `cs_${this.number}`, client_reference_id: bought.id, customer_details: { email: bought.payload.customerEmail }, payment_status: "paid" });
      await this.ask("POST", "/api/v1/events", { name: "email/welcome", data: { userId: `u_${minute}`, email: mail_of(customer), name: customer } });
    }
    if (minute === 30) await this.delivery("customer.updated", { id: "cus_1" });
    return runs;
  }

  refund(order, name) {
    return this.run("refund-notification", { orderId: order, customerEmail: mail_of(name), refundReason: "Damaged in transit" });
  }

  /** An hour of a shop, with a mail server that was away and refunds of orders that nobody has. */
  async many() {
    for (let minute = 0; minute < 58; minute += 1) {
      this.set_clock(`09:${String(minute).padStart(2, "0")}:00`);
      if (minute === 21) await this.fail_mails(14, "permanent");
      if (minute === 41) await this.fail_mails(5, "transient");
      const runs = await this.minute(minute);
      // Else the clock would move within their attempts.
      await Promise.all(runs.map((id) => finished(this.url, id)));
    }
    await this.fail_mails(0, "transient");
    await this.ask("POST", "/api/v1/events", { name: "cart/abandoned", data: { cart: ["MUG-07", "TEA-11"], value: 2349 } });
    await this.ask("PUT", "/api/v1/suppressions/gone@example.com", { reason: "the address bounced twice" });
    for (const name of PEOPLE) await this.run("welcome-email", { userId: name, email: mail_of(name), name }, { delay: "2h", tags: ["newsletter"] });
    const cancelled = await this.run("welcome-email", { userId: "u_9", email: "eve@example.com" }, { delay: "2h" });
    await this.ask("POST", `/api/v1/runs/${cancelled}/cancel`, { reason: "the customer closed the account" });
    this.set_clock("09:58:40");
    await this.fail_mails(2, "transient");
    this.retried = await this.run("purchase-confirmation", (await this.purchase()).payload);
    await finished(this.url, this.retried);
    this.set_clock("09:59:00");
  }

  /** What an operator has to see to. */
  async broken() {
    writeFileSync(join(this.hopper, "newsletter.wasm"), "none");
    writeFileSync(join(this.hopper, "refund-notification.wasm"), "half a copy");
    await this.ask("POST", "/api/v1/jobs/purchase-confirmation/pause", { by: "grace" });
    for (let each = 0; each < 4; each += 1) await this.run("purchase-confirmation", (await this.purchase()).payload);
    await fetch(`${this.url}/webhooks/stripe`, { method: "POST", body: "{}" });
    const is_broken = (job) => job.status === "broken" || job.error;
    while ((await this.ask("GET", "/api/v1/jobs")).items.filter(is_broken).length < 2) await pause();
  }
}
