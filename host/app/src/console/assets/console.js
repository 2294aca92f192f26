// Keeps an open page up to date, and checks settings as they are typed. Pages work without it.
"use strict";

const main = document.getElementById("main");
const pulse = document.getElementById("pulse");
const topics = new Set((main.dataset.topics || "").split(" ").filter(Boolean));

// What was done is told once, not to everybody who is sent the address.
if (new URLSearchParams(location.search).has("done")) {
  const address = new URL(location.href);
  address.searchParams.delete("done");
  history.replaceState(null, "", address);
}

// ---- live -----------------------------------------------------------------------------------

let source = null;
let known = document.body.dataset.beat; // How much had happened when the page was made.
let patience = 1000;
let timer = null; // A refresh that is to come.
let asking = false;
let behind = false; // Something changed that the page does not show.

function told(state, word) {
  if (!pulse) return;
  pulse.dataset.state = state;
  const at = pulse.querySelector(".word");
  if (at.textContent !== word) at.textContent = word;
}

function standing() {
  const live = source && source.readyState === EventSource.OPEN;
  if (behind && timer === null && !asking) told("behind", "something changed; it shows once you are done here");
  else if (live) told("live", "live");
  else told("off", "not live");
}

// Whoever types, or has ticked or opened something to act on, is not interrupted.
function busy() {
  if (main.querySelector("details.confirm[open]")) return true;
  const at = document.activeElement;
  if (at && main.contains(at) && at.matches("select, textarea")) return true;
  for (const field of main.querySelectorAll("input, textarea")) {
    if (field.type === "hidden") continue;
    if (field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue) return true;
  }
  return false;
}

// Soon, but not more often than twice a second, however much happens.
function refresh(after = 500) {
  behind = true;
  if (timer !== null || asking) return;
  timer = setTimeout(show, after);
}

async function show() {
  timer = null;
  if (busy()) { standing(); return; }
  asking = true;
  behind = false;
  let again = null;
  try {
    const response = await fetch(location.href, { headers: { "x-firn-part": "page" } });
    if (response.status === 401) { location.reload(); return; }
    if (response.ok) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (busy()) behind = true; else swap(page);
    } else {
      again = 5000;
    }
  } catch {
    again = 5000;
  } finally {
    asking = false;
    if (again !== null) refresh(again);
    else if (behind && !busy()) refresh();
    standing();
  }
}

// Whoever is done typing sees what happened meanwhile.
document.addEventListener("focusout", () => { if (behind) refresh(); });
document.addEventListener("toggle", () => { if (behind) refresh(); }, true);

function swap(page) {
  const next = page.getElementById("main");
  if (!next) return;
  const name = (d) => d.id || d.querySelector("summary")?.textContent.trim().slice(0, 60);
  const open = new Map([...main.querySelectorAll("details")].map((d) => [name(d), d.open]));
  const focus = main.contains(document.activeElement) ? place(document.activeElement) : null;
  const done = document.getElementById("done");
  const log = document.getElementById("feed");
  main.replaceChildren(...next.childNodes);
  // The feed is kept: its lines came one by one, and somebody may be reading.
  document.getElementById("feed")?.replaceWith(log ?? "");
  if (done) main.prepend(done);
  for (const d of main.querySelectorAll("details")) if (open.has(name(d))) d.open = open.get(name(d));
  const tabs = document.querySelector("nav.tabs");
  const nextTabs = page.querySelector("nav.tabs");
  if (tabs && nextTabs && !tabs.contains(document.activeElement)) tabs.replaceChildren(...nextTabs.childNodes);
  if (focus) main.querySelector(focus)?.focus({ preventScroll: true });
  ticked();
  const stale = Number(next.dataset.stale);
  if (stale) setTimeout(refresh, Math.min(stale, 60000));
}

// What an element is, wherever it stands: never its place, where another may stand now.
function place(element) {
  const quoted = (text) => JSON.stringify(text);
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.matches("a[href]")) return `a[href=${quoted(element.getAttribute("href"))}]`;
  const form = element.closest("form[action]");
  if (form && element.matches("button")) {
    const value = element.value ? `[value=${quoted(element.value)}]` : "";
    return `form[action=${quoted(form.getAttribute("action"))}] button${value}`;
  }
  return null;
}

function lines(html) {
  const log = document.getElementById("feed");
  if (!log || !html.trim()) return;
  const made = document.createElement("template");
  made.innerHTML = html;
  log.prepend(made.content);
  while (log.children.length > 100) log.lastElementChild.remove();
  document.getElementById("feed-empty")?.setAttribute("hidden", "");
}

function watch() {
  if (source || document.hidden) return;
  source = new EventSource(document.body.dataset.live);
  source.onopen = () => { patience = 1000; standing(); };
  // What happened before the stream began, or while it was broken off, is not told by it.
  source.addEventListener("begin", (event) => {
    if (event.data !== known && topics.size) refresh(0);
    known = null;
  });
  source.onmessage = (event) => {
    const news = JSON.parse(event.data);
    if (news.erased) document.getElementById("feed")?.replaceChildren();
    lines(news.lines);
    if (topics.size && news.topics.some((topic) => topics.has(topic) || topic === "everything")) refresh();
  };
  source.onerror = () => {
    standing();
    if (source.readyState !== EventSource.CLOSED) return; // The browser comes again by itself.
    source = null;
    // It was refused: the session may have ended, or too many are watching.
    if (topics.size) refresh(0);
    setTimeout(watch, patience);
    patience = Math.min(patience * 2, 60000);
  };
}

// A page that nobody sees needs no stream: a browser has few connections for each host.
function unwatch() {
  source?.close();
  source = null;
}

if (document.body.dataset.live && window.EventSource) {
  watch();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) unwatch(); else { known = null; watch(); }
  });
  addEventListener("pagehide", unwatch);
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  const stale = Number(main.dataset.stale);
  if (stale) setTimeout(refresh, Math.min(stale, 60000));
}

// ---- settings, as they are typed --------------------------------------------------------------

const typed = document.querySelector("textarea[data-check]");
let pause = null;
let asked = 0;

function complain(text) {
  const p = document.createElement("p");
  p.className = "note broken";
  p.textContent = text;
  document.getElementById("answer").replaceChildren(p);
}

async function ask(what) {
  clearTimeout(pause);
  const turn = ++asked; // What was asked before is not answered any more.
  const form = document.getElementById("settings");
  const body = new URLSearchParams(new FormData(form));
  body.set("do", what);
  try {
    const response = await fetch(form.action, { method: "POST", body, headers: { "x-firn-part": "answer" } });
    const text = await response.text();
    if (turn !== asked) return;
    if (response.ok) document.getElementById("answer").innerHTML = text;
    else if (response.status === 401) complain("You are signed out. Sign in in another tab, then try again here: what you typed is kept.");
    else complain(text);
  } catch {
    if (turn === asked) complain("Firn could not be asked; it may be restarting. Try again.");
  }
}

if (typed) {
  typed.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(ask, 400, "check"); });
  document.getElementById("settings").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(event.submitter?.value || "check");
  });
  let applied = false;
  document.addEventListener("submit", (event) => { applied ||= Boolean(event.target.closest("#answer")); });
  addEventListener("beforeunload", (event) => {
    if (typed.value !== typed.defaultValue && !applied) event.preventDefault();
  });
}

// ---- small things -------------------------------------------------------------------------------

document.addEventListener("change", (event) => {
  const name = event.target.dataset?.every;
  if (!name) return;
  for (const box of main.querySelectorAll(`input[name="${name}"]`)) box.checked = event.target.checked;
});

// What acts on the ticked needs some.
document.addEventListener("change", ticked);
function ticked() {
  const form = main.querySelector("form.ticked");
  if (!form) return;
  const some = form.querySelector('input[name="entry"]:checked') !== null;
  for (const button of form.querySelectorAll('button[name="do"]')) button.disabled = !some;
}
ticked();

document.addEventListener("submit", (event) => {
  const word = event.submitter?.dataset.busy;
  if (word) { event.submitter.textContent = word; event.submitter.setAttribute("aria-busy", "true"); }
});
