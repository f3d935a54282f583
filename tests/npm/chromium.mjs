// What the scripts share that read the dashboard with Chromium: the browser, its views, and what a page complains of.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

import { print, told } from "./print.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const VIEWS = {
  desk: { viewport: { width: 1280, height: 900 } },
  telephone: { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true },
};

/** Prints what `body` makes with a browser, and closes it however that ends. */
export async function with_browser(executablePath, body) {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
  try {
    print(await body(browser));
  } finally {
    await browser.close();
  }
}

/** Notes what a page complains of, whom else it asks, and what it asks the reader. */
export function watch(page, url, found) {
  page.on("console", (message) => {
    // What could not be loaded is told with its address below.
    const is_told = message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !is_told) found.said.push(message.text());
  });
  page.on("pageerror", (error) => found.said.push(told(error).error));
  page.on("dialog", (dialog) => {
    found.said.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  page.on("response", (answer) => {
    // That there is no such page is no complaint: it says so itself.
    if (answer.status() >= 400 && !(answer.request().isNavigationRequest() && answer.frame() === page.mainFrame())) found.said.push(`${answer.status()} ${answer.url()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`)) found.outside.push(request.url());
  });
  return page;
}

/** The places that break a rule of accessibility: all rules, or only those that a colour can break. */
export async function violations(page, options = {}) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  const { violations } = await page.evaluate((options) => globalThis.axe.run(options), { resultTypes: ["violations"], ...options });
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`));
}

/** Signs in by the page for it, as a person does. */
export async function sign_in(page, url, token) {
  await page.goto(`${url}/sign-in`);
  await page.getByLabel("API token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL((now) => !now.pathname.startsWith("/sign-in"));
}

/** Does it for each of them, some at a time. */
export async function each(items, at_once, body) {
  const left = items.entries();
  const worker = async (number) => {
    for (const [position, item] of left) await body(item, number, position);
  };
  await Promise.all(Array.from({ length: at_once }, (_, number) => worker(number)));
}

/** Asks the API, and fails where it refuses. */
export async function api(url, method, path, body, headers = {}) {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text || "null");
}

/** The run once it is final. */
export async function finished(url, id) {
  for (let tries = 0; tries < 600; tries += 1) {
    const run = await api(url, "GET", `/api/v1/runs/${id}`);
    if (["completed", "dead", "cancelled"].includes(run.state)) return run;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${id} does not end`);
}
