// The service's HTTP API: the key, JSON calls, and server-sent events.

const KEY = "ragopt-key";

export class Problem extends Error {
  constructor(status, content) {
    super(content.detail || content.title || `HTTP ${status}`);
    this.status = status;
    this.code = content.code || "";
  }
}

export const hasKey = () => Boolean(sessionStorage.getItem(KEY));
export const keepKey = (key) => sessionStorage.setItem(KEY, key);

// The key arrives in the fragment, which no server sees, and leaves the address bar at once.
export function takeKey() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!key) return;
  keepKey(key);
  history.replaceState(null, "", location.pathname + location.search);
}

export async function call(path, { method = "GET", json, body, signal, headers = {} } = {}) {
  const sent = { Authorization: `Bearer ${sessionStorage.getItem(KEY)}`, ...headers };
  if (json !== undefined) sent["Content-Type"] = "application/json";
  const response = await fetch(path, { method, signal, headers: sent, body: json === undefined ? body : JSON.stringify(json) });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
  return response;
}

export const read = async (path, options) => (await call(path, options)).json();

export const address = (path, values) => `${path}?${new URLSearchParams(values)}`;

// EventSource can neither POST nor send a key.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const name = lines.find((line) => line.startsWith("event: "));
      const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
      if (name && data.length) yield [name.slice(7), JSON.parse(data.join("\n"))];
    }
  }
}
