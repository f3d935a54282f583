// Reads the dashboard with Chromium, as people do who see, who hear it read, and who have a telephone.
//
//   browser.mjs pages URL CHROMIUM PATH…   each page in the light and in the dark by axe, and its width at 390 pixels
//   browser.mjs live URL CHROMIUM          what moves on a page, and what its keys do
//
// Prints { pages: { PATH: { said, outside, violations, sideways } } } or { steps: { NAME: what was seen } }.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

import { arguments_of, print, told } from "./print.mjs";

const usage = "browser.mjs pages|live URL CHROMIUM [PATH…]";
const [what, url, executablePath] = arguments_of(usage, "pages|live", "URL", "CHROMIUM");
const paths = process.argv.slice(5);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const VIEWS = {
  light: { viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  telephone: { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true },
};

/** What a page complains of, and whom else it asks. That there is no such page is no complaint: it says so itself. */
function watch(page, view, found, own) {
  page.on("console", (message) => {
    const isOfPage = message.location().url === own;
    if (["error", "warning"].includes(message.type()) && !(isOfPage && message.text().includes("404"))) found.said.push(`${view}: ${message.text()}`);
  });
  page.on("pageerror", (error) => found.said.push(`${view}: ${told(error).error}`));
  page.on("response", (answer) => {
    if (answer.status() >= 400 && answer.url() !== own) found.said.push(`${view}: ${answer.status()} ${answer.url()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`)) found.outside.push(request.url());
  });
}

async function read(browser, paths) {
  const pages = Object.fromEntries(paths.map((path) => [path, { said: [], outside: [], violations: [], sideways: 0 }]));
  for (const [view, options] of Object.entries(VIEWS)) {
    const context = await browser.newContext(options);
    for (const path of paths) {
      const page = await context.newPage();
      watch(page, view, pages[path], url + path);
      await page.goto(url + path);
      await page.locator("h1").waitFor();
      if (view === "telephone") {
        pages[path].sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      } else {
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run());
        const places = violations.flatMap(({ id, nodes }) => nodes.map((node) => `${view}: ${id}: ${node.html} ${node.failureSummary}`));
        pages[path].violations.push(...places);
      }
      if (process.env.SCREENSHOTS) {
        const name = path.replaceAll(/[^a-z0-9]+/gi, "_");
        await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}-${view}.png`, fullPage: true });
      }
      await page.close();
    }
    await context.close();
  }
  return pages;
}

async function enqueue(payload) {
  const answer = await fetch(`${url}/api/v1/jobs/welcome-email/runs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: `{ "payload": ${payload} }`,
  });
  return (await answer.json()).id;
}

const welcome = (user, more = "") => `{ "userId": "${user}", "email": "ada@example.com"${more} }`;

async function follow(browser) {
  const steps = {};
  const context = await browser.newContext(VIEWS.light);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  const found = { said: [], outside: [] };
  watch(page, "live", found);
  const shows = (id, timeout) =>
    page.waitForFunction((it) => document.querySelector("main").textContent.includes(it), id, { timeout }).then(() => true, () => false);

  const first = await enqueue(welcome("first"));
  await page.goto(`${url}/runs`);
  await page.locator(".live", { hasText: "live" }).waitFor();
  await page.evaluate(() => { globalThis.isSamePage = true; });
  const second = await enqueue(welcome("second"));
  steps.appears = await shows(second, 10_000);
  steps.same_page = await page.evaluate(() => globalThis.isSamePage === true);

  await page.keyboard.press("Space");
  steps.paused = await page.locator(".live").textContent();
  const third = await enqueue(welcome("third"));
  steps.appears_while_paused = await shows(third, 2_500);
  await page.keyboard.press("Space");
  steps.appears_afterwards = await shows(third, 10_000);

  await page.keyboard.press("?");
  steps.help = await page.locator("dialog").isVisible();
  await page.keyboard.press("Escape");
  steps.help_is_gone = !(await page.locator("dialog").isVisible());
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme ?? "system");
  await page.keyboard.press("t");
  await page.keyboard.press("t");
  await page.reload();
  steps.theme = await theme();
  await page.keyboard.press("/");
  steps.focus = await page.evaluate(() => document.activeElement.closest("form.filters") !== null);
  await page.keyboard.press("Tab");
  await page.locator("h1").click();
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/runs\/run_/);
  steps.opened = new URL(page.url()).pathname.startsWith("/runs/run_");
  await page.keyboard.press("g");
  await page.keyboard.press("j");
  await page.waitForURL(`${url}/jobs`);

  const exact = await enqueue(welcome("exact", ', "number": 12345678901234567890.10'));
  await page.goto(`${url}/runs/${exact}`);
  const json = page.locator("pre[data-json]", { hasText: "12345678901234567890.10" }).first();
  steps.folds = await json.locator("details").count() > 0;
  await json.locator("button.copy").click();
  steps.copied = await page.evaluate(() => navigator.clipboard.readText());

  const bare = await browser.newContext({ ...VIEWS.light, javaScriptEnabled: false });
  const plain = await bare.newPage();
  await plain.goto(`${url}/runs`);
  const text = await plain.locator("main").textContent();
  steps.without_script = [first, second, third].every((id) => text.includes(id));
  return { steps, ...found };
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
try {
  if (what === "live") {
    print(await follow(browser));
  } else {
    print({ pages: await read(browser, paths) });
  }
} finally {
  await browser.close();
}
