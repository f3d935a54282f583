// Monday morning: what died over the weekend is understood, tried out and put back, with nothing but the pages.
//
//   browser_monday.mjs URL CHROMIUM COMPONENT HOPPER
//
// COMPONENT is purchase-confirmation with its mistake mended, which is put into the HOPPER. Prints what was seen, as { steps }.

import { copyFileSync, renameSync } from "node:fs";
import { join } from "node:path";

import { VIEWS, watch, with_browser } from "./chromium.mjs";
import { arguments_of } from "./print.mjs";

const usage = "browser_monday.mjs URL CHROMIUM COMPONENT HOPPER";
const [url, executable, component, hopper] = arguments_of(usage, "URL", "CHROMIUM", "COMPONENT", "HOPPER");
const PATIENCE = 60_000;
const MENDED = "purchase-confirmation";

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const row_of = (page, job) => page.getByRole("main").getByRole("row").filter({ has: page.getByRole("link", { name: job, exact: true }) });

/** The groups as they stand on the desk: the job of each, and of how many runs it says it is. */
async function groups(page) {
  const rows = await page.getByRole("main").getByRole("row").allInnerTexts();
  const found = rows.map((row) => [/(purchase-confirmation|refund-notification|welcome-email)/.exec(row)?.[0], /^\D*(\d+)/.exec(row)?.[1]]);
  return Object.fromEntries(found.filter(([job]) => job));
}

/** The mended component lies in the hopper, and the desk says so while it is open. */
async function a_fix(page) {
  const hint = row_of(page, MENDED).getByText("a newer version is loaded");
  const before = await hint.count();
  copyFileSync(component, join(hopper, ".mended.new"));
  renameSync(join(hopper, ".mended.new"), join(hopper, `${MENDED}.wasm`));
  await hint.waitFor({ timeout: PATIENCE });
  return { before, after: await hint.count() };
}

/** One of the group is tried out, and nothing is changed by it. */
async function a_trial(page) {
  await row_of(page, MENDED).getByRole("button", { name: /^Try (it )?out/ }).click();
  await page.getByText("it would complete").first().waitFor();
  const said = await page.getByRole("main").innerText();
  await page.goto(`${url}/dead`);
  return { mail: said.includes("1 mail"), nothing: said.includes("Nothing was sent or changed"), dead: (await groups(page))[MENDED] };
}

/** A group is put back: the page asks with the number, and says afterwards what was done. */
async function requeue(page, job, spread) {
  await page.goto(`${url}/dead`);
  await row_of(page, job).getByRole("button", { name: /^Requeue/ }).click();
  const question = await page.getByRole("heading", { level: 1 }).innerText();
  await page.getByLabel("Spread").selectOption(spread);
  await page.getByRole("button", { name: /^Requeue/ }).click();
  await page.getByRole("status").waitFor();
  return { question, report: await page.getByRole("status").innerText() };
}

await with_browser(executable, async (browser) => {
  const context = await browser.newContext(VIEWS.desk);
  const found = { said: [], outside: [] };
  const page = watch(await context.newPage(), url, found);
  page.setDefaultTimeout(PATIENCE);
  await page.goto(`${url}/dead`);
  const steps = { groups: await groups(page) };
  await page.getByRole("button", { name: /live$/ }).waitFor();
  steps.fix = await a_fix(page);
  steps.trial = await a_trial(page);
  steps.requeued = [await requeue(page, MENDED, "30s")];
  const progress = page.getByRole("progressbar", { name: "Runs that have ended" });
  const ended = async () => [await progress.getAttribute("value"), await progress.getAttribute("max")].map(Number);
  steps.progress = { at_first: await ended() };
  const desk = watch(await context.newPage(), url, found);
  desk.setDefaultTimeout(PATIENCE);
  steps.requeued.push(await requeue(desk, "refund-notification", "none"));
  steps.requeued.push(await requeue(desk, "welcome-email", "none"));
  // The report of the first group, which is open all the while, counts up by itself.
  await page.bringToFront();
  const all = Number(await progress.getAttribute("max"));
  await page.locator(`progress[value="${all}"]`).waitFor();
  steps.progress.in_the_end = await ended();
  return { steps, ...found };
});
