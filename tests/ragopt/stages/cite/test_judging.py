"""Claims to verdicts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
from numpy.typing import NDArray

from indexes.errors import ModelUnavailable
from ragopt.stages.cite.calibration import LOGIT, Calibration, Calibrations, read_calibrations
from ragopt.stages.cite.claims import claims_of
from ragopt.stages.cite.evidence import Units, units_of
from ragopt.stages.cite.judging import KEPT_VERDICTS, ClaimJudge, Verdict
from ragopt.telemetry import Trace
from tests.fakes import passage

LEND = "Members borrow five books at once. Late books cost a dollar a week. Readers like the garden."
UNITS = units_of((passage(LEND, sentences=[f"{part}." for part in LEND.rstrip(".").split(". ")]),))
BY_LOGIT = Calibration({LOGIT: 1.0}, 0.0, unsupported_below=0.3, supported_from=0.7)
BY_WORDS = Calibration({"covered": 6.0}, -3.0, unsupported_below=0.3, supported_from=0.7)


class LengthModel:
    """A model whose logit is what it was made with for evidence that holds a word, its opposite elsewhere."""

    def __init__(self, word: str, logit: float, *, fails: bool = False) -> None:
        self.word, self.logit, self.fails = word, logit, fails
        self.asked: list[tuple[str, str]] = []

    async def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return the logits, or fail."""
        if self.fails:
            raise ModelUnavailable("the model is gone")
        self.asked += pairs
        return np.array([[self.logit if self.word in evidence else -self.logit] for evidence, _ in pairs], np.float32)

    async def close(self) -> None:
        """Hold nothing."""


def judged(claim: str, model: LengthModel | None, *, trace: Trace | None = None, times: int = 1) -> Verdict:
    """Return the verdict on a claim, judged so many times."""
    judge = ClaimJudge(Calibrations(BY_LOGIT, BY_WORDS), model, tag="test")
    for _ in range(times):
        (found,) = asyncio.run(judge([(claim, UNITS)], trace=trace or Trace("r")))
    return found


@pytest.mark.parametrize(("logit", "support"), [(3.0, "supported"), (0.1, "unchecked"), (-3.0, "unsupported")])
def test_the_model_decides_what_features_leave_open(logit: float, support: str) -> None:
    """Its highest logit is scored, and only what is sure enough is said."""
    found = judged("People may take home five volumes and books.", LengthModel("", logit))
    assert (found.support, found.score) == (support, pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4))


def test_the_evidence_is_the_candidate_the_model_likes_best() -> None:
    """The quote is that sentence as the passage has it, at its offsets."""
    found = judged("A late return of books is a dollar.", LengthModel("Late", 2.0))
    assert found.evidence is not None
    assert found.evidence.quote.startswith("Late books cost") or "Late books cost" in found.evidence.quote
    assert LEND[slice(*found.evidence.span)] == found.evidence.quote


def test_a_quotation_and_a_slip_ask_no_model() -> None:
    """What is copied is supported, what is copied with another number is not, and neither costs a model."""
    model = LengthModel("", 5.0)
    assert judged("Late books cost a dollar a week.", model) == Verdict(
        "supported", 1.0, judged("Late books cost a dollar a week", model).evidence
    )
    assert judged("Members borrow six books at once.", model).support == "unsupported"
    assert model.asked == []


def test_a_part_of_a_sentence_is_no_quotation() -> None:
    """Words that stand in the evidence but are little of it may leave out what matters: the model is asked."""
    model = LengthModel("", -5.0)
    assert judged("Members borrow", model).support == "unsupported"
    assert model.asked


def test_a_claim_is_judged_once() -> None:
    """The same claim beside the same passages costs the model nothing the second time."""
    model = LengthModel("", 1.0)
    judged("People may take home five volumes and books.", model, times=2)
    assert len(model.asked) == len(set(model.asked))


def test_verdicts_are_kept_no_longer_than_their_sentences() -> None:
    """A judge holds no passages of its own, however many it has judged."""
    judge = ClaimJudge(Calibrations(BY_LOGIT, BY_WORDS), None, tag="test")
    units = Units(UNITS.passages)
    gone = ref(units)
    asyncio.run(judge([("Late books cost a dollar a week.", units)], trace=Trace("r")))
    del units
    assert gone() is None


def test_of_many_verdicts_beside_the_same_sentences_the_last_are_kept() -> None:
    """A claim is judged anew once so many others were judged since."""
    model = LengthModel("", 1.0)
    judge = ClaimJudge(Calibrations(BY_LOGIT, BY_WORDS), model, tag="test")

    def asked(n: int) -> int:
        before = len(model.asked)
        asyncio.run(judge([(f"People may take {n} books home.", UNITS)], trace=Trace("r")))
        return len(model.asked) - before

    assert all(asked(n) > 0 for n in range(KEPT_VERDICTS + 1))
    assert asked(KEPT_VERDICTS) == 0
    assert asked(0) > 0


def test_a_failed_model_costs_accuracy_and_is_told() -> None:
    """The features judge alone, and the trace says so."""
    trace = Trace("r")
    found = judged("Members borrow five books and more books.", LengthModel("", 1.0, fails=True), trace=trace)
    assert found.score == judged("Members borrow five books and more books.", None).score
    assert trace.fallbacks == {"cite": "the model is gone"}


def test_a_damaged_calibration_is_told(tmp_path: Path) -> None:
    """A file that lacks something names itself."""
    (tmp_path / "calibration.json").write_text(json.dumps({"judged": {"weights": {}}}), encoding="utf-8")
    with pytest.raises(ModelUnavailable, match=r"calibration\.json"):
        read_calibrations(tmp_path)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Raise RAGOPT_MAX_BODY_BYTES to 4096 for uploads.", "Raise `RAGOPT_MAX_BODY_BYTES` to **4096** for uploads"),
        ("A refund takes **ten** days with `refund_now`.", "A refund takes ten days with refund_now"),
        ("The area is 5*3 metres, see __init__.", "The area is 5*3 metres, see `__init__`"),
    ],
)
def test_a_quotation_is_one_with_other_emphasis(source: str, said: str) -> None:
    """Names in code keep their underscores on both sides, and the quote stays as the source has it."""
    units = units_of((passage(source, sentences=[source]),))
    (claim,) = claims_of(f"{said} [1].", before=None)
    (found,) = asyncio.run(ClaimJudge.lexical()([(claim.text, units)], trace=Trace("r")))
    assert (found.support, found.score) == ("supported", 1.0)
    assert found.evidence is not None
    assert found.evidence.quote == source
