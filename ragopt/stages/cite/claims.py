"""A sentence of an answer to its claims: what stands before each marker, and what carries none. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ragopt.domain import Span
from ragopt.evidence import words
from ragopt.markers import code_spans, inside, markers, numbers, without_emphasis, without_markers

# Fewer topic words claim nothing by themselves: "Yes.", or the subject of a sentence that goes on.
MIN_WORDS = 3
EDGE = re.compile(r"^(?:\s|[.,;:!?…)\]]|#{1,6}(?=\s)|[-*+•>|](?=\s)|\d{1,3}[.)](?=\s))+")
BETWEEN = re.compile(r"[\s.,;:!?…)\]]*")


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of a sentence. span: where it stands. text: what is judged, without markers. cited: () for none."""

    span: Span
    text: str
    cited: tuple[int, ...]


def claims_of(sentence: str, *, before: Claim | None) -> list[Claim]:
    """Return the claims of one sentence in order, their spans within it.

    before: the claim before the sentence, in the same offsets, which a marker that opens the sentence cites as well;
    None for none. Where no claim has three words, as in `Dogs [1] and cats [2] bark.`, each is judged as the whole.
    """
    found: list[Claim] = []
    start = 0
    for group_start, group_end, cited in groups(sentence):
        span = trimmed(sentence, start, group_start)
        text = plain(sentence[slice(*span)])
        last = found[-1] if found else before
        start = group_end
        if words(text):
            found.append(Claim(span, text, cited))
        elif last:
            # `[1]. [2]`: a marker right behind another one, or behind its sentence, cites the same claim.
            found.append(replace(last, cited=cited))
    tail = uncited(sentence, start)
    if not tail and not any(len(words(claim.text)) >= MIN_WORDS for claim in found):
        return [replace(claim, text=plain(sentence) or claim.text) for claim in found]
    return [*(found if tail else with_tail(found, plain(sentence[start:]))), *tail]


def groups(sentence: str) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield neighbouring markers together: where they start and end, and the numbers in them, each once."""
    held: tuple[int, int, tuple[int, ...]] | None = None
    for match in markers(sentence):
        if held and BETWEEN.fullmatch(sentence, held[1], match.start()):
            held = held[0], match.end(), tuple(dict.fromkeys((*held[2], *numbers(match))))
            continue
        if held:
            yield held
        held = match.start(), match.end(), tuple(numbers(match))
    if held:
        yield held


def with_tail(found: list[Claim], tail: str) -> list[Claim]:
    """Return the claims, the last one judged with the few words behind its marker: `eight dollars [1] a month`."""
    if not found or not words(tail):
        return found
    return [*found[:-1], replace(found[-1], text=f"{found[-1].text} {tail}")]


def uncited(sentence: str, start: int) -> list[Claim]:
    """Return what a sentence claims behind its last marker, in a list; [] where that is nothing.

    Questions, headings, and lines that lead up to a list claim nothing.
    """
    span = trimmed(sentence, start, len(sentence))
    text = plain(sentence[slice(*span)])
    asserts = not sentence.lstrip().startswith("#") and not text.endswith(("?", ":")) and not only_code(sentence, span)
    return [Claim(span, text, ())] if asserts and len(words(text)) >= MIN_WORDS else []


def only_code(sentence: str, span: Span) -> bool:
    """Return whether nothing but code stands in a span."""
    code = code_spans(sentence)
    return all(inside(at, code) or not sentence[at].isalnum() for at in range(*span))


def plain(text: str) -> str:
    """Return a text for judging: no markers, no marks of a list or heading, no emphasis, single spaces."""
    return " ".join(EDGE.sub("", without_emphasis(without_markers(text))).split())


def trimmed(text: str, start: int, end: int) -> Span:
    """Return the span without white space at its edges and without marks of a list or punctuation before it."""
    lead = EDGE.match(text[start:end])
    start += lead.end() if lead else 0
    while start < end and text[end - 1].isspace():
        end -= 1
    return min(start, end), end
