// Pictures of the dashboard over a shop's morning. `cargo xtask screenshots` runs it.
//
//   screenshots.mjs BINARY CHROMIUM SHIM COMPONENTS WORK OUT [all]
//
// SHIM is the wall clock's, COMPONENTS has the compiled jobs, WORK is an empty directory for the server. Into OUT come the README's
// three pictures, or all pages in every state at two widths, in the light and in the dark, with a sheet for each page.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { VIEWS, with_browser } from "./chromium.mjs";
import { arguments_of } from "./print.mjs";
import { Shop } from "./shop.mjs";

const usage = "screenshots.mjs BINARY CHROMIUM SHIM COMPONENTS WORK OUT [all]";
const [binary, executable, shim, components, work, out] = arguments_of(usage, "BINARY", "CHROMIUM", "SHIM", "COMPONENTS", "WORK", "OUT");
const wants_all = process.argv[8] === "all";
const LOOKS = Object.keys(VIEWS).flatMap((view) => ["light", "dark"].map((light) => ({ view, light })));
const SECTIONS = ["/", "/jobs", "/runs", "/dead", "/queues", "/schedule", "/mail", "/suppressions", "/events", "/deliveries", "/system", "/audit"];

/** The first of a list, as an address. */
async function first(shop, list, path, key, more = () => "") {
  const { items } = await shop.ask("GET", list);
  return items.length > 0 ? [path.replace("*", items[0][key]) + more(items[0])] : [];
}

/** The pages of single things that are there. */
async function things(shop) {
  const of_state = (state) => first(shop, `/api/v1/runs?state=${state}`, "/runs/*", "id");
  const groups = (path) => first(shop, "/api/v1/dead", path, "fingerprint", ({ job }) => `?job=${job}`);
  const questions = (path) => first(shop, "/api/v1/dead", path, "fingerprint", ({ job, fingerprint }) => `?job=${job}&fingerprint=${fingerprint}`);
  const dead = await first(shop, "/api/v1/runs?state=dead", "/dead/edit/*", "id");
  const lists = await Promise.all([
    ...["completed", "dead", "scheduled", "cancelled", "available"].map(of_state),
    groups("/dead/*"),
    questions("/dead/requeue"),
    questions("/dead/discard"),
    first(shop, "/api/v1/runs?state=completed", "/runs/*/journal", "id"),
    first(shop, "/api/v1/runs?state=dead", "/runs/*/edit", "id"),
    first(shop, "/api/v1/mail", "/mail/*", "id"),
    first(shop, "/api/v1/mail", "/mail/*/release", "id"),
    first(shop, "/api/v1/events", "/events/*", "key"),
    first(shop, "/api/v1/webhooks/deliveries", "/deliveries/*", "id"),
  ]);
  const fixed = ["/jobs/purchase-confirmation", "/jobs/welcome-email", "/jobs/refund-notification", "/mail/clear", "/runs/none-such", "/none-such"];
  return [...lists.flat(), ...dead, ...(shop.retried ? [`/runs/${shop.retried}`] : []), ...fixed];
}

/** The page that an address is of: ids differ. */
const kind_of = (path) => path.replace(/\?.*/, "").replace(/(run|mail|evt|dlv|event|delivery)_\w+|[0-9a-f]{16}|[0-9A-HJKMNP-TV-Z]{26}/g, "one").replaceAll("/", "_").slice(1) || "overview";

async function picture(contexts, shop, path, state, sheets) {
  const kind = kind_of(path);
  for (const { view, light } of LOOKS) {
    const page = await contexts[view].newPage();
    await page.emulateMedia({ colorScheme: light });
    const answer = await page.goto(shop.url + path);
    await page.waitForTimeout(100);
    const sheet = (sheets[kind] ??= []);
    const file = `${kind}-${sheet.length}-${state}-${view}-${light}.png`;
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    await page.screenshot({ path: join(out, file), fullPage: true });
    sheet.push({ file, caption: `${path}, ${state}, ${view}, ${light}: ${answer.status()}${sideways > 0 ? `, ${sideways} pixels too wide` : ""}` });
    await page.close();
  }
}

/** One document for each page with all its pictures beside each other. */
function write_sheets(sheets) {
  const figure = ({ file, caption }) => `<figure><img src="${file}" alt="" loading="lazy"><figcaption>${caption}</figcaption></figure>`;
  const style = "body{display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;background:#888;font:12px sans-serif}figure{margin:0}img{display:block;max-width:620px;max-height:1400px}";
  for (const [kind, pictures] of Object.entries(sheets)) {
    const document = `<!doctype html><html lang="en"><meta charset="utf-8"><title>${kind}</title><style>${style}</style>${pictures.map(figure).join("\n")}</html>\n`;
    writeFileSync(join(out, `${kind}.html`), document);
  }
}

async function all(browser, shop) {
  const contexts = {};
  for (const [view, options] of Object.entries(VIEWS)) contexts[view] = await browser.newContext(options);
  const sheets = {};
  const take = async (state, paths) => {
    for (const path of paths) await picture(contexts, shop, path, state, sheets);
  };
  await take("empty", SECTIONS);
  await shop.one();
  await take("one", SECTIONS);
  await shop.many();
  await take("many", [...SECTIONS, ...(await things(shop))]);
  await shop.broken();
  await take("broken", [...SECTIONS, "/jobs/refund-notification", ...(await first(shop, "/api/v1/runs?state=available", "/runs/*", "id"))]);
  await shop.ask("POST", "/api/v1/tokens", { name: "ops", scope: "operate" });
  await take("closed", ["/sign-in", "/sign-in?ended=true"]);
  write_sheets(sheets);
  return { pages: Object.keys(sheets).length, pictures: Object.values(sheets).flat().length };
}

/** The README's: what a reader sees first of each. */
async function of_readme(browser, shop) {
  await shop.many();
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light" })).newPage();
  const pictures = { overview: "/", run: `/runs/${shop.retried}`, "dead-letters": "/dead" };
  for (const [name, path] of Object.entries(pictures)) {
    await page.goto(shop.url + path);
    await page.locator("h1").waitFor();
    await page.screenshot({ path: join(out, `${name}.png`), animations: "disabled" });
  }
  return { pictures: Object.keys(pictures).length };
}

mkdirSync(out, { recursive: true });
const shop = new Shop(work);
await with_browser(executable, async (browser) => {
  try {
    await shop.open(binary, shim, components, "07:00:00");
    return await (wants_all ? all : of_readme)(browser, shop);
  } finally {
    shop.close();
  }
});
