// Keeps the overview fresh, and says when a button has been pressed. Without it the page reloads itself.
"use strict";

const LIVELY = 1500;
const CALM = 15000;

function live() {
  return document.getElementById("live");
}

// Puts what has changed in the place of what was there, so that the focus and what is being read stay where they are.
function renew(from, to) {
  const cards = Array.from(from.querySelectorAll("article"));
  const others = Array.from(to.querySelectorAll("article"));
  if (cards.length !== others.length || cards.some((card, at) => card.id !== others[at].id)) return replace(from, to);
  const rest = (node) => Array.from(node.children).filter((child) => !child.classList.contains("cards"));
  const [before, after] = [rest(from), rest(to)];
  if (before.length !== after.length) return replace(from, to);
  cards.forEach((card, at) => replace(card, others[at]));
  before.forEach((child, at) => replace(child, after[at]));
  from.dataset.busy = to.dataset.busy;
}

function replace(from, to) {
  if (from.isEqualNode(to)) return;
  const focused = from.contains(document.activeElement) ? focusables(from).indexOf(document.activeElement) : -1;
  from.replaceWith(to);
  if (focused >= 0) focusables(to)[focused]?.focus();
}

function focusables(node) {
  return Array.from(node.querySelectorAll("a, button, input"));
}

function tell() {
  const checking = Array.from(document.querySelectorAll("#live .card.checking h2"), (name) => name.textContent);
  const news = document.getElementById("news");
  const text = checking.length > 0 ? `Checking mail: ${checking.slice(0, 3).join(", ")}` : document.getElementById("summary").innerText;
  if (news.textContent !== text) news.textContent = text;
}

async function look() {
  if (document.visibilityState === "visible") {
    try {
      const response = await fetch(live().dataset.source, { credentials: "same-origin" });
      if (response.redirected) return location.reload();
      if (response.ok) {
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        renew(live(), page.getElementById("live"));
        tell();
      }
    } catch {
      // The next look will tell.
    }
  }
  setTimeout(look, live().dataset.busy === "true" ? LIVELY : CALM);
}

document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button");
  if (!button || event.target.method !== "post") return;
  button.setAttribute("aria-busy", "true");
  if (button.dataset.busy) button.textContent = button.dataset.busy;
  // A second press does nothing.
  event.target.addEventListener("submit", (again) => again.preventDefault());
});

if (live()) setTimeout(look, live().dataset.busy === "true" ? LIVELY : CALM);
