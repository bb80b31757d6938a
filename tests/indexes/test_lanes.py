"""Questions before documents, documents never starved."""

from __future__ import annotations

import threading

from indexes.lanes import QUESTIONS_IN_A_ROW, Lanes


def taken(lanes: Lanes, count: int) -> None:
    for _ in range(count):
        job = lanes.take()
        assert job is not None
        job()


def test_a_question_goes_before_documents_that_wait() -> None:
    """Whatever was queued first, the question is next."""
    lanes, done = Lanes(), list[str]()
    for n in range(3):
        lanes.put_document(lambda n=n: done.append(f"d{n}"))  # type: ignore[misc]
    lanes.put_question(lambda: done.append("q"))
    taken(lanes, 4)
    assert done == ["q", "d0", "d1", "d2"]


def test_a_document_waits_for_a_few_questions_only() -> None:
    """Under a stream of questions that never ends, every fifth turn is a document's."""
    lanes, done = Lanes(), list[str]()
    for _ in range(3 * QUESTIONS_IN_A_ROW):
        lanes.put_question(lambda: done.append("q"))
    for _ in range(2):
        lanes.put_document(lambda: done.append("d"))
    taken(lanes, 2 * (QUESTIONS_IN_A_ROW + 1))
    assert done == [*["q"] * QUESTIONS_IN_A_ROW, "d"] * 2


def test_closing_lets_what_is_queued_finish() -> None:
    """`take` gives out the rest and then None, also to a worker that waits already."""
    lanes, done = Lanes(), list[str]()
    lanes.put_document(lambda: done.append("d"))
    lanes.close()
    taken(lanes, 1)
    assert (lanes.take(), done) == (None, ["d"])
    waiting, seen = Lanes(), list[object]()
    worker = threading.Thread(target=lambda: seen.append(waiting.take()))
    worker.start()
    waiting.close()
    worker.join(5)
    assert seen == [None]
