"""The seven weeks: pinned, so that nobody can choose the result. Pure.

Pinned by the project's own target: weekly users, the length of the system prompt, two to five calls a request in the
weeks of retries, the shares of repeated questions. Pinned here, because that leaves it open: users of the weeks in
between lie halfway, each user has one thread a week, a thread grows by a turn each week from two, weeks 4 to 6 are
those of retries, an answer has 150 tokens, a turn follows the one before by a minute, and a repeated question is one
that opened a thread within the last day.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

WEEKLY_USERS = (50, 125, 200, 300, 400, 450, 500)
SYSTEM_TOKENS = 1_847
ANSWER_TOKENS = 150
RETRY_WEEKS = (4, 5, 6)
RETRY_CALLS = (2, 5)
REPEATED_SHARES = (0.1, 0.3, 0.5)
FIRST_TURNS = 2
TURN_GAP_S = 60.0
DAY_S, WEEK_S = 86_400.0, 7 * 86_400.0
# Threads begin within the working hours of five days.
WORK_DAYS, OPENS_S, CLOSES_S = 5, 9 * 3_600.0, 17 * 3_600.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. week: from 1. turn: of its thread, from 0. at_s: since the first week began.

    question: which of the recorded ones it asks. repeated: whether the same was asked within the last day. calls:
    how many model calls an application without a retry budget makes for it.
    """

    week: int
    thread: int
    turn: int
    at_s: float
    question: int
    repeated: bool
    calls: int


def asks(questions: int, *, repeated: float, seed: int) -> list[Ask]:
    """Return every request in the order of time, the same for the same seed. repeated: share of repeated questions."""
    random = np.random.default_rng(seed)
    planned = sorted(turns(random), key=lambda item: item[3])
    openings: deque[tuple[float, int]] = deque()
    found: list[Ask] = []
    for week, thread, turn, at_s in planned:
        while openings and openings[0][0] < at_s - DAY_S:
            openings.popleft()
        again = bool(openings) and random.random() < repeated
        question = openings[random.integers(len(openings))][1] if again else int(random.integers(questions))
        if turn == 0 and not again:
            openings.append((at_s, question))
        calls = int(random.integers(RETRY_CALLS[0], RETRY_CALLS[1] + 1)) if week in RETRY_WEEKS else 1
        found.append(Ask(week, thread, turn, at_s, question, again, calls))
    return found


def turns(random: np.random.Generator) -> Iterator[tuple[int, int, int, float]]:
    """Yield week, thread, turn and time of every request, thread by thread."""
    thread = 0
    for week, users in enumerate(WEEKLY_USERS, 1):
        for _ in range(users):
            day = int(random.integers(WORK_DAYS))
            starts_s = (week - 1) * WEEK_S + day * DAY_S + float(random.uniform(OPENS_S, CLOSES_S))
            for turn in range(FIRST_TURNS + week - 1):
                yield week, thread, turn, starts_s + turn * TURN_GAP_S
            thread += 1


def histories(found: Sequence[Ask], question_tokens: Sequence[int], *, message_tokens: int) -> list[int]:
    """Return the tokens of the whole history before each request, in the same order."""
    told: dict[int, int] = {}
    before = []
    for item in found:
        before.append(told.get(item.thread, 0))
        exchange = question_tokens[item.question] + ANSWER_TOKENS + 2 * message_tokens
        told[item.thread] = before[-1] + exchange
    return before
