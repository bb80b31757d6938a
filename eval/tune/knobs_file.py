"""Writes `knobs.toml`, which a service loads with RAGOPT_KNOBS_FILE; read by `ragopt.settings.profiles`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from eval.intervals import bootstrap
from eval.tune.outcome import Outcome
from eval.tune.sections import percent
from eval.tune.space import KnobValue
from ragopt.settings.profiles import INDEX_KNOBS

HEADER = """\
# Written by `python -m eval tune`. To use it, set RAGOPT_KNOBS_FILE to this file and RAGOPT_PROFILE to
# quality, balanced, cost or latency. A new chunk size means that documents must be ingested again. A collection gets
# the knobs of a segment where its entry of [[collections]] in ragopt.toml names it: segment = "…".
"""


def knobs_toml(outcome: Outcome) -> str:
    """Return the file: the source, the index, a table for each profile, and in it one for each segment.

    It holds no time and no path: the same seed writes the same file.
    """
    return HEADER + "".join(f"\n[{name}]\n{body}" for name, body in tables(outcome))


def tables(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """Yield name and body of each table."""
    yield "source", lines(source(outcome))
    chosen = outcome.profiles.balanced.candidate.settings(outcome.settings)
    yield "index", lines({knob: getattr(chosen, knob) for knob in INDEX_KNOBS})
    for name, row in outcome.profiles.named():
        quality = percent(bootstrap(row.quality.tolist(), seed=outcome.rule.seed))
        said = f"# quality {quality} %, {row.mean_tokens():.0f} tokens\n"
        yield f"profiles.{name}", said + lines(row.candidate.query_values())
        yield from model_tables(outcome, name)
        yield from segment_tables(outcome, name)


def model_tables(outcome: Outcome, name: str) -> Iterator[tuple[str, str]]:
    """Yield what recorded answers and labelled pairs say of a profile; nothing without them."""
    if outcome.tiers is not None:
        setting = outcome.tiers.profiles[name].setting
        edges = {"medium_from": setting.medium_from, "complex_from": setting.complex_from}
        yield f"profiles.{name}.routing", f"# {setting.label()}\n" + lines(edges)
    if outcome.bound is not None:
        chosen = outcome.bound.chosen
        yield f"profiles.{name}.cache", lines({"max_wrong": chosen.max_wrong} if chosen else {"semantic": False})


def segment_tables(outcome: Outcome, name: str) -> Iterator[tuple[str, str]]:
    """Yield the knobs in which each segment differs from a profile; no line where it does not."""
    for segment, item in outcome.segments.items():
        own = item.profiles[name]
        row = own.used()
        quality = percent(bootstrap(row.quality.tolist(), seed=outcome.rule.seed))
        whose = "of its own" if own.differs() else f"as {name}"
        said = f"# {whose}; on its {item.n} questions quality {quality} %, {row.mean_tokens():.0f} tokens\n"
        yield f"profiles.{name}.segments.{json.dumps(segment, ensure_ascii=False)}", said + lines(own.knobs())


def source(outcome: Outcome) -> dict[str, KnobValue]:
    """Return what the knobs were tuned on."""
    return {
        "set": outcome.workload.dataset.name,
        "documents": len(outcome.workload.dataset.documents),
        "questions": outcome.questions(),
        "derived": outcome.workload.derived,
        "seed": outcome.rule.seed,
        "tolerance": outcome.rule.tolerance,
        "embedding_model": outcome.settings.embedding_model or "all-MiniLM-L6-v2",
    }


def lines(values: Mapping[str, KnobValue]) -> str:
    """Return `name = value` lines; a JSON string, number or truth value is one of TOML too."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())
