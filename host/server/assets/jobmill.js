// What pages do besides: live rows, times kept fresh, keys, JSON that folds, copying. Without it nothing is missing.
// It takes pages from the server as they are, and never makes markup of data.
"use strict";

const root = document.documentElement;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (name, properties, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

// The theme, before anything is painted: the system's, or the reader's

const themes = ["", "light", "dark"];
const setTheme = (theme) => { if (theme) root.dataset.theme = theme; else delete root.dataset.theme; };
try { setTheme(localStorage.getItem("theme")); } catch { /* nothing may be kept here */ }
const nextTheme = () => {
  const theme = themes[(themes.indexOf(root.dataset.theme ?? "") + 1) % 3];
  setTheme(theme);
  try { localStorage.setItem("theme", theme); } catch { /* it holds for this page */ }
};

// Times, by the server's clock

let ahead = 0;
const setClock = ({ dataset }) => { ahead = (Date.parse(dataset.now) || Date.now()) - Date.now(); };
const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
// A click on any of them has all told exactly, and the next one as before.
let isExact = false;
const relative = /^\s*(just now|now|in \d+ (s|min|h|d)|\d+ (s|min|h|d) ago)\s*$/;
const tick = () => {
  for (const time of all("time[datetime]")) {
    // A time that is told in another way stays as it is.
    if (!time.isRelative && !relative.test(time.textContent)) continue;
    time.isRelative = true;
    time.title = `${time.dateTime}, here ${new Date(time.dateTime).toLocaleString()}`;
    const past = Date.now() + ahead - Date.parse(time.dateTime);
    const seconds = Math.floor(Math.abs(past) / 1000);
    const unit = units.find(([size]) => seconds >= size);
    const span = unit && `${Math.floor(seconds / unit[0])} ${unit[1]}`;
    const words = isExact ? time.dateTime : past < 0 ? (span ? `in ${span}` : "now") : span ? `${span} ago` : "just now";
    if (time.textContent !== words) time.textContent = words;
  }
};

// JSON is cut into pieces, and each is shown as it was sent, so that no number is rounded

const fold = (text) => {
  JSON.parse(text); // Else it stays text.
  const pieces = text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g).values();
  const value = (piece, depth) => {
    if (depth > 100) throw new RangeError("too deep");
    if (!"[{".includes(piece)) return make("span", { className: piece[0] === '"' ? "text" : "value" }, piece);
    const members = make("span", { className: "members" });
    const end = piece === "{" ? "}" : "]";
    for (let next = pieces.next().value; next !== end; next = pieces.next().value) {
      if (next === ",") { members.lastChild.append(next); continue; }
      const member = make("span", { className: "member" });
      if (piece === "{") {
        member.append(make("span", { className: "name" }, next), pieces.next().value, " ");
        next = pieces.next().value;
      }
      member.append(value(next, depth + 1));
      members.append(member);
    }
    if (!members.firstChild) return make("span", {}, piece + end);
    const summary = make("summary", {}, piece);
    summary.dataset.count = ` ${members.childElementCount} ${end}`;
    return make("details", { open: depth < 4 }, summary, members, end);
  };
  return value(pieces.next().value, 0);
};

// What is added to the server's markup, once a node, which then knows what the server sent

const dress = () => {
  for (const node of all("pre[data-json], [data-copy]")) {
    if (node.sent !== undefined) continue;
    node.sent = node.textContent;
    if ("json" in node.dataset && node.sent.length < 200000) {
      try { node.replaceChildren(fold(node.sent)); } catch { /* no JSON, and shown as it is */ }
    }
    const isButton = node.matches("button");
    const button = isButton ? node : make("button", { type: "button", className: "copy", ariaLabel: "Copy to the clipboard" });
    button.onclick = async () => {
      try { await navigator.clipboard.writeText(node.dataset.copy || node.sent); } catch {
        // Over plain HTTP from elsewhere browsers let no script copy: it is selected, for the reader to.
        return getSelection().selectAllChildren(node);
      }
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1500);
    };
    if (!isButton) node.append(button);
  }
  // Whatever scrolls can be reached with the keyboard.
  for (const box of all(".scroll, pre, .tabs, header nav")) {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
  }
};

// A newer page takes this one's place node by node, so that focus, choices and what is open stay

const isField = (node) => node?.matches("input, select, textarea");
const isInUse = (node) =>
  node.touched || (node.matches("form") && node.contains(document.activeElement) && isField(document.activeElement));
const keyOf = (node) => (node.nodeType === 1 && (node.dataset.run || node.id)) || "";
const fresh = (node) => {
  const added = document.importNode(node, true);
  if (node.nodeName === "TR") added.classList.add("fresh");
  return added;
};
const renew = (old, next) => {
  if (old.nodeName !== next.nodeName || keyOf(old) !== keyOf(next)) return old.replaceWith(fresh(next));
  if (old.nodeType !== 1) { if (old.data !== next.data) old.data = next.data; return; }
  if (isInUse(old)) return;
  for (const { name } of [...old.attributes]) if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.sent === undefined) return renewChildren(old, next);
  if (old.sent !== next.textContent) old.replaceWith(fresh(next));
};
const renewChildren = (old, next) => {
  const known = new Map([...old.children].map((node) => [keyOf(node), node]));
  const wanted = new Set([...next.children].map(keyOf));
  let at = old.firstChild;
  const pass = () => { const here = at; at = at.nextSibling; return here; };
  for (const node of next.childNodes) {
    while (at && keyOf(at) && !wanted.has(keyOf(at))) pass().remove();
    const same = keyOf(node) ? known.get(keyOf(node)) : at && !keyOf(at) && at;
    if (!same) old.insertBefore(fresh(node), at);
    else {
      if (same === at) pass(); else old.insertBefore(same, at);
      renew(same, node);
    }
  }
  while (at) pass().remove();
};
const show = (page) => {
  const row = rows()[chosen];
  setClock(page.body);
  for (const part of ["main", "header nav"]) renew(document.querySelector(part), page.querySelector(part));
  document.title = page.title;
  const [icon, next] = [document, page].map((it) => it.querySelector("link[rel=icon]"));
  if (icon.href !== next.href) icon.href = next.href;
  dress();
  tick();
  choose(rows().indexOf(row));
};

// Live: a message says that something changed, and the page is asked for again, at most once a second

let source, toggle, isPaused = false, isAsking = false, isStale = false, isBusy = false, isOut = false;
const say = () => {
  const isOpen = source?.readyState === 1;
  toggle.textContent = isOut ? "signed out" : isPaused ? "paused" : isOpen ? "live" : "waiting";
  toggle.ariaPressed = isPaused;
  toggle.classList.toggle("lost", !isPaused && !isOpen);
};
const ask = async () => {
  isStale = true;
  if (isAsking || isPaused || document.hidden) return;
  isAsking = true;
  isStale = false;
  try {
    // A page that leads elsewhere, such as to the sign-in, is for the reader to go to.
    const answer = await fetch(location.href, { headers: { accept: "text/html", "x-jobmill-reload": "1" }, redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) { isOut = true; return hush(); }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.ok && !isPaused && "live" in page.body.dataset) show(page);
  } catch { /* the stream tells when the server is there again */ }
  // More happens than can be read: a look a second will do.
  setTimeout(() => { isAsking = isBusy = false; if (isStale) ask(); }, isBusy ? 1000 : 300);
};
const listen = () => {
  if (source || isPaused || isOut || document.hidden) return;
  const stream = source = new EventSource("/api/v1/stream");
  const run = location.pathname.match(/^\/runs\/(run_\w+)/)?.[1] ?? "";
  // The page is as old as its load, so what happened since is looked at once.
  stream.onopen = () => { say(); ask(); };
  stream.addEventListener("run", ({ data }) => { if (data.includes(run)) ask(); });
  stream.addEventListener("catalog", ask);
  stream.addEventListener("missed", () => { isBusy = true; ask(); });
  stream.onerror = () => {
    // One that was refused is not tried again by itself.
    if (stream.readyState === 2 && source === stream) { source = null; setTimeout(listen, 5000); ask(); }
    say();
  };
  say();
};
const hush = () => { source?.close(); source = null; say(); };
const pause = () => { isPaused = !isPaused; if (isPaused) hush(); else listen(); };

// Rows and keys

let chosen = -1, isGoing = false, dialog;
const rows = () => all("main tbody tr:not(.detail)").filter((row) => row.querySelector("a, input"));
const choose = (index) => {
  for (const row of all("tr.chosen")) row.classList.remove("chosen");
  const here = rows();
  chosen = Math.min(index, here.length - 1);
  here[chosen]?.classList.add("chosen");
  return here[chosen];
};
const move = (by) => choose(Math.max(0, chosen + by))?.scrollIntoView({ block: "nearest" });
const places = {
  o: "/", j: "/jobs", r: "/runs", d: "/dead", q: "/queues", s: "/schedule", m: "/mail", e: "/events", w: "/deliveries", y: "/system",
};
const help = () => {
  if (!dialog) {
    const list = Object.entries(keys).flatMap(([key, [words]]) =>
      [make("dt", {}, make("kbd", {}, key === " " ? "space" : key)), make("dd", {}, words)]);
    const close = make("form", { method: "dialog" }, make("button", {}, "close"));
    dialog = make("dialog", { ariaLabel: "Keys" }, make("h2", {}, "Keys"), make("dl", {}, ...list), close);
    document.body.append(dialog);
  }
  if (dialog.open) dialog.close(); else dialog.showModal();
};
const act = (key) => {
  const node = document.querySelector(`main [data-key=${key}]`);
  if (node && (!node.dataset.ask || confirm(node.dataset.ask))) (node.querySelector(".copy") ?? node).click();
};
const keys = {
  g: ["then o j r d q s m e w y: the pages, in their order", () => { isGoing = true; }],
  "/": ["to the filters", () => document.querySelector("main .filters :is(input:not([type=hidden]), select)")?.focus()],
  j: ["next row", () => move(1)],
  k: ["row before", () => move(-1)],
  Enter: ["open the row", () => { const row = rows()[chosen]; row?.querySelector(`a[href*="${row.dataset.run ?? "/"}"]`)?.click(); }],
  x: ["select the row", () => rows()[chosen]?.querySelector("input[type=checkbox]")?.click()],
  r: ["retry the run now, on its page", () => act("r")],
  e: ["edit the run's payload and rerun it, on its page", () => act("e")],
  c: ["cancel the run, on its page, once that is confirmed", () => act("c")],
  y: ["copy the run's id, on its page", () => act("y")],
  "[": ["the job's run before, on a run's page", () => document.querySelector("main a[rel=prev]")?.click()],
  "]": ["the job's run after, on a run's page", () => document.querySelector("main a[rel=next]")?.click()],
  " ": ["pause what is live, and go on", () => toggle && pause()],
  t: ["theme: the system's, light, dark", nextTheme],
  "?": ["these keys", help],
};
const press = (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || target.matches("input:not([type=checkbox]), select, textarea")) return;
  // What has the focus keeps its own keys.
  if ((key === " " || key === "Enter") && target !== document.body) return;
  if (dialog?.open && key !== "?") return;
  // A key that is held moves on, and does nothing twice.
  if (event.repeat && !"jk".includes(key)) return;
  const place = isGoing && places[key];
  isGoing = false;
  if (place) location.href = place;
  else if (Object.hasOwn(keys, key)) { event.preventDefault(); keys[key][1](); }
};

document.addEventListener("DOMContentLoaded", () => {
  const who = document.querySelector(".who");
  const button = (words, label, onclick) => make("button", { type: "button", className: "plain", title: label, onclick }, words);
  setClock(document.body);
  dress();
  tick();
  setInterval(tick, 1000);
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest" });
  document.addEventListener("keydown", press);
  document.addEventListener("click", ({ target }) => {
    const time = target.closest("time");
    if (time?.isRelative && !time.closest("a, button")) { isExact = !isExact; tick(); }
  });
  document.addEventListener("input", ({ target }) => { (target.form ?? target).touched = true; });
  who?.append(button("theme", "The system's, light, dark: t", nextTheme), button("keys", "What keys do: ?", help));
  // What answers a form, or says that nothing is here, has no newer version at its address.
  const { responseStatus } = performance.getEntriesByType("navigation")[0] ?? {};
  if (!who || !("live" in document.body.dataset) || (responseStatus || 200) !== 200) return;
  toggle = button("", "Pause what is live, and go on: space", pause);
  toggle.className = "live";
  who.prepend(toggle);
  // A page that nobody sees holds no connection.
  const look = () => { if (document.hidden) hush(); else listen(); };
  document.addEventListener("visibilitychange", look);
  addEventListener("pageshow", look);
  addEventListener("pagehide", hush);
  look();
});
