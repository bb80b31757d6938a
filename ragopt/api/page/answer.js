// An answer's text as nodes: paragraphs, lists, code, emphasis, and its citations as buttons.
// Offsets of citations are code points of the whole text; a JavaScript string counts UTF-16 units.

import { element } from "./dom.js";

const BLOCK = /^(?<fence>```)|^(?<item>\s*(?:[-*•]|\d+[.)])\s+)|^(?<heading>#{1,4}\s+)/u;
const INLINE = /\[(?<n>\d{1,3}(?:\s*,\s*\d{1,3})*)\]|`(?<code>[^`\n]+)`|\*\*(?<strong>[^*\n]+)\*\*/gu;

export function written(answer, open) {
  const marks = marker(answer, open);
  const blocks = [];
  let offset = 0, fenced = null;
  for (const line of answer.answer.split("\n")) {
    const start = offset;
    offset += Array.from(line).length + 1;
    const found = line.match(BLOCK)?.groups ?? {};
    if (found.fence) {
      if (fenced === null) blocks.push((fenced = element("pre")));
      else fenced = null;
    } else if (fenced !== null) {
      fenced.append(line, "\n");
    } else {
      place(blocks, line, found, (text, from) => inline(text, start + from, marks));
    }
  }
  return blocks;
}

function place(blocks, line, found, nodes) {
  const last = blocks.at(-1);
  const lead = found.item ?? found.heading ?? "";
  const content = nodes(line.slice(lead.length), Array.from(lead).length);
  if (found.item) {
    const kind = /\d/.test(lead) ? "OL" : "UL";
    const list = last?.tagName === kind ? last : element(kind.toLowerCase());
    list.append(element("li", {}, ...content));
    if (list !== last) blocks.push(list);
  } else if (found.heading) {
    blocks.push(element("p", { class: "heading" }, ...content));
  } else if (!line.trim()) {
    blocks.push(element("p"));
  } else if (last?.tagName === "P" && last.childNodes.length && !last.classList.contains("heading")) {
    last.append(element("br"), ...content);
  } else if (last?.tagName === "P" && !last.childNodes.length) {
    last.append(...content);
  } else {
    blocks.push(element("p", {}, ...content));
  }
}

function inline(text, offset, marks) {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    const { n, code, strong } = found.groups;
    const at = offset + Array.from(text.slice(0, found.index)).length;
    const made = n ? marks(n, at) : [element(code ? "code" : "strong", {}, code ?? strong)];
    if (!made.length) continue;
    nodes.push(text.slice(from, found.index));
    from = found.index + found[0].length;
    // A full stop behind a mark stays on its line.
    const stop = n ? text.slice(from).match(/^[.,;:!?]?/u)[0] : "";
    nodes.push(...(stop ? [element("span", { class: "together" }, ...made, stop)] : made));
    from += stop.length;
  }
  return [...nodes, text.slice(from)];
}

// Returns the buttons of one marker: of each number the citation whose claim holds it or ends last before it.
function marker(answer, open) {
  return (numbers, at) => numbers.split(",").map(Number).flatMap((n) => {
    const begun = answer.citations.filter((one) => one.n === n && one.answer_start <= at);
    const citation = begun.sort((one, other) => other.answer_start - one.answer_start)[0];
    return citation ? [button(citation, open)] : [];
  });
}

function button(citation, open) {
  const name = citation.title || citation.document_id;
  return element("button", {
    type: "button",
    class: `mark ${citation.support}`,
    "aria-label": `Source ${citation.n}, ${name}, ${citation.support}`,
    title: `${name}: ${citation.quote || "no passage carries this claim"} (${citation.support})`,
    onclick: () => open(citation),
  }, String(citation.n));
}
