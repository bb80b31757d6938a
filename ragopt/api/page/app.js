// Which view is shown, and the key.

import { at, say } from "./dom.js";
import { hasKey, keepKey, takeKey } from "./service.js";
import { startChat } from "./chat.js";

const VIEWS = ["chat", "documents", "spend"];
const loaded = { chat: startChat };

function askForKey() {
  at("key").value = "";
  at("key-dialog").showModal();
}

async function show() {
  takeKey();
  const name = VIEWS.includes(location.hash.slice(2)) ? location.hash.slice(2) : "chat";
  for (const view of VIEWS) at(view).hidden = view !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  say("");
  // A view that is not looked at is not loaded.
  if (name === "documents") loaded.documents ??= (await import("./documents.js")).showDocuments;
  if (name === "spend") loaded.spend ??= (await import("./spend.js")).showSpend;
  if (!hasKey()) return askForKey();
  await loaded[name]();
}

window.addEventListener("hashchange", show);
window.addEventListener("unauthorized", askForKey);
at("key-button").addEventListener("click", askForKey);
// Its fragment would be taken for a view's.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("main").focus();
});
at("collection").addEventListener("change", show);
at("key-form").addEventListener("submit", () => {
  keepKey(at("key").value.trim());
  show();
});
show();
