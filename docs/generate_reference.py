"""Write docs/reference.md from the code: settings, model fields, error codes, commands. Run by `make docs`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from indexes import errors as indexing_errors
from ragopt import errors as service_errors
from ragopt.api.problems import FRAMEWORK_CODES, kind_of
from ragopt.config import MEBIBYTE, Settings
from ragopt.settings.audit import AuditSettings
from ragopt.settings.batch import BatchSettings
from ragopt.settings.caching import CacheSettings
from ragopt.settings.collections import CollectionSettings
from ragopt.settings.experiments import ExperimentSettings, GuardSettings, VariantSettings
from ragopt.settings.exports import ExportSettings
from ragopt.settings.facts import FactSettings
from ragopt.settings.history import HistorySettings
from ragopt.settings.models import ModelSettings, ResilienceSettings
from ragopt.settings.money import BaselineSettings, BudgetSettings, TargetSettings
from ragopt.settings.plan import PlanSettings
from ragopt.settings.routing import RouteSettings, RouteWhen, RoutingSettings
from ragopt.settings.traffic import LimitSettings
from ragopt.settings.url_ingest import UrlIngestSettings

TARGET = Path(__file__).parent / "reference.md"

INTRODUCTION = """\
# Reference

Settings, model fields, error codes and commands. This page is generated from the code by `make docs`.
"""

SETTINGS_TEXT = """\
## Settings

Settings are read once, at start. A setting comes from an environment variable or from `ragopt.toml`; the environment
wins. The file key is the name without `RAGOPT_`, in lower case: `RAGOPT_TOP_K` is `top_k` in the file. An unknown
variable that starts with `RAGOPT_` stops the start, so a typo cannot go unseen. `ragopt config check` prints the
effective settings with secrets masked.

Where neither names a knob, a profile of the file in `RAGOPT_KNOBS_FILE` does; see [Tuning](tuning.md).
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

MODELS_TEXT = """\
## Model fields

Each `[[models]]` entry of `ragopt.toml` takes these fields. See [Models](models.md).
"""

RESILIENCE_TEXT = """\
## Resilience fields

The `[resilience]` table of `ragopt.toml` takes these fields. In the environment, a field is `RAGOPT_RESILIENCE`, two
underscores and its name in capitals. See [Resilience](resilience.md).
"""

BATCH_TEXT = """\
## Batch fields

The `[batch]` table of `ragopt.toml` takes these fields. In the environment, a field is `RAGOPT_BATCH`, two underscores
and its name in capitals. See [Batches](batch.md).
"""

HISTORY_TEXT = """\
## History fields

The `[history]` table of `ragopt.toml` takes these fields. In the environment, a field is `RAGOPT_HISTORY`, two
underscores and its name in capitals. See [Conversations](conversations.md).
"""

BUDGETS_TEXT = """\
## Budget fields

Each `[[budgets]]` entry of `ragopt.toml` takes these fields. See [Costs](costs.md).
"""

EXPERIMENTS_TEXT = """\
## Experiment fields

The `[[experiments]]` entries of `ragopt.toml`, their `variants`, and their `guards`. See [Experiments](experiments.md).
"""

BASELINE_TEXT = """\
## Baseline fields

The table `[baseline]` of `ragopt.toml` takes these fields. See [Costs](costs.md).
"""

TARGETS_TEXT = """\
## Target fields

The table `[targets]` of `ragopt.toml` takes these fields. See [Targets](targets.md).
"""

URL_INGEST_TEXT = """\
## URL ingest fields

The table `[url_ingest]` of `ragopt.toml` takes these fields. See [Ingest by URL](url-ingest.md).
"""

EXPORT_TEXT = """\
## Export fields

The table `[export]` of `ragopt.toml` takes these fields. See [Export](export.md).
"""

PLAN_TEXT = """\
## Plan fields

The table `[plan]` of `ragopt.toml` takes these fields: what `ragopt plan` cannot read from the ledger. See
[Planning](planning.md).
"""

ROUTING_TEXT = """\
## Routing fields

The `[routing]` table of `ragopt.toml`, the `[[routes]]` entries, and what `when` of an entry may ask. See
[Routing](routing.md).
"""

LIMITS_TEXT = """\
## Limit fields

The `[limits]` table of `ragopt.toml` takes these fields. In the environment, a field is `RAGOPT_LIMITS`, two
underscores and its name in capitals. See [Keys and tenants](keys-and-tenants.md#rate-limits).
"""

CACHE_TEXT = """\
## Cache fields

The table `[cache]` of `ragopt.toml` takes these fields. In the environment, a field is `RAGOPT_CACHE`, two underscores
and its name in capitals. See [Caching](caching.md).
"""

AUDIT_TEXT = """\
## Audit fields

The table `[audit]` of `ragopt.toml` takes these fields. In the environment, a field is `RAGOPT_AUDIT`, two underscores
and its name in capitals. See [Audit](audit.md).
"""

COLLECTIONS_TEXT = """\
## Collection fields

Each `[[collections]]` entry of `ragopt.toml` takes these fields. Each policy of a collection is that of the most
specific entry that sets it: one with its name and tenant, then with its name, then with its tenant, then with neither.
"""

FACTS_TEXT = """\
## Fact fields

Each `[[facts]]` entry of `ragopt.toml` takes these fields. See [Citations](citations.md).
"""

ERRORS_TEXT = """\
## Error codes

Every failed request carries one of these codes in the field `code`. Codes never change; titles and sentences may.
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
| `ragopt keys list [--tenant T]` | list the API keys, without their secrets |
| `ragopt keys revoke ID` | make an API key stop working |
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


ROUTING_KINDS: tuple[type[BaseModel], ...] = (RoutingSettings, RouteSettings, RouteWhen)
EXPERIMENT_KINDS: tuple[type[BaseModel], ...] = (ExperimentSettings, VariantSettings, GuardSettings)


def render() -> str:
    """Return the whole page."""
    sections = [
        INTRODUCTION,
        SETTINGS_TEXT,
        table(("setting", "default", "meaning"), settings_rows()),
        OTHER_VARIABLES,
        MODELS_TEXT,
        table(("field", "default", "meaning"), field_rows(ModelSettings)),
        RESILIENCE_TEXT,
        table(("field", "default", "meaning"), field_rows(ResilienceSettings)),
        BATCH_TEXT,
        table(("field", "default", "meaning"), field_rows(BatchSettings)),
        HISTORY_TEXT,
        table(("field", "default", "meaning"), field_rows(HistorySettings)),
        BUDGETS_TEXT,
        table(("field", "default", "meaning"), field_rows(BudgetSettings)),
        BASELINE_TEXT,
        table(("field", "default", "meaning"), field_rows(BaselineSettings)),
        EXPERIMENTS_TEXT,
        *(table(("field", "default", "meaning"), field_rows(kind)) for kind in EXPERIMENT_KINDS),
        TARGETS_TEXT,
        table(("field", "default", "meaning"), field_rows(TargetSettings)),
        URL_INGEST_TEXT,
        table(("field", "default", "meaning"), field_rows(UrlIngestSettings)),
        EXPORT_TEXT,
        table(("field", "default", "meaning"), field_rows(ExportSettings)),
        PLAN_TEXT,
        table(("field", "default", "meaning"), field_rows(PlanSettings)),
        ROUTING_TEXT,
        *(table(("field", "default", "meaning"), field_rows(kind)) for kind in ROUTING_KINDS),
        LIMITS_TEXT,
        table(("field", "default", "meaning"), field_rows(LimitSettings)),
        CACHE_TEXT,
        table(("field", "default", "meaning"), field_rows(CacheSettings)),
        AUDIT_TEXT,
        table(("field", "default", "meaning"), field_rows(AuditSettings)),
        COLLECTIONS_TEXT,
        table(("field", "default", "meaning"), field_rows(CollectionSettings)),
        FACTS_TEXT,
        table(("field", "default", "meaning"), field_rows(FactSettings)),
        ERRORS_TEXT,
        table(("code", "HTTP status", "meaning"), error_rows()),
        COMMANDS,
    ]
    return "\n".join(sections)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines).replace("| --- | --- | --- |", "|---|---|---|")


def settings_rows() -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every setting, in the order of the code."""
    return [(f"`RAGOPT_{name[1:-1].upper()}`", default, meaning) for name, default, meaning in field_rows(Settings)]


def field_rows(model: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every field of a model."""
    return [
        (f"`{name}`", shown_default(field), field.description or field_meaning(name))
        for name, field in model.model_fields.items()
    ]


def field_meaning(name: str) -> str:
    """Return the meaning of a model field whose description the code leaves out. Raises: `KeyError` for a new one."""
    return {
        "provider": "`openai`, `anthropic` or `extractive`",
        "tier": "`simple`, `medium` or `complex`: cheaper models first",
        "timeout_s": "seconds one call may take",
        "price": "USD per million: `{ input = …, output = …, cached_input = …, cache_write = …, cache_write_1h = … }`",
    }[name]


def shown_default(field: FieldInfo) -> str:
    """Return a default as a person writes it."""
    value = field.default
    if field.is_required():
        return "required"
    if isinstance(value, BaseModel):
        return "see below"
    if value is None or value in ("", ()) or isinstance(value, SecretStr):
        return "unset"
    if isinstance(value, int) and value >= MEBIBYTE and value % MEBIBYTE == 0:
        return f"`{value}` ({value // MEBIBYTE} MiB)"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def error_rows() -> list[tuple[str, str, str]]:
    """Return code, status and meaning of every error, sorted by code."""
    rows = {
        found.code: (status_text(kind_of(found).status), meaning_of(found))
        for module in (service_errors, indexing_errors)
        for found in error_classes(module)
    }
    for status, (code, title) in FRAMEWORK_CODES.items():
        rows.setdefault(code, (status_text(status), f"{title}."))
    return [(f"`{code}`", *rest) for code, rest in sorted(rows.items())]


def error_classes(module: ModuleType) -> list[type[service_errors.RagoptError] | type[indexing_errors.IndexingError]]:
    """Return the error classes a module defines."""
    roots = (service_errors.RagoptError, indexing_errors.IndexingError)
    return [item for item in vars(module).values() if isinstance(item, type) and issubclass(item, roots)]


def meaning_of(found: type[Exception]) -> str:
    """Return the first line of the docstring; of a base class, which says nothing to a caller, its HTTP title."""
    first_line = (found.__doc__ or "").splitlines()[0]
    return f"{kind_of(found).title}." if first_line.startswith("Base of") else first_line


def status_text(status: int) -> str:
    """Return a status as `404 Not Found`."""
    return f"{int(status)} {HTTPStatus(status).phrase}"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
