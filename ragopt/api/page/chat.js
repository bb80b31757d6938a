// The conversation: questions, answers as they are written, and which of them the inspector shows.

import { at, dollars, drawn, element, say } from "./dom.js";
import { call, events, read } from "./service.js";
import { written } from "./answer.js";
import { inspect } from "./inspector.js";
import { openSource } from "./source.js";

const THUMB = "M2 9h3v9H2zM7 9l4-7c1.6 0 2 1.3 1.6 3L12 8h5c1 0 1.5.9 1.3 1.8l-1.5 7C16.6 17.6 16 18 15.2 18H7z";

let conversation = crypto.randomUUID();
let running = null;

export function startChat() {
  if (!at("thread").childElementCount) welcome();
  at("question").focus();
}

function welcome() {
  const hint = "Ask a question. Answers cite your documents; a citation opens its source at the quoted words.";
  at("thread").replaceChildren(element("p", { class: "muted welcome" }, hint));
  inspect(null);
}

at("renew").addEventListener("click", () => {
  running?.abort();
  conversation = crypto.randomUUID();
  welcome();
  at("question").focus();
});

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = at("question").value.trim();
  if (!question) return;
  at("question").value = "";
  ask(question);
});

at("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("form").requestSubmit();
});

async function ask(question) {
  running?.abort();
  const own = (running = new AbortController());
  const turn = new Turn(question);
  say("Searching…");
  try {
    const response = await call("/answer", { method: "POST", signal: own.signal, json: body(question) });
    for await (const [name, data] of events(response)) turn.show(name, data);
  } catch (error) {
    if (error.name !== "AbortError") turn.fail(error);
  } finally {
    turn.end();
  }
}

function body(question) {
  const asked = { question, collection: at("collection").value.trim() || "default", conversation_id: conversation, stream: true };
  if (at("budget").value) asked.token_budget = Number(at("budget").value);
  if (!at("use-cache").checked) asked.cache = "off";
  return asked;
}

// One question with its answer.
class Turn {
  constructor(question) {
    document.querySelector(".welcome")?.remove();
    this.text = element("div", { class: "answer", "aria-busy": "true" });
    this.facts = element("div", { class: "facts" });
    this.card = element("article", { class: "turn" }, element("p", { class: "asked" }, question), this.text, this.facts);
    at("thread").append(this.card);
    this.card.scrollIntoView({ block: "end" });
  }

  show(name, data) {
    if (name === "sources") say(data.length ? "Answering…" : "");
    else if (name === "delta") this.add(data.text);
    else if (name === "error") this.fail(new Error(data.detail));
    else if (name === "done") this.finish(data);
  }

  add(text) {
    this.text.append(text);
    at("thread").scrollTop = at("thread").scrollHeight;
  }

  fail(error) {
    say(error.message, true);
    this.facts.replaceChildren(element("p", { class: "error" }, error.message));
    if (error.status === 401) window.dispatchEvent(new Event("unauthorized"));
  }

  finish(answer) {
    say(answer.partial ? "The answer was cut off." : "");
    this.text.replaceChildren(...written(answer, (citation) => openSource(citation, at("collection").value.trim() || "default")));
    this.facts.replaceChildren(...this.summary(answer));
    this.select(answer);
    at("thread").scrollTop = at("thread").scrollHeight;
  }

  summary(answer) {
    const cache = answer.cache.status === "hit" ? `${answer.cache.kind} cache hit` : answer.route.model;
    const saved = answer.savings ? `saved ${dollars(answer.savings.saved_usd)}` : null;
    const parts = [cache, `${answer.context.tokens} context tokens`, `cost ${dollars(answer.usage.cost_usd)}`, saved];
    return [
      element("span", {}, parts.filter(Boolean).join(" · ")),
      element("button", { type: "button", class: "quiet", onclick: () => this.select(answer) }, "Inspect"),
      ...this.feedback(answer),
    ];
  }

  feedback(answer) {
    const rate = (rating, label) => element("button", {
      type: "button", class: `quiet rate ${rating}`, "aria-label": label, title: label, "aria-pressed": "false",
      onclick: (event) => this.rate(answer, rating, event.currentTarget),
    }, drawn("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, drawn("path", { d: THUMB })));
    return [rate("up", "Good answer"), rate("down", "Bad answer")];
  }

  async rate(answer, rating, button) {
    try {
      await read("/feedback", { method: "POST", json: { answer_id: answer.id, rating } });
      for (const other of this.facts.querySelectorAll(".rate")) other.setAttribute("aria-pressed", String(other === button));
      say("Thank you.");
    } catch (error) {
      say(error.message, true);
    }
  }

  select(answer) {
    for (const other of document.querySelectorAll(".turn[aria-current]")) other.removeAttribute("aria-current");
    this.card.setAttribute("aria-current", "true");
    inspect(answer);
  }

  end() {
    this.text.setAttribute("aria-busy", "false");
  }
}
