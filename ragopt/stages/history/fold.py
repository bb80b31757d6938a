"""When old turns are folded into the summary, and what the summary then says.

A history that fits the budget is sent whole. Once it does not, its older turns become a block of the summary, and
again each time the last turns have grown to their share. In between a prompt only grows at its end, so that the
beginning, which a provider has cached, stays as it is; a block is never written again unless all of them have
outgrown their share, when they become one.

Folding depends on nothing but what it was given so far: folding after each exchange, with the summary kept in
between, and folding the whole history at once give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragopt.domain import Role, Summary, Turn
from ragopt.settings.history import HistorySettings
from ragopt.stages.history.facts import Fact, distinct, facts_of, worth
from ragopt.tokens import count_tokens, count_tokens_batch

# What the format adds to a message. Source: OpenAI cookbook, "How to count tokens with tiktoken".
TOKENS_PER_MESSAGE = 3
# A block has this share of the tokens that it stands for, and at most half of the summary's.
BLOCK_SHARE = 0.15
# Once they are merged, blocks leave as much room again.
MERGED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """Tokens: of all, to which the last turns may grow, to which they are cut back then, and of the summary."""

    budget: int
    recent: int
    kept: int
    summary: int

    @classmethod
    def of(cls, settings: HistorySettings) -> Limits:
        """Return the limits that the settings ask for."""
        recent = int(settings.budget_tokens * settings.recent_share)
        summary = int(settings.budget_tokens * settings.summary_share)
        return cls(settings.budget_tokens, recent=recent, kept=recent // 2, summary=summary)


def folded(summary: Summary, turns: Sequence[Turn], *, limits: Limits) -> Summary:
    """Return the summary after these turns, all of them from the first on; the same one where nothing is to fold."""
    sizes = [0] * summary.folded + turn_tokens(turns[summary.folded :])
    window = 0
    for at in range(summary.folded, len(turns)):
        window += sizes[at]
        most = limits.recent if summary.folded else limits.budget
        if window <= most or (at + 1 < len(turns) and turns[at + 1].role == "assistant"):
            continue
        cut = cut_at(turns[: at + 1], sizes, start=summary.folded, limits=limits)
        if cut > summary.folded:
            summary = with_block(summary, turns[summary.folded : cut], limits)
            window = sum(sizes[cut : at + 1])
    return summary


def cut_at(turns: Sequence[Turn], sizes: Sequence[int], *, start: int, limits: Limits) -> int:
    """Return where the last turns begin: the earliest exchange from which on they are within their share.

    The last exchange stays even if it is over it, unless it is more than the budget leaves beside the summary.
    """
    starts = [at for at in range(start + 1, len(turns)) if turns[at].role == "user"]
    for at in starts:
        if sum(sizes[at : len(turns)]) <= limits.kept:
            return at
    last = starts[-1] if starts else start
    return last if sum(sizes[last : len(turns)]) <= limits.budget - limits.summary else len(turns)


def with_block(summary: Summary, turns: Sequence[Turn], limits: Limits) -> Summary:
    """Return the summary with these turns folded in: a block more, or all blocks merged where that is too much."""
    merged_tokens = int(limits.summary * MERGED_SHARE)
    block = extract(facts_of(turns), most_tokens=min(merged_tokens, int(sum(turn_tokens(turns)) * BLOCK_SHARE)))
    blocks = (*summary.blocks, block) if block else summary.blocks
    grown = replace(summary, blocks=blocks, folded=summary.folded + len(turns))
    if sum(count_tokens_batch(blocks)) <= limits.summary:
        return grown
    merged = extract(facts_in(blocks), most_tokens=merged_tokens)
    return replace(grown, blocks=(merged,) if merged else (), version=summary.version + 1)


def extract(facts: Sequence[Fact], *, most_tokens: int) -> str:
    """Return the facts of most worth, in the order in which they were said, one to a line; "" for none."""
    left, kept = most_tokens, []
    ranked = distinct(facts)
    for fact, size in zip(ranked, count_tokens_batch([fact.line for fact in ranked]), strict=True):
        # The line's end is a token more.
        if size + 1 <= left:
            kept.append(fact)
            left -= size + 1
    return "\n".join(fact.line for fact in sorted(kept, key=lambda item: item.at))


def facts_in(blocks: Sequence[str]) -> list[Fact]:
    """Return the lines of blocks as facts, in order."""
    found: list[Fact] = []
    for line in (line for block in blocks for line in block.split("\n")):
        role, _, text = line.removeprefix("- ").partition(": ")
        speaker: Role = "assistant" if role == "assistant" else "user"
        found.append(Fact(len(found), speaker, text, worth(text, speaker)))
    return found


def turn_tokens(turns: Sequence[Turn]) -> list[int]:
    """Return what each turn takes as a message of a prompt, in o200k_base tokens; [] for none."""
    return [size + TOKENS_PER_MESSAGE for size in count_tokens_batch([turn.content for turn in turns])] if turns else []


def tokens_of(text: str) -> int:
    """Return what a text takes as a message of its own, 0 if it is empty."""
    return count_tokens(text) + TOKENS_PER_MESSAGE if text else 0
