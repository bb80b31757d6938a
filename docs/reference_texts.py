"""What a person wrote of docs/reference.md: all but the tables that `docs.generate_reference` makes."""

from __future__ import annotations

from textwrap import fill


def fields(title: str, table: str, page: str, *, environment: str = "") -> str:
    """Return what introduces the fields of a table. environment: its part of their names there, "" for none."""
    text = f"{table} of `ragopt.toml` takes these fields."
    if environment:
        text += f" In the environment, a field is `RAGOPT_{environment}`, two underscores and its name in capitals."
    return f"## {title} fields\n\n{fill(f'{text} See {page}.', 120, break_on_hyphens=False)}\n"


INTRODUCTION = """\
# Reference

Settings, model fields, error codes and commands. This page is generated from the code by `make docs`.
"""

SETTINGS = """\
## Settings

Settings are read once, at start. A setting comes from an environment variable or from `ragopt.toml`; the environment
wins. The file key is the name without `RAGOPT_`, in lower case: `RAGOPT_TOP_K` is `top_k` in the file. An unknown
variable that starts with `RAGOPT_` stops the start, so a typo cannot go unseen. `ragopt config check` prints the
effective settings with secrets masked.

Where neither names a knob, the file in `RAGOPT_KNOBS_FILE` does: the [segment](segments.md) of the collection, then the
profile; see [Tuning](tuning.md). `RAGOPT_SEGMENTS` is what that file says, and cannot be set elsewhere.
"""

OTHER_VARIABLES = """\
### Other environment variables

| variable | meaning |
|---|---|
| `RAGOPT_CONFIG` | path of the settings file; unset: `ragopt.toml` in the working directory, if there is one |
| `OPENAI_API_KEY`, `OPENAI_BASE_URL` | for `provider = "openai"` where the model entry names no other |
| `ANTHROPIC_API_KEY`, `ANTHROPIC_BASE_URL` | for `provider = "anthropic"` where the model entry names no other |
| `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_…` | where spans go; see [Observability](observability.md#traces) |
| `XDG_CACHE_HOME` | where converted models are cached; unset: `~/.cache` |
| `HF_HUB_CACHE`, `HF_HOME` | where the Hugging Face hub's library keeps models; a cross-encoder there is used |
| `XDG_RUNTIME_DIR` | where the socket of the embedded Redis lies; unset: `/tmp` |
"""

MODELS = fields("Model", "Each `[[models]]` entry", "[Models](models.md)")
RESILIENCE = fields("Resilience", "The `[resilience]` table", "[Resilience](resilience.md)", environment="RESILIENCE")
BATCH = fields("Batch", "The `[batch]` table", "[Batches](batch.md)", environment="BATCH")
REWRITE = fields("Rewrite", "The `[rewrite]` table", "[Conversations](conversations.md)", environment="REWRITE")
HISTORY = fields("History", "The `[history]` table", "[Conversations](conversations.md)", environment="HISTORY")
BUDGETS = fields("Budget", "Each `[[budgets]]` entry", "[Costs](costs.md)")

EXPERIMENTS = """\
## Experiment fields

The `[[experiments]]` entries of `ragopt.toml`, their `variants`, and their `guards`. See [Experiments](experiments.md).
"""

BASELINE = fields("Baseline", "The table `[baseline]`", "[Costs](costs.md)")
TARGETS = fields("Target", "The table `[targets]`", "[Targets](targets.md)")
URL_INGEST = fields("URL ingest", "The table `[url_ingest]`", "[Ingest by URL](url-ingest.md)")
EXPORT = fields("Export", "The table `[export]`", "[Export](export.md)")

PLAN = """\
## Plan fields

The table `[plan]` of `ragopt.toml` takes these fields: what `ragopt plan` cannot read from the ledger. See
[Planning](planning.md).
"""

ROUTING = """\
## Routing fields

The `[routing]` table of `ragopt.toml`, the `[[routes]]` entries, and what `when` of an entry may ask. See
[Routing](routing.md).
"""

LIMITS = fields(
    "Limit", "The `[limits]` table", "[Keys and tenants](keys-and-tenants.md#rate-limits)", environment="LIMITS"
)
CACHE = fields("Cache", "The table `[cache]`", "[Caching](caching.md)", environment="CACHE")
AUDIT = fields("Audit", "The table `[audit]`", "[Audit](audit.md)", environment="AUDIT")

PRIVACY = fields("Privacy", "The table `[privacy]`", "[Privacy](privacy.md#names-and-places)", environment="PRIVACY")

COLLECTIONS = """\
## Collection fields

Each `[[collections]]` entry of `ragopt.toml` takes these fields. Each policy of a collection is that of the most
specific entry that sets it: one with its name and tenant, then with its name, then with its tenant, then with neither.
"""

FACTS = fields("Fact", "Each `[[facts]]` entry", "[Citations](citations.md)")

ERRORS = """\
## Error codes

Every failed request carries one of these codes in the field `code`. Codes never change; titles and sentences may.
Under `/v1`, `unknown_model` is 404 and any other 422 is 400, as at [OpenAI](openai.md#errors).
[Troubleshooting](troubleshooting.md) says what to do about each.
"""

COMMANDS = """\
## Commands

Every command explains itself with `--help` and ends with a non-zero exit code and one line on standard error when it
fails. With `--url`, `ingest` and `ask` talk to a running service, with the key in `RAGOPT_API_KEY`. With `--json`, a
command prints what a program can read.

| command | what it does |
|---|---|
| `ragopt serve [--host H] [--port P] [--data-dir D]` | start the service; exit code 0 after a clean drain |
| `ragopt serve --dev` | the same, with the sample corpus and a key for it: what `make run` does |
| `ragopt ingest PATH… [--collection C] [--data-dir D] [--url U]` | ingest files and folders, with a progress bar |
| `ragopt ask "question" [--collection C] [--data-dir D] [--url U]` | print one answer as it streams, with citations |
| `ragopt batch FILE --out FILE [--collection C] [--deadline S] [--again]` | questions of a file, at half the price |
| `ragopt keys create --tenant T --name N [--scopes S] [--data-dir D] [--json]` | make an API key and print it once |
| `ragopt keys create … [--team T] [--feature F] [--trusted-labels]` | make a key that pins or vouches for labels |
| `ragopt keys create … [--tier-floor T] [--tier-ceiling T]` | make a key whose routes stay within tiers |
| `ragopt keys create … [--rpm N] [--tpm N]` | make a key with limits per minute of its own |
| `ragopt keys create … [--groups G] [--all-documents] [--expires-in D]` | make a key for some documents, or a time |
| `ragopt keys rotate ID [--overlap D]` | give an API key a new secret; the old one works on for a day |
| `ragopt keys list [--tenant T]` | list the API keys, without their secrets |
| `ragopt keys revoke ID [--old-secret]` | make an API key, or its old secret, stop working |
| `ragopt audit verify [PATH] [--known SHA256] [--partial] [--json]` | check the audit log; exit 1 if broken |
| `ragopt audit show [PATH] [--tenant T] [--since TIME] [--act A] [--json]` | print lines of the audit log |
| `ragopt plan [--days N] [--tenant T] [--can-wait F,…] [--json]` | say what other ways to call models would save |
| `ragopt export finetune --format openai --out FILE [--liked] [--distil] [--json]` | write training examples |
| `ragopt export questions --out FILE [--to-label FILE] [--liked] [--json]` | write questions for `eval tune` |
| `ragopt migrate [--data-dir D] [--json]` | copy an embedded data dir to the servers that the settings name |
| `ragopt doctor` | say what works on this machine and what does not |
| `ragopt config check` | print the validated settings with secrets masked |
| `python -m eval context --data DIR` | measure recall, precision and token use of `/context` on a data set |
| `python -m eval retrieval --data DIR` | measure how well BM25, dense, fused and reranked search rank documents |
| `python -m eval drift --data DIR --outcomes DIR [--plot F]` | simulate the bills of a growing support assistant |
| `python -m eval rerank --data DIR [--model M]` | measure what a cross-encoder adds, and what its deadline costs |
| `python -m eval routing --data DIR` | measure cost against quality of routing by difficulty |
| `python -m eval memory --data DIR` | measure how much of what a question needs of a long conversation is sent |
| `python -m eval prefix --data DIR` | replay conversations against the documented prompt caches of both providers |
| `python -m eval prompt --data DIR` | what each part of a prompt costs, what of it is used, and what to trim |
| `python -m eval fit-routing --data DIR --out FILE` | fit the difficulty scorer that ships |
| `python -m eval citations --data DIR` | measure how well claims are told to be supported, beside labels |
| `python -m eval harmful --data DIR` | measure what is caught of harmful questions and answers, and refused with it |
| `python -m eval planted --data DIR` | plant citation faults in answers and count which are caught |
| `python -m eval rewrite --data DIR` | measure how near rewritten follow-ups come to a person's rewrite |
| `python -m eval cache --data DIR` | measure duplicates served at a share of wrong answers |
| `python -m eval pii --data DIR` | measure recall and precision of the recognisers of personal data |
| `python -m eval injection --data DIR` | measure attacks caught and harmless texts refused |
| `python -m eval crash [--kills N] [--documents N]` | kill the service while it ingests and count what is wrong |
| `python -m eval fit-rewrite`, `fit-verifier`, `fit-injection`, `fit-harmful`, `fit-tokens` | fit what ships |
| `python -m eval fit-support --data DIR --out DIR` | train the judge of claims and fit its calibration |
| `python -m eval gate --baseline FILE` | measure again what a file holds; exit 1 if a metric is worse beyond chance |
| `python -m eval report FILE… --out report.html` | one HTML page with tables and plots from saved results |
| `python -m eval report --since 7d [--tenant T] [--url U] [--json]` | the gap to each target, largest first |
| `python -m eval tune --corpus PATH… --questions FILE --out DIR` | search the knobs and write `knobs.toml` |
| `python -m eval dataset --corpus PATH… --questions FILE --out DIR` | your documents and questions as a data set |
| `python -m eval capacity --chunks N --per-second N` | what a deployment needs: arithmetic from measured figures |
| `python -m eval bench` | time ingest and answers on this machine |
| `python -m eval freshness [--operations N]` | change documents under the response cache; exit 1 if it is ever stale |
| `python -m eval batch --data DIR [--kills]` | the same questions live and in a batch: cost, budget, deadline, kills |
| `python -m eval faults` | meet every fault of the provider stub; exit 1 if an answer is cut off unmarked or late |
| `python -m eval campaign [--only NAME,…] [--minutes M]` | kill, cut, fill and fuzz; exit 1 if a promise broke |
| `python -m eval stub` | run a stand-in for the OpenAI and Anthropic APIs, for tests without an account |
"""
