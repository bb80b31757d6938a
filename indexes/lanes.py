"""A queue with two lanes: questions first, documents never forgotten."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

Job: TypeAlias = Callable[[], None]

# Of so many questions in a row, the next turn is a waiting document's: else a busy service would never ingest.
QUESTIONS_IN_A_ROW = 4


class Lanes:
    """Jobs for some workers. A question waits for at most one document, a document for at most four questions."""

    def __init__(self) -> None:
        self._questions: deque[Job] = deque()
        self._documents: deque[Job] = deque()
        self._changed = threading.Condition()
        self._in_a_row = 0
        self._closed = False

    def put_question(self, job: Job) -> None:
        """Queue a job that somebody waits for."""
        self._put(self._questions, job)

    def put_document(self, job: Job) -> None:
        """Queue a job of an ingest."""
        self._put(self._documents, job)

    def close(self) -> None:
        """Let `take` return None once both lanes are empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self) -> Job | None:
        """Return the next job, waiting for one; None when the lanes are closed and empty."""
        with self._changed:
            while not (self._questions or self._documents or self._closed):
                self._changed.wait()
            if self._documents and (not self._questions or self._in_a_row >= QUESTIONS_IN_A_ROW):
                self._in_a_row = 0
                return self._documents.popleft()
            if not self._questions:
                return None
            self._in_a_row += 1
            return self._questions.popleft()

    def _put(self, lane: deque[Job], job: Job) -> None:
        with self._changed:
            lane.append(job)
            self._changed.notify()
