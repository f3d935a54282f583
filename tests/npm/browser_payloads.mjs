// Texts that would be scripts if a page took them for markup, in everything that a page shows.
//
//   browser_payloads.mjs URL CHROMIUM SECRET
//
// SECRET signs webhooks as Stripe does. Prints { texts, pages, said, outside, markup, missing }: how many texts were shown on how
// many pages, what pages complained of, what became markup, and which text a page did not show as it is.

import Stripe from "stripe";

import { VIEWS, api, each, finished, sign_in, watch, with_browser } from "./chromium.mjs";
import { arguments_of } from "./print.mjs";

const [url, executable, secret] = arguments_of("browser_payloads.mjs URL CHROMIUM SECRET", "URL", "CHROMIUM", "SECRET");
/** Pages at once. */
const AT_ONCE = 4;

/** None has a control character, which most fields refuse; the one with a null goes where it may. */
const TEXTS = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(2)>",
  "<svg onload=alert(3)>",
  '"><script>alert(4)</script>',
  "'><img src=x onerror=alert(5)>",
  "</script><script>alert(6)</script>",
  "</textarea><script>alert(7)</script>",
  "</title><script>alert(8)</script>",
  "</pre></code></dd></td><script>alert(9)</script>",
  '" autofocus onfocus="alert(10)',
  "' onmouseover='alert(11)' style='position:fixed;inset:0",
  "javascript:alert(12)",
  '<a href="javascript:alert(13)">x</a>',
  '<iframe srcdoc="<script>parent.alert(14)</script>"></iframe>',
  "<details open ontoggle=alert(15)>",
  "<svg><animate onbegin=alert(16) attributeName=x dur=1s>",
  '<math><a xlink:href="javascript:alert(17)">x',
  "--><script>alert(18)</script><!--",
  "]]><script>alert(19)</script>",
  "<scr<script>ipt>alert(20)</scr</script>ipt>",
  "&lt;script&gt;alert(21)&lt;/script&gt;",
  "\\u003cscript\\u003ealert(22)\\u003c/script\\u003e",
  "\uff1cscript\uff1ealert(23)\uff1c/script\uff1e",
  "<\u017fcript>alert(24)</\u017fcript>",
  "\u202e<script>alert(25)</script>\u202c",
  '<base href="//elsewhere.example/">',
  '<meta http-equiv="refresh" content="0;url=javascript:alert(27)">',
  '<form action="javascript:alert(28)"><button autofocus>x</button></form>',
  "<style>@import'//elsewhere.example/29.css'</style>",
  "{{constructor.constructor('alert(30)')()}}${alert(30)}{%raw%}",
];
const WITH_A_NULL = "<scr\u0000ipt>alert(31)</scr\u0000ipt>";

const run = async (job, body) => (await api(url, "POST", `/api/v1/jobs/${job}/runs`, body)).id;
const money = { minor: 1800, currency: "EUR" };
const welcome = (text, number) => ({ userId: text, email: `u${number}@example.com`, name: text, [text]: WITH_A_NULL });

/** Brings a text into everything that takes it, and says which pages show it. */
async function bring_in(text, number) {
  const refund = { orderId: text, customerEmail: "ada@example.com", refundReason: text, [text]: text };
  const dead = await run("refund-notification", { payload: refund, tags: [text], unique_key: text });
  const discarded = await run("refund-notification", { payload: refund });
  const welcomed = await run("welcome-email", { payload: welcome(text, number) });
  const cancelled = await run("welcome-email", { payload: welcome(text, number), delay: "1h" });
  await api(url, "POST", `/api/v1/runs/${cancelled}/cancel`, { reason: text });
  const items = [{ sku: text, name: text, quantity: 2, unit_price: money }];
  const order = { status: "paid", customer_email: "ada@example.com", customer_name: text, items, total: money, metadata: { note: text } };
  await api(url, "PUT", `/api/v1/orders/order_${number}`, order);
  const bought = await run("purchase-confirmation", { payload: { orderId: `order_${number}`, customerEmail: "ada@example.com" } });
  const event = { name: text.replaceAll(/\s/g, "/"), id: text, data: { [text]: text } };
  await api(url, "POST", "/api/v1/events", event);
  const kept = await api(url, "GET", `/api/v1/events?name=${encodeURIComponent(event.name)}`);
  const body = JSON.stringify({ id: `evt_${text}`, object: "event", type: text, data: { object: { note: text } } });
  const signature = new Stripe("sk_test_none").webhooks.generateTestHeaderString({ payload: body, secret });
  const delivery = await api(url, "POST", "/webhooks/stripe", body, { "stripe-signature": signature });
  await api(url, "PUT", `/api/v1/suppressions/bounced${number}@example.com`, { reason: text, by: text });
  await Promise.all([dead, discarded, welcomed, bought].map((id) => finished(url, id)));
  await api(url, "POST", "/api/v1/dead/discard", { filter: { ids: [discarded] }, reason: text });
  const mail = async (id) => (await api(url, "GET", `/api/v1/runs/${id}/mail`)).items[0].id;
  const paths = [`/runs/${dead}`, `/runs/${dead}/journal`, `/runs/${dead}/edit`, `/dead/edit/${dead}`, `/runs/${discarded}`];
  paths.push(`/runs/${welcomed}`, `/runs/${cancelled}`, `/mail/${await mail(welcomed)}`, `/events/${kept.items[0].key}`, `/deliveries/${delivery.delivery}`);
  // Long pages that have nothing of their own: some of the texts are enough.
  if (number % 3 === 0) paths.push(`/mail/${await mail(bought)}`, `/jobs/refund-notification?from=${dead}`);
  const tried = number % 5 === 0 ? [dead, welcomed] : [];
  return [
    ...paths.map((path) => ({ path, texts: [text] })),
    ...tried.map((id) => ({ path: `/runs/${id}`, press: "Try it out", texts: [text] })),
  ];
}

/** The pages that show all of them at once. */
async function lists() {
  const groups = (await api(url, "GET", "/api/v1/dead")).items;
  const of_group = groups.flatMap(({ job, fingerprint }) => {
    const target = `job=${job}&fingerprint=${fingerprint}`;
    return [`/dead/${fingerprint}?job=${job}`, `/dead/requeue?${target}`, `/dead/discard?${target}`];
  });
  const paths = ["/", "/jobs", "/dead", "/queues", "/schedule", "/jobs/welcome-email", "/runs", "/runs?state=dead", "/runs?state=cancelled"];
  const listed = [...paths, ...of_group].map((path) => ({ path, texts: [] }));
  for (const path of ["/mail", "/events", "/suppressions", "/deliveries", "/system", "/audit"]) listed.push({ path, texts: [] });
  return listed;
}

/** The pages that say back what they were asked for. */
function echoes() {
  const asked = ["/runs?job=", "/runs?tag=", "/runs?error=", "/runs?event=", "/runs?since=", "/runs?cursor=", "/runs?", "/mail?to=", "/mail?kind="];
  asked.push("/mail?run=", "/events?name=", "/deliveries?endpoint=", "/dead?job=", "/jobs/", "/runs/", "/dead/", "/events/", "/mail/", "/audit?target=", "/audit?by=", "/none/");
  const some = ['</title>"><script>alert(4)</script>', '" autofocus onfocus="alert(10)'];
  return asked.flatMap((path) => some.map((text) => ({ path: path + encodeURIComponent(text), texts: [] })));
}

/** What only markup of somebody else's could be. */
const foreign = () => {
  const found = [];
  for (const node of document.querySelectorAll("*")) {
    for (const { name, value } of node.attributes) {
      const is_link = ["href", "src", "action", "formaction", "xlink:href", "srcdoc"].includes(name);
      if (name.startsWith("on") || name === "style" || (is_link && /^\s*javascript:/i.test(value))) found.push(node.outerHTML.slice(0, 200));
    }
  }
  const own = 'script[src="/assets/jobmill.js"], meta[charset], meta[name], iframe[sandbox][src^="/mail/"]';
  const strange = document.querySelectorAll("script, style, base, meta, iframe, object, embed, img, math, animate, [autofocus]");
  for (const node of strange) if (!node.matches(own)) found.push(node.outerHTML.slice(0, 200));
  return found;
};

/** Everything that a reader could see, also in fields and in what is folded. */
const shown = () => {
  const fields = [...document.querySelectorAll("input, textarea, option")].map((node) => node.value);
  return [document.title, document.body.textContent, ...fields].join("\n");
};

/** A text as JSON or an error has it. */
const spellings = (text) => {
  const once = JSON.stringify(text).slice(1, -1);
  return [text, once, JSON.stringify(once).slice(1, -1), text.replaceAll(/\s/g, "/")];
};

async function look(page, { path, press, texts }, found) {
  await page.goto(url + path);
  if (press) {
    const leads_on = page.waitForNavigation();
    await page.getByRole("button", { name: press, exact: true }).click();
    await leads_on;
  }
  await page.locator("h1").waitFor();
  // A field is typed into and left, a row is pointed at: what waits for that has its chance.
  await page.mouse.move(640, 300);
  for (const frame of page.frames()) {
    const markup = await frame.evaluate(foreign).catch(() => []);
    // What a mail's own document looks like is the job's affair; that nothing in it runs is seen by what does not happen.
    if (frame === page.mainFrame()) found.markup.push(...markup.map((node) => `${path}: ${node}`));
  }
  const seen = await page.evaluate(shown);
  for (const text of texts) if (!spellings(text).some((it) => seen.includes(it))) found.missing.push(`${path}: ${text}`);
  found.pages += 1;
}

await with_browser(executable, async (browser) => {
  const found = { texts: TEXTS.length, pages: 0, said: [], outside: [], markup: [], missing: [] };
  const entries = [];
  await each(TEXTS, AT_ONCE, async (text, _, number) => entries.push(...(await bring_in(text, number))));
  await api(url, "POST", "/api/v1/jobs/welcome-email/pause", { by: TEXTS.slice(3, 8).join(" ") });
  entries.push(...(await lists()));
  const { secret: operator } = await api(url, "POST", "/api/v1/tokens", { name: "ops", scope: "operate" });
  for (const name of TEXTS) await api(url, "POST", "/api/v1/tokens", { name, scope: "read" }, { authorization: `Bearer ${operator}` });
  entries.push({ path: "/system", texts: TEXTS });
  const context = await browser.newContext(VIEWS.desk);
  await sign_in(await context.newPage(), url, operator);
  const pages = await Promise.all(Array.from({ length: AT_ONCE }, () => context.newPage()));
  for (const page of pages) watch(page, url, found);
  const read = (entry, number) => look(pages[number], entry, found).catch((error) => found.said.push(`${entry.path}: ${error.message}`));
  await each([...entries.filter(({ press }) => !press), ...echoes()], AT_ONCE, read);
  // Few trials go on at once.
  await each(entries.filter(({ press }) => press), 1, read);
  return found;
});
