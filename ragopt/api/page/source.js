// A citation's source: the whole document with the quoted words marked and in sight.

import { at, element, say } from "./dom.js";
import { address, read } from "./service.js";

const SUPPORT = {
  supported: "The quoted words support the claim.",
  unsupported: "The quoted words do not support the claim.",
  unchecked: "Whether the quoted words support the claim was not settled.",
};

export async function openSource(citation, collection) {
  try {
    const document = await read(address(`/documents/${encodeURIComponent(citation.document_id)}`, { collection }));
    show(document, citation);
  } catch (error) {
    say(error.message, true);
  }
}

function show(document, citation) {
  at("source-title").textContent = document.title || document.id;
  const changed = document.version !== citation.version;
  const version = changed ? `version ${document.version}; the answer rests on version ${citation.version}` : `version ${document.version}`;
  at("source-facts").textContent = `${document.id}, ${version}. ${SUPPORT[citation.support]}`;
  at("source-text").replaceChildren(...marked(document.text, changed ? null : citation));
  at("source").showModal();
  at("source-text").querySelector("mark")?.scrollIntoView({ block: "center" });
}

// Offsets are code points of the document's text.
function marked(text, citation) {
  if (!citation || citation.source_start === null) return [text];
  const points = Array.from(text);
  const part = (from, to) => points.slice(from, to).join("");
  return [
    part(0, citation.source_start),
    element("mark", { class: citation.support }, part(citation.source_start, citation.source_end)),
    part(citation.source_end),
  ];
}
