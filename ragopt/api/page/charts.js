// Small pictures from numbers: bars that stack, bars side by side, a waterfall, days. Each has its numbers as text.

import { drawn, element } from "./dom.js";

// Parts one behind another: [{value, kind}]; `kind` is the colour's class, `most` what the whole width stands for.
export function partsBar(parts, most, name) {
  const bar = drawn("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", class: name, "aria-hidden": "true" });
  let from = 0;
  for (const part of parts.filter((one) => one.value > 0)) {
    const width = (100 * part.value) / (most || 1);
    bar.append(drawn("rect", { x: from, y: 0, width: Math.max(width - 0.25, 0.4), height: 8, class: part.kind }));
    from += width;
  }
  return bar;
}

// A bar of parts that are a whole: [{name, value, kind}].
export function stackedBar(parts, show) {
  const shown = parts.filter((part) => part.value > 0);
  const total = shown.reduce((sum, part) => sum + part.value, 0);
  const legend = element("ul", { class: "legend" }, ...shown.map((part) => element("li", {},
    element("span", { class: `swatch ${part.kind}`, "aria-hidden": "true" }), `${part.name} `, element("b", {}, show(part.value)))));
  return element("div", {}, partsBar(shown, total, "stack"), legend);
}

// Rows of a name, a bar and a number; what is below zero has another colour.
export function signedBars(rows, show) {
  const most = Math.max(...rows.map((row) => Math.abs(row.value)), 1e-12);
  return element("table", { class: "bars" }, element("tbody", {}, ...rows.map((row) => {
    const width = (100 * Math.abs(row.value)) / most;
    const bar = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      drawn("rect", { x: 0, y: 1, width: Math.max(width, row.value ? 0.8 : 0), height: 8, class: row.value < 0 ? "lost" : "saved" }));
    return element("tr", {}, element("th", { scope: "row" }, row.name), element("td", { class: "drawn" }, bar), element("td", {}, show(row.value)));
  })));
}

// When each stage began and ended: [{stage, start_ms, end_ms}].
export function waterfall(stages, total, show) {
  const scale = 100 / Math.max(total, 0.001);
  return element("table", { class: "bars waterfall" }, element("tbody", {}, ...stages.map((one) => {
    const width = Math.max((one.end_ms - one.start_ms) * scale, 0.6);
    const bar = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      drawn("rect", { x: Math.min(one.start_ms * scale, 99.4), y: 1.5, width, height: 7, rx: 0.4, class: `stage ${one.stage}` }));
    return element("tr", {}, element("th", { scope: "row" }, one.stage), element("td", { class: "drawn" }, bar), element("td", {}, show(one.end_ms - one.start_ms)));
  })));
}

// A column a day: what was spent, and above it what was saved.
export function dayColumns(days, show) {
  const most = Math.max(...days.map((day) => day.spent + Math.max(day.saved, 0)), 1e-12);
  const step = 100 / Math.max(days.length, 1);
  const picture = drawn("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", class: "days", role: "img", "aria-label": "Spent and saved by day; the table below holds the numbers" });
  days.forEach((day, place) => {
    const spent = (38 * day.spent) / most, saved = (38 * Math.max(day.saved, 0)) / most;
    const title = drawn("title");
    title.textContent = `${day.day}: spent ${show(day.spent)}, saved ${show(day.saved)}`;
    picture.append(drawn("g", {}, title,
      drawn("rect", { x: place * step, y: 0, width: step, height: 40, class: "hover" }),
      drawn("rect", { x: place * step + step * 0.12, y: 40 - spent, width: step * 0.76, height: spent, class: "spent" }),
      drawn("rect", { x: place * step + step * 0.12, y: 40 - spent - saved, width: step * 0.76, height: saved, class: "saved" })));
  });
  return picture;
}
