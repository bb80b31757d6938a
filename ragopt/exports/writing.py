"""Kept answers as lines of files: for a provider's fine-tuning, or as questions to measure with. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from ragopt.domain import Context, Passage
from ragopt.markers import markers, numbers
from ragopt.privacy.recognition import OWN, Recognisers
from ragopt.privacy.redaction import redacted
from ragopt.prompt import build_prompt
from ragopt.results import History
from ragopt.state.kept import KeptAnswer

Format: TypeAlias = Literal["openai", "anthropic"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many examples a provider takes."""

    fewest: int
    most: int


# Source: OpenAI, supervised fine-tuning: at least 10 examples, files of up to 512 MB. Amazon Bedrock, quotas of model
# customisation for Anthropic Claude 3 Haiku: 32 to 10,000 training records.
BOUNDS: Mapping[Format, Bounds] = MappingProxyType({"openai": Bounds(10, 1_000_000), "anthropic": Bounds(32, 10_000)})


def example(kept: KeptAnswer, kind: Format) -> dict[str, object]:
    """Return an answer as one training example: the prompt of a first question, and the answer.

    Rules, passages and the question as it stands alone; no instructions of an application or a variant, no examples
    of the collection and no history, whatever the answer was made from.
    Source: OpenAI, supervised fine-tuning, chat format: `messages` of the roles system, user, assistant. Amazon
    Bedrock, fine-tuning Anthropic Claude 3 Haiku: `system`, and `messages` of the roles user and assistant.
    """
    prompt = build_prompt(context_of(kept), History())
    turns = [{"role": "user", "content": prompt.user}, {"role": "assistant", "content": kept.answer}]
    if kind == "openai":
        return {"messages": [{"role": "system", "content": prompt.system}, *turns]}
    return {"system": prompt.system, "messages": turns}


def context_of(kept: KeptAnswer) -> Context:
    """Return the context that the answer was made from, as far as a prompt needs it."""
    passages = tuple(
        Passage(
            item.n,
            item.document_id,
            item.version,
            chunk_id="",
            title=item.title,
            spans=(),
            text=item.text,
            tokens=0,
            score=0.0,
            units=(),
        )
        for item in kept.passages
    )
    return Context(kept.question, kept.question, 0, 0, passages, 0, "exhausted")


def question(kept: KeptAnswer) -> dict[str, object] | None:
    """Return an answer as a question with what answers it, as `eval tune` reads it; None without a quote."""
    if not kept.quotes:
        return None
    return {
        "question": kept.question,
        "documents": list(dict.fromkeys(item.document_id for item in kept.quotes)),
        "quote": [item.quote for item in kept.quotes],
        "segment": kept.collection,
    }


def shown_example(kept: KeptAnswer) -> dict[str, object] | None:
    """Return an answer as an example that a prompt shows: the passages that it cites, numbered anew; None without one.

    A marker of a passage that is not kept is left out.
    """
    texts = {item.n: item.text for item in kept.passages}
    cited = dict.fromkeys(n for marker in markers(kept.answer) for n in numbers(marker) if n in texts)
    places = {n: place for place, n in enumerate(cited, start=1)}
    parts, end = [], 0
    for marker in markers(kept.answer):
        now = "".join(f"[{places[n]}]" for n in numbers(marker) if n in places)
        parts += [kept.answer[end : marker.start()], f"{marker['lead']}{now}" if now else ""]
        end = marker.end()
    answer = "".join([*parts, kept.answer[end:]])
    passages = [" ".join(texts[n].split()) for n in cited]
    return {"question": kept.question, "passages": passages, "answer": answer} if passages else None


def to_label(kept: KeptAnswer, comment: str, recognisers: Recognisers = OWN) -> dict[str, object]:
    """Return an answer that was rated down as a question, for a person to say in it what should have been found."""
    shown = ", ".join(dict.fromkeys(item.document_id for item in kept.passages))
    said = f"; the caller: {redacted(comment, recognisers).text}" if comment else ""
    note = f"answered: {kept.answer}; from {shown}{said}"
    return {"question": kept.question, "documents": [], "quote": [], "segment": kept.collection, "note": note}


def lines(values: Sequence[Mapping[str, object]]) -> str:
    """Return JSON lines."""
    return "".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in values)
