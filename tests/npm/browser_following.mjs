// What moves on a page while runs go by elsewhere, and what its keys do.
//
//   browser_following.mjs URL CHROMIUM
//
// Prints { steps: { NAME: what was seen }, milliseconds, said, outside }. `milliseconds` is how long runs took to appear, from
// the moment that their enqueue was answered, each by itself.

import { VIEWS, watch, with_browser } from "./chromium.mjs";
import { arguments_of } from "./print.mjs";

const [url, executable] = arguments_of("browser_following.mjs URL CHROMIUM", "URL", "CHROMIUM");
const light = { ...VIEWS.desk, colorScheme: "light" };

async function enqueue(payload) {
  const answer = await fetch(`${url}/api/v1/jobs/welcome-email/runs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: `{ "payload": ${payload} }`,
  });
  return (await answer.json()).id;
}

const welcome = (user, more = "") => `{ "userId": "${user}", "email": "ada@example.com"${more} }`;

/** How long each of some runs took to show on the list, which was quiet before. */
async function appearing(browser) {
  const context = await browser.newContext(light);
  const page = await context.newPage();
  await page.goto(`${url}/runs`);
  await page.getByRole("button", { name: /live$/ }).waitFor();
  const took = [];
  for (let number = 0; number < 3; number += 1) {
    // The page asks at most once a second, and once more for the end of the run before.
    await page.waitForTimeout(2_500);
    // Looked for from within the page, so that no way to it and back is counted.
    await page.evaluate(() => {
      const rows = () => [...document.querySelectorAll("main [data-run]")].map((row) => row.dataset.run);
      const before = new Set(rows());
      globalThis.appeared = new Promise((resolve) => {
        const observer = new MutationObserver(() => {
          const id = rows().find((id) => !before.has(id));
          if (id) resolve({ id, at: Date.now() });
        });
        observer.observe(document.querySelector("main"), { subtree: true, childList: true, attributes: true });
      });
    });
    const id = await enqueue(welcome(`timed ${number}`));
    const answered = Date.now();
    const seen = await page.evaluate(() => globalThis.appeared);
    if (seen.id !== id) throw new Error(`${seen.id} appeared instead of ${id}`);
    took.push(Math.max(0, seen.at - answered));
  }
  await context.close();
  return took;
}

async function follow(browser) {
  const steps = {};
  const context = await browser.newContext(light);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const found = { said: [], outside: [] };
  const page = watch(await context.newPage(), url, found);
  const shows = (id, timeout) =>
    page.waitForFunction((it) => document.querySelector("main").textContent.includes(it), id, { timeout }).then(() => true, () => false);

  const first = await enqueue(welcome("first"));
  await page.goto(`${url}/runs`);
  await page.getByRole("button", { name: /live$/ }).waitFor();
  await page.evaluate(() => { globalThis.isSamePage = true; });
  const second = await enqueue(welcome("second"));
  steps.appears = await shows(second, 10_000);
  steps.same_page = await page.evaluate(() => globalThis.isSamePage === true);

  await page.keyboard.press("Space");
  steps.paused = await page.getByRole("button", { name: /(live|paused|waiting)$/ }).textContent();
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

  const bare = await browser.newContext({ ...light, javaScriptEnabled: false });
  const plain = await bare.newPage();
  await plain.goto(`${url}/runs`);
  const text = await plain.locator("main").textContent();
  steps.without_script = [first, second, third].every((id) => text.includes(id));
  return { steps, milliseconds: await appearing(browser), ...found };
}

await with_browser(executable, follow);
