// Spend and savings: totals, days, techniques, and by model, team, feature and user.

import { at, dollars, element, filled, say, whole } from "./dom.js";
import { address, read } from "./service.js";
import { dayColumns, partsBar, signedBars } from "./charts.js";

const view = at("spend");
const DIMENSIONS = { by_model: "Model", by_team: "Team", by_feature: "Feature", by_user: "User" };
const ALARMS_SHOWN = 3;
let days = 30;

export async function showSpend() {
  try {
    render(await read(address("/stats", { days })));
    say("");
  } catch (error) {
    view.replaceChildren(element("h1", {}, "Spend"), element("p", {}, error.status === 403 ? "This needs a key with the scope admin." : error.message));
  }
}

function render(stats) {
  filled(view,
    element("h1", {}, "Spend"), range(), tiles(stats.total), alarms(stats.alarms), targets(stats.targets), byDay(stats.by_day), byTechnique(stats.by_technique),
    ...Object.entries(DIMENSIONS).map(([field, name]) => dimension(name, stats[field])),
  );
}

function range() {
  const choice = element("select", { id: "days", onchange: (event) => another(Number(event.target.value)) },
    ...[7, 30, 90, 365].map((n) => element("option", { value: n, selected: n === days }, `last ${n} days`)));
  return element("p", {}, element("label", { class: "inline", for: "days" }, "Range "), choice);
}

// The field is drawn anew with the rest, and would lose the focus.
async function another(count) {
  days = count;
  await showSpend();
  if (document.activeElement === document.body) at("days")?.focus();
}

function tiles(total) {
  const baseline = Number(total.baseline_usd);
  const share = baseline > 0 ? `${Math.round((100 * Number(total.saved_usd)) / baseline)} % of the baseline` : "no baseline yet";
  const failed = total.failed_calls ? `, failed attempts: ${whole(total.failed_calls)}` : "";
  const shown = [
    ["Answers", whole(total.answers), `${whole(total.calls)} model calls${failed}`],
    ["Spent", dollars(total.spent_usd), total.unpriced_calls ? `${whole(total.unpriced_calls)} calls without a price` : ""],
    ["Saved", dollars(total.saved_usd), share],
    ["Baseline", dollars(total.baseline_usd), "what [baseline] would have cost"],
  ];
  return element("dl", { class: "tiles" }, ...shown.map(([name, value, note]) => element("div", {},
    element("dt", {}, name), element("dd", {}, value), element("dd", { class: "muted" }, note))));
}

function alarms(found) {
  if (!found.length) return null;
  const lines = found.map((alarm) => element("li", { class: "warning" },
    `${alarm.day}: an answer cost ${dollars(alarm.cost_per_answer_usd)}, over ${dollars(alarm.limit_usd)} (${alarm.kind === "cost_drift" ? "drift" : "target"})`)).reverse();
  const [newest, older] = [lines.slice(0, ALARMS_SHOWN), lines.slice(ALARMS_SHOWN)];
  return element("section", {}, element("h2", {}, "Alarms"), element("ul", { class: "alarms" }, ...newest),
    older.length ? element("details", {}, element("summary", {}, `${older.length} older`), element("ul", { class: "alarms" }, ...older)) : null);
}

function targets(gaps) {
  if (!gaps.length) return null;
  const verdict = { true: "met", false: "missed", null: "too few answers" };
  const rows = gaps.map((gap) => element("tr", {}, element("th", { scope: "row" }, gap.name.replaceAll("_", " ")),
    ...[gap.target, gap.reached, gap.gap === null ? null : `${gap.gap > 0 ? "+" : ""}${Math.round(100 * gap.gap)} %`].map(
      (value) => element("td", {}, typeof value === "number" ? String(Number(value.toPrecision(4))) : value ?? "–")),
    element("td", { class: gap.met === false ? "warning" : "muted" }, verdict[gap.met])));
  return element("section", {}, element("h2", {}, "Targets"),
    element("table", {}, heads("Target", "Aim", "Reached", "Gap", "Verdict"), element("tbody", {}, ...rows)));
}

function byDay(rows) {
  const parsed = rows.map((row) => ({ day: row.day, spent: Number(row.spent_usd), saved: Number(row.saved_usd), answers: row.answers }));
  const busy = parsed.filter((row) => row.answers);
  const cells = (row) => [row.answers, row.spent, row.saved].map((value, place) => element("td", {}, place ? dollars(value) : whole(value)));
  const table = element("table", {}, heads("Day", "Answers", "Spent", "Saved"),
    element("tbody", {}, ...busy.reverse().map((row) => element("tr", {}, element("th", { scope: "row" }, row.day), ...cells(row)))));
  return element("section", {}, element("h2", {}, "By day"), key(), dayColumns(parsed, dollars),
    element("details", {}, element("summary", {}, "The numbers"), table));
}

function key() {
  return element("ul", { class: "legend" }, ...["spent", "saved"].map((kind) => element("li", {}, swatch(kind), kind)));
}

function swatch(kind) {
  return element("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
}

function byTechnique(parts) {
  const rows = Object.entries(parts).map(([name, amount]) => ({ name: name.replace("_", " "), value: Number(amount) }));
  return element("section", {}, element("h2", {}, "Saved by technique"), signedBars(rows, dollars));
}

// The bars of one table share a scale. The heads of the money columns are their legend.
function dimension(name, rows) {
  const entries = Object.entries(rows).sort(([, one], [, other]) => Number(other.spent_usd) - Number(one.spent_usd));
  if (!entries.length) return null;
  const most = Math.max(...entries.map(([, sums]) => Number(sums.spent_usd) + Math.max(Number(sums.saved_usd), 0)));
  return element("section", {}, element("h2", {}, `By ${name.toLowerCase()}`),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `By ${name.toLowerCase()}` },
      element("table", { class: "split" }, heads(name, "Answers", "Calls", [swatch("spent"), "Spent"], [swatch("saved"), "Saved"]),
        element("tbody", {}, ...entries.map(([label, sums]) => named(label, sums, most))))));
}

// The bar stands in the row's head, so that a screen reader meets no empty cell.
function named(label, sums, most) {
  const parts = [{ value: Number(sums.spent_usd), kind: "spent" }, { value: Number(sums.saved_usd), kind: "saved" }];
  const numbers = [whole(sums.answers), whole(sums.calls), dollars(sums.spent_usd), dollars(sums.saved_usd)];
  // A day keeps a limited number of names; the rest is added up under "".
  return element("tr", {}, element("th", { scope: "row" }, element("div", {}, element("span", {}, label || "others"), partsBar(parts, most, "part"))),
    ...numbers.map((number) => element("td", {}, number)));
}

function heads(...names) {
  return element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, ...[name].flat()))));
}
