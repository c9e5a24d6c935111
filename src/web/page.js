// Keeps the overview fresh, says when it no longer can, goes on where somebody is waited for, and says when a button has been
// pressed.
"use strict";

const LIVELY = 1500;
const CALM = 5000;
const DEADLINE = 10000;

// So many looks in vain may be chance.
const IN_VAIN = 2;

let vain = 0;
let seen = new Date();

// A page that waits for what somebody does elsewhere goes on by itself.
async function wait() {
  try {
    const page = await fetch(location.href, { credentials: "same-origin", signal: AbortSignal.timeout(DEADLINE) });
    if (page.redirected) return location.assign(page.url);
    const text = await page.text();
    if (page.ok && !text.includes("data-wait")) return location.reload();
  } catch {
    // It is asked again.
  }
  setTimeout(wait, LIVELY);
}

function live() {
  return document.getElementById("live");
}

async function look() {
  if (document.visibilityState === "visible") {
    try {
      const page = await fetch(live().dataset.source, { credentials: "same-origin", signal: AbortSignal.timeout(DEADLINE) });
      if (page.redirected) return location.reload();
      if (!page.ok) throw new Error(page.statusText);
      renew(new DOMParser().parseFromString(await page.text(), "text/html").getElementById("live"));
      [vain, seen] = [0, new Date()];
    } catch {
      vain += 1;
    }
    tell();
  }
  setTimeout(look, live().dataset.busy === "true" ? LIVELY : CALM);
}

function tell() {
  const silence = vain < IN_VAIN ? "" : `mailferry does not answer. What you see is how things were at ${seen.toLocaleTimeString()}.`;
  say("silence", silence);
  const checking = Array.from(document.querySelectorAll("#live .card.checking h2"), (name) => name.textContent);
  const summary = document.getElementById("summary").firstChild.textContent.trim();
  say("news", checking.length > 0 ? `Checking mail: ${checking.slice(0, 3).join(", ")}` : summary);
}

function say(id, text) {
  const place = document.getElementById(id);
  if (place.textContent !== text) place.textContent = text;
}

// The focus comes back to what leads to the same place, where that had to be made anew.
function renew(wanted) {
  const focused = document.activeElement;
  const target = targetOf(focused);
  become(live(), wanted);
  if (focused.isConnected || !target) return;
  Array.from(live().querySelectorAll("a, button")).find((other) => targetOf(other) === target)?.focus();
}

function targetOf(node) {
  return node.getAttribute("href") ?? node.form?.getAttribute("action");
}

// Makes `node` like `wanted`, and keeps of it what is the same: so that the focus, a press under way and what is being
// read stay where they are.
function become(node, wanted) {
  if (node.isEqualNode(wanted) || pressed.has(node)) return;
  if (node.nodeType !== Node.ELEMENT_NODE) {
    node.nodeValue = wanted.nodeValue;
    return;
  }
  for (const { name } of Array.from(node.attributes)) if (!wanted.hasAttribute(name)) node.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  let at = node.firstChild;
  for (const child of Array.from(wanted.childNodes)) {
    let known = at;
    while (known && !isFor(known, child)) known = known.nextSibling;
    if (!known) {
      node.insertBefore(child, at);
      continue;
    }
    while (at !== known) at = removed(at);
    become(known, child);
    at = known.nextSibling;
  }
  while (at) at = removed(at);
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

// Whether both are for the same thing, however it is doing.
function isFor(node, wanted) {
  return node.nodeName === wanted.nodeName && nameOf(node) === nameOf(wanted);
}

function nameOf(node) {
  return node.id || node.getAttribute?.("action") || node.getAttribute?.("href") || node.className || "";
}

// The forms whose answer is awaited, with the button that was pressed and what it said.
const pressed = new Map();

document.addEventListener("submit", (event) => {
  const form = event.target;
  const button = event.submitter ?? form.querySelector("button");
  if (!button || form.method !== "post") return;
  // A second press does nothing.
  if (pressed.has(form)) return event.preventDefault();
  pressed.set(form, [button, button.textContent]);
  button.setAttribute("aria-busy", "true");
  if (button.dataset.busy) button.textContent = button.dataset.busy;
});

function release(form) {
  if (!pressed.has(form)) return;
  const [button, text] = pressed.get(form);
  button.removeAttribute("aria-busy");
  button.textContent = text;
  pressed.delete(form);
}

// The answer does not come where a person stops it, or goes back to this page.
function releaseAll() {
  Array.from(pressed.keys()).forEach(release);
}

addEventListener("pageshow", releaseAll);
document.addEventListener("keydown", (event) => event.key === "Escape" && releaseAll());
document.addEventListener("input", (event) => release(event.target.form));

if (document.querySelector("[data-wait]")) setTimeout(wait, LIVELY);
if (live()) setTimeout(look, live().dataset.busy === "true" ? LIVELY : CALM);
