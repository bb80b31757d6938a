"""What the stub says to a request: the text, why it ends, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass

from eval.stub.answering import answer_to, pieces
from eval.stub.asking import Ask
from eval.stub.caching import CacheUse
from eval.stub.dialects import Counted, Reply, Stop
from ragopt.tokens import count_tokens, encoding

REFUSAL = "I cannot help with that."
FOREIGN = " Ça va: 漢字, 🐈‍⬛, ✓."
HUGE_BYTES = 1_000_000
TOOL_BYTES = 2_000_000
# Tokens of reasoning for each effort: made up, so that efforts differ and every run counts alike.
REASONING_TOKENS = {"none": 0, "minimal": 16, "low": 64, "medium": 256, "high": 1024, "xhigh": 2048, "max": 4096}
STOPS: dict[str, Stop | None] = {
    "refusal": "refusal",
    "content_filter": "filter",
    "length": "length",
    "tool_payload": "tool",
    "no_finish": None,
}


@dataclass(frozen=True, slots=True)
class Written:
    """A text and why it ends there."""

    text: str
    stop: Stop | None


def reply_to(ask: Ask, fault: str, *, answer: str | None, cache: CacheUse, reply_id: str, batch: bool = False) -> Reply:
    """Return the whole reply to a request, as `fault` has it; `answer` replaces the stub's own."""
    reasoning = REASONING_TOKENS.get(ask.effort or "", 0)
    room = None if ask.max_tokens is None else max(0, ask.max_tokens - reasoning)
    written = within(text_for(ask, fault, answer=answer), room, stop=STOPS.get(fault, "end"))
    tool_bytes = TOOL_BYTES if fault == "tool_payload" else 0
    output = count_tokens(written.text) + tool_bytes // 4
    reasoning = reasoning if room is None or room > 0 else ask.max_tokens or 0
    counted = Counted(ask.prompt_tokens, output + reasoning, reasoning, cache, batch)
    usage = None if fault == "no_usage" else counted
    return Reply(reply_id, ask.model, written.text, usage, written.stop, tool_bytes, documents=ask.documents)


def text_for(ask: Ask, fault: str, *, answer: str | None) -> str:
    """Return the text of a reply before any limit cuts it."""
    if fault in ("empty", "tool_payload"):
        return ""
    if fault == "refusal":
        return REFUSAL
    text = answer or answer_to(f"[1] {ask.documents[0]}" if ask.documents else ask.user_message)
    if fault == "split_utf8":
        return text + FOREIGN
    if fault == "huge_chunk":
        return text + " huge" * (HUGE_BYTES // len(" huge"))
    if fault in ("content_filter", "length"):
        words = pieces(text)
        return "".join(words[: max(1, len(words) // 2)])
    return text


def within(text: str, max_tokens: int | None, *, stop: Stop | None) -> Written:
    """Return a text cut at the output limit; None is no limit. A megabyte is left whole: it is asked for."""
    if max_tokens is None or len(text) > HUGE_BYTES // 2:
        return Written(text, stop)
    ids = encoding().encode_ordinary(text)
    if len(ids) <= max_tokens:
        return Written(text, stop)
    return Written(encoding().decode(ids[:max_tokens], errors="ignore"), "length")


def events_of(reply: Reply, fault: str) -> list[str]:
    """Return the text as it is streamed: word by word, or all at once."""
    return [reply.text] if fault == "huge_chunk" else pieces(reply.text)
