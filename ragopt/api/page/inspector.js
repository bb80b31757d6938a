// Beside an answer: where its tokens went, what was saved, how long each stage took, which way it was routed.

import { ago, at, dollars, element, milliseconds, whole } from "./dom.js";
import { signedBars, stackedBar, waterfall } from "./charts.js";

const TECHNIQUES = {
  context: "fewer passages", history: "shorter history", prompt: "shorter rules", routing: "cheaper model",
  response_cache: "answer cache", prompt_cache: "provider's cache", batch: "batch", retries: "retries",
};
const PARTS = {
  rules: "rules", application: "application", examples: "examples", summary: "summary", history: "history",
  recalled: "earlier turns", passages: "passages", question: "question",
};

export function inspect(answer) {
  if (!answer) {
    at("inspector").replaceChildren(element("p", { class: "muted" }, "The inspector shows where the tokens, the time and the money of an answer went."));
    return;
  }
  at("inspector").replaceChildren(
    part("Tokens", tokens(answer)),
    part("Savings", savings(answer)),
    part("Time", times(answer)),
    part("Route", route(answer)),
    part("Cache", cache(answer)),
  );
}

function part(title, content) {
  return element("section", {}, element("h2", {}, title), ...content);
}

function tokens(answer) {
  const parts = Object.entries(PARTS).map(([name, label]) => ({ name: label, value: answer.prompt_tokens[name] ?? 0, kind: `segment-${name}` }));
  parts.push({ name: "answer", value: answer.usage.output_tokens, kind: "segment-answer" });
  const left = answer.context.token_budget - answer.context.tokens;
  const why = { budget: "the budget was used up", relevance: "the rest was much less relevant", exhausted: "nothing was left", irrelevant: "nothing was relevant", price_edge: "more would have cost every token a higher price" };
  const read = answer.usage.cached_input_tokens;
  return [
    stackedBar(parts, whole),
    element("p", { class: "muted" }, `${whole(answer.context.tokens)} of ${whole(answer.context.token_budget)} context tokens; ${whole(left)} left: ${why[answer.context.stopped_by] ?? answer.context.stopped_by}.`),
    element("p", { class: "muted" }, read ? `${whole(read)} input tokens were read from the provider's cache.` : null),
  ];
}

function savings(answer) {
  if (!answer.savings) return [element("p", { class: "muted" }, "A price is not known, so savings are not either.")];
  const rows = Object.entries(answer.savings.by_technique)
    .map(([name, amount]) => ({ name: TECHNIQUES[name] ?? name, value: Number(amount) }))
    .filter((row) => row.value !== 0);
  const cost = Number(answer.savings.baseline_cost_usd) - Number(answer.savings.saved_usd);
  const summary = `${dollars(cost)} instead of ${dollars(answer.savings.baseline_cost_usd)}`;
  return [element("p", {}, element("b", {}, summary)), rows.length ? signedBars(rows, dollars) : element("p", { class: "muted" }, "Nothing was saved: no model is called that costs money.")];
}

function times(answer) {
  const total = answer.timings_ms.total;
  const stages = answer.stages ?? [];
  return [
    stages.length ? waterfall(stages, total, milliseconds) : null,
    element("p", { class: "muted" }, `${milliseconds(total)} in the service, ${milliseconds(answer.timings_ms.other ?? 0)} of them in no stage.`),
    ...Object.entries(answer.fallbacks ?? {}).map(([stage, reason]) => element("p", { class: "warning" }, `${stage}: ${reason}`)),
  ];
}

function route(answer) {
  const { provider, model, tier, score, reason, attempts } = answer.route;
  const difficulty = score === null ? null : element("div", { class: "gauge" },
    element("label", { for: "difficulty" }, `Difficulty ${score.toFixed(2)}`),
    element("meter", { id: "difficulty", min: 0, max: 1, low: 0.3, high: 0.7, optimum: 0, value: score }, score.toFixed(2)));
  const tried = attempts.map((one) => element("li", { class: one.outcome }, element("b", {}, one.model), ` ${one.outcome}, ${milliseconds(one.ms)}${one.detail ? `: ${one.detail}` : ""}`));
  return [
    element("p", {}, element("b", {}, model), ` (${provider}, ${tier})`),
    difficulty,
    element("p", { class: "muted" }, reason),
    tried.length ? element("ol", { class: "attempts" }, ...tried) : null,
  ];
}

function cache(answer) {
  const { status, kind, similarity, age_s: age } = answer.cache;
  const said = { hit: `${kind} hit`, miss: "miss", bypass: "not asked" }[status];
  const facts = [similarity === null ? null : `similarity ${similarity.toFixed(3)}`, age === null ? null : `${ago(age)} old`];
  return [element("p", {}, element("b", {}, said), facts.some(Boolean) ? `, ${facts.filter(Boolean).join(", ")}` : null)];
}
