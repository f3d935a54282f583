// Reads pages of the dashboard as people do who see, who hear them read, who like it dark, and who have a telephone.
//
//   browser_pages.mjs URL CHROMIUM PAGES [TOKEN]
//
// PAGES is JSON: [{ name, path, fill, press }]. `fill` is by label, and `press` a button; what that leads to is read then.
// With a TOKEN it signs in first. Prints { NAME: { said, outside, violations, sideways, small } }.

import { VIEWS, each, sign_in, violations, watch, with_browser } from "./chromium.mjs";
import { arguments_of } from "./print.mjs";

const usage = "browser_pages.mjs URL CHROMIUM PAGES [TOKEN]";
const [url, executable, listed] = arguments_of(usage, "URL", "CHROMIUM", "PAGES");
const token = process.argv[5];
/** Pages at once: as many as there are processors where these tests run. */
const AT_ONCE = 2;
const BY_COLOUR = { runOnly: ["color-contrast", "link-in-text-block"] };

/** What a finger would miss: a control that is lower than 44 pixels. What stands in a line of text or of JSON is as high as it. */
const too_small = () => {
  const controls = "button, select, textarea, summary, nav a, input:not([type=hidden], [type=checkbox], [type=radio])";
  const in_text = ":is(h1, p, dd) button.copy, pre summary";
  const places = [...document.querySelectorAll(controls)].filter((node) => node.checkVisibility() && !node.matches(in_text));
  return places.filter((node) => node.getBoundingClientRect().height < 43.5).map((node) => node.outerHTML.slice(0, 120));
};

async function read(page, view, { path, fill = {}, press }, found) {
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto(url + path);
  if (press) {
    for (const [label, value] of Object.entries(fill)) await page.getByLabel(label).fill(value);
    const leads_on = page.waitForNavigation();
    await page.getByRole("button", { name: press, exact: true }).first().click();
    await leads_on;
  }
  await page.locator("h1").waitFor();
  const note = (about) => (place) => found.violations.push(`${view}, ${about}: ${place}`);
  (await violations(page)).forEach(note("light"));
  await page.emulateMedia({ colorScheme: "dark" });
  (await violations(page, BY_COLOUR)).forEach(note("dark"));
  // Not the window's width: a telephone makes that as wide as the page.
  found.sideways = Math.max(found.sideways, await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth));
  if (view === "telephone") found.small.push(...(await page.evaluate(too_small)));
}

await with_browser(executable, async (browser) => {
  const entries = JSON.parse(listed);
  const blank = () => ({ said: [], outside: [], violations: [], sideways: 0, small: [] });
  const pages = Object.fromEntries(entries.map(({ name }) => [name, blank()]));
  for (const [view, options] of Object.entries(VIEWS)) {
    const context = await browser.newContext(options);
    if (token) await sign_in(await context.newPage(), url, token);
    await each(entries, AT_ONCE, async (entry) => {
      const found = pages[entry.name];
      const page = watch(await context.newPage(), url, found);
      await read(page, view, entry, found).catch((error) => found.said.push(`${view}: ${error.message}`));
      await page.close();
    });
    await context.close();
  }
  return pages;
});
