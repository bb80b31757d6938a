// Documents: what is stored and who reads it, upload with progress, release, delete.

import { at, element, say, whole } from "./dom.js";
import { address, call, read } from "./service.js";

const POLL_MS = 400;
const view = at("documents");
const collection = () => at("collection").value.trim() || "default";

export async function showDocuments() {
  if (!view.childElementCount) build();
  await list();
}

function build() {
  const input = element("input", { id: "files", type: "file", multiple: true, class: "hidden", accept: ".pdf,.docx,.html,.htm,.md,.txt", onchange: () => upload([...input.files]) });
  const pick = element("label", { for: "files", class: "go" }, "Choose files");
  const readers = element("input", { id: "readers", type: "text", placeholder: "everybody", "aria-describedby": "readers-help", spellcheck: false });
  const drop = element("div", { id: "drop" },
    element("p", {}, "Drop PDF, DOCX, HTML, Markdown or text files here."), input, pick,
    element("p", {}, element("label", { for: "readers" }, "Readers "), readers, element("span", { id: "readers-help", class: "muted" }, " such as group:hr, user:ann")));
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") upload([...event.dataTransfer.files]);
    });
  }
  view.replaceChildren(
    element("h1", {}, "Documents"), drop,
    element("ul", { id: "uploads", "aria-live": "polite" }),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Stored documents" }, element("table", { id: "stored" })),
  );
}

async function list() {
  try {
    const { documents } = await read(address("/documents", { collection: collection() }));
    at("stored").replaceChildren(head("Document", "Readers", "Version", "Chunks", "Tokens", ""), element("tbody", {}, ...documents.map(row)));
    say(documents.length ? `${whole(documents.length)} documents in ${collection()}` : `${collection()} is empty.`);
  } catch (error) {
    at("stored").replaceChildren();
    say(error.code === "collection_not_found" ? `${collection()} is empty: upload something.` : error.message, error.code !== "collection_not_found");
  }
}

function head(...names) {
  return element("thead", {}, element("tr", {}, ...names.map((name) => (name ? element("th", { scope: "col" }, name) : element("td")))));
}

function row(document) {
  const title = document.title && document.title !== document.id ? element("span", { class: "muted" }, ` ${document.title}`) : null;
  const held = document.quarantined ? element("span", { class: "held" }, "quarantined") : null;
  const release = document.quarantined ? element("button", { type: "button", class: "quiet", "aria-label": `Release ${document.id}`, onclick: () => released(document) }, "Release") : null;
  return element("tr", {},
    element("th", { scope: "row" }, document.id, title, held),
    element("td", {}, readersOf(document.access)),
    ...[document.version, document.chunks, document.tokens].map((value) => element("td", {}, whole(value))),
    element("td", {}, release, element("button", { type: "button", class: "quiet", "aria-label": `Delete ${document.id}`, onclick: () => remove(document) }, "Delete")));
}

function readersOf(access) {
  if (access === null) return "everybody";
  return access.length ? access.join(", ") : "keys that read all";
}

async function remove(document) {
  if (confirm(`Delete ${document.id}? No later question will find it.`)) await change(document, "", "DELETE");
}

async function released(document) {
  if (confirm(`Release ${document.id}? Questions will find it, with the instructions that it was held back for.`)) await change(document, "/release", "POST");
}

async function change(document, what, method) {
  try {
    await call(address(`/documents/${encodeURIComponent(document.id)}${what}`, { collection: collection() }), { method });
    await list();
    // The button that had the focus is gone.
    if (window.document.activeElement === window.document.body) at("stored").parentElement.focus();
  } catch (error) {
    say(error.message, true);
  }
}

async function upload(files) {
  if (!files.length) return;
  const bar = element("progress", { max: 1, "aria-label": "Progress" });
  const state = element("span", {}, "sending");
  const names = files.length === 1 ? files[0].name : `${files.length} files`;
  at("uploads").prepend(element("li", {}, element("b", {}, names), bar, state));
  try {
    const body = new FormData();
    for (const file of files) body.append("files", file, file.name);
    body.append("collection", collection());
    body.append("wait", "false");
    const readers = at("readers").value.trim();
    if (readers) body.append("access", readers);
    const job = await read("/ingest", { method: "POST", body });
    const done = await followed(job, bar, state);
    bar.value = 1;
    // The job holds what could be read; only the first answer names the rest.
    const documents = [...job.documents, ...done.documents];
    state.textContent = told(documents);
    state.className = documents.some((item) => item.status === "failed") ? "error" : "";
  } catch (error) {
    bar.remove();
    state.textContent = error.message;
    state.className = "error";
  }
  await list();
}

async function followed(job, bar, state) {
  while (job.status === "queued" || job.status === "running") {
    await new Promise((later) => setTimeout(later, POLL_MS));
    job = await read(`/ingest/${encodeURIComponent(job.job_id)}`);
    if (job.chunks_total) bar.value = job.chunks_done / job.chunks_total;
    state.textContent = job.chunks_total ? `${whole(job.chunks_done)} of ${whole(job.chunks_total)} chunks` : job.status;
  }
  if (job.status === "failed") throw new Error(job.error ?? "the ingest failed");
  return job;
}

function told(documents) {
  const count = {};
  for (const item of documents) count[item.status] = (count[item.status] ?? 0) + 1;
  const failed = documents.filter((item) => item.error).map((item) => `${item.id}: ${item.error.detail}`);
  return [Object.entries(count).map(([status, n]) => `${n} ${status}`).join(", "), ...failed].join("; ");
}
