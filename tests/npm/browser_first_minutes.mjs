// The first five minutes of somebody who has just started `jobmill dev`, with nothing but the pages.
//
//   browser_first_minutes.mjs URL CHROMIUM PROCESS COMPONENT HOPPER
//
// PROCESS is the server's, which is killed once; whoever runs this starts it again under the same address. COMPONENT is
// another version of welcome-email, which is put into the HOPPER. Prints what was seen, in its order, as { steps }.

import { copyFileSync, renameSync } from "node:fs";
import { join } from "node:path";

import { VIEWS, watch, with_browser } from "./chromium.mjs";
import { arguments_of } from "./print.mjs";

const usage = "browser_first_minutes.mjs URL CHROMIUM PROCESS COMPONENT HOPPER";
const [url, executable, process_id, component, hopper] = arguments_of(usage, "URL", "CHROMIUM", "PROCESS", "COMPONENT", "HOPPER");
const PATIENCE = 30_000;

/** Waits until the page says it. */
async function until(page, said) {
  const has = (it) => document.querySelector("main").innerText.includes(it);
  await page.waitForFunction(has, said, { timeout: PATIENCE });
}

const open = (page, word) => page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: word }).click();
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const timeline = async (page) => {
  const rows = page.getByRole("region", { name: "Timeline" }).getByRole("rowheader");
  return (await rows.allInnerTexts()).map((text) => text.trim());
};

/** A button runs the first job, and what it did can be read. */
async function the_first_run(page) {
  await page.goto(`${url}/`);
  const offered = await page.getByRole("main").getByRole("button").allInnerTexts();
  await press(page, "Run purchase-confirmation");
  await page.waitForURL(/\/runs\/run_/);
  await until(page, "with attempt 1 of 4");
  const run = page.url();
  const rows = await timeline(page);
  await open(page, "Mail");
  await page.getByRole("link", { name: "Your order order_123 is confirmed" }).click();
  await until(page, "captured");
  const mail = await page.getByRole("heading", { level: 1 }).innerText();
  await page.getByRole("link", { name: /^run/ }).click();
  await page.waitForURL(run);
  return { offered: offered.filter((text) => text !== ""), rows, mail };
}

/** The switch on Mail lets two sends fail, and the page of the run that meets it opens. */
async function let_two_fail(page, run) {
  await open(page, "Mail");
  await page.getByLabel("Fail the next").fill("2");
  await press(page, "Make them fail");
  await page.getByRole("status").waitFor();
  const notice = await page.getByRole("status").innerText();
  await page.goto(run);
  await press(page, "Rerun as new");
  await page.waitForURL((now) => now.href.includes("/runs/run_") && !now.href.startsWith(run));
  return notice;
}

/** Its attempts fail twice, it says how long it waits, and then it is done. */
async function the_retries(page, run) {
  const notice = await let_two_fail(page, run);
  await until(page, "for attempt 3 of 4");
  const waits = (await page.getByRole("main").innerText()).match(/Waiting \d+ s for attempt 3 of 4/)?.[0].replace(/\d+/, "N");
  const planned = await timeline(page);
  await until(page, "with attempt 3 of 4");
  return { notice, waits, planned, rows: await timeline(page) };
}

/** Killed while the run waits, and started again by whoever watches: the page finds its way back, and the run goes on. */
async function the_kill(page, run) {
  await let_two_fail(page, run);
  await until(page, "for attempt 3 of 4");
  process.kill(Number(process_id), "SIGKILL");
  await page.getByRole("button", { name: /waiting$/ }).waitFor({ timeout: PATIENCE });
  await until(page, "with attempt 3 of 4");
  return { rows: await timeline(page), live: await page.getByRole("button", { name: /live$/ }).innerText() };
}

/** Another version lies in the hopper, and the row says so while the page is open. */
async function the_new_version(page) {
  await open(page, "Jobs");
  await page.waitForURL(`${url}/jobs`);
  await page.getByRole("button", { name: /live$/ }).waitFor({ timeout: PATIENCE });
  const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "welcome-email", exact: true }) });
  const version = () => row.locator("code").first().innerText();
  const before = await version();
  await page.evaluate(() => { globalThis.isSamePage = true; });
  copyFileSync(component, join(hopper, ".welcome-email.new"));
  renameSync(join(hopper, ".welcome-email.new"), join(hopper, "welcome-email.wasm"));
  const other = ([row, version]) => !row.innerText.includes(version);
  await page.waitForFunction(other, [await row.elementHandle(), before], { timeout: PATIENCE });
  const after = await version();
  return { versions: [before, after].map((it) => /^[0-9a-f]{12}$/.test(it)), same_page: await page.evaluate(() => globalThis.isSamePage === true) };
}

/** An order that nobody has is dead at once, and is put right by a form. */
async function the_dead_letter(page) {
  await page.goto(`${url}/jobs/purchase-confirmation`);
  const form = page.locator("form").filter({ has: page.getByRole("button", { name: "Run", exact: true }) });
  await form.getByLabel("orderId").fill("order_321");
  await form.getByLabel("customerEmail").fill("user@example.com");
  await form.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("status").getByRole("link").click();
  await until(page, "Dead after attempt 1 of 4");
  await open(page, "Dead letters");
  await page.getByRole("main").getByRole("link", { name: /order_321|not/ }).first().click();
  await page.getByRole("link", { name: /^Edit and requeue/ }).first().click();
  const payload = page.getByLabel("Payload, as JSON");
  await payload.fill((await payload.inputValue()).replace("order_321", "order_124"));
  await press(page, "Enqueue the new run, discard this one");
  await page.getByRole("main").getByRole("link", { name: /^run_/ }).first().click();
  await until(page, "with attempt 1 of 4");
  await open(page, "Dead letters");
  await page.waitForURL(`${url}/dead`);
  return { dead: await page.getByRole("main").getByRole("table").count(), title: await page.title() };
}

await with_browser(executable, async (browser) => {
  const context = await browser.newContext(VIEWS.desk);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const found = { said: [], outside: [] };
  watch(page, url, found);
  const steps = { first_run: await the_first_run(page) };
  const run = page.url();
  steps.retries = await the_retries(page, run);
  const before = found.said.length;
  steps.kill = await the_kill(page, run);
  // That nobody answered meanwhile is what was wanted.
  found.said.length = before;
  steps.new_version = await the_new_version(page);
  steps.dead_letter = await the_dead_letter(page);
  return { steps, ...found };
});
