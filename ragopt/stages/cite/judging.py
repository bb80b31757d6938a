"""Claims to verdicts: candidate sentences, features, the model's logit, one calibrated score."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from indexes.errors import ModelUnavailable
from indexes.invisible import strip_invisible
from indexes.pair_model import PairModel
from ragopt.domain import Support
from ragopt.evidence import topic_words
from ragopt.markers import without_emphasis
from ragopt.slots import is_negated, slots_of
from ragopt.stages.cite.calibration import LOGIT, SHIPPED, Calibration, Calibrations, read_calibrations
from ragopt.stages.cite.evidence import Candidate, Units
from ragopt.stages.cite.features import FEATURES, features_of
from ragopt.stages.cite.slips import Slip, slip_of
from ragopt.telemetry import Trace

SPACES = re.compile(r"\s+")
ENDS = " .!?…:;,\"'”’"
# Of the words of a sentence that a claim must have to pass for a quotation of it: a part may leave out what matters.
QUOTED_SHARE = 0.6
# Verdicts that are kept beside the same sentences: those of the last answers from them.
KEPT_VERDICTS = 64
# So many are read in a millisecond or two, for which a thread would keep nobody from waiting.
QUICK_SENTENCES = 200


class EntailmentModel(Protocol):
    """A classifier of pairs of evidence and claim."""

    async def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return float32 [n, 1], higher where the first text carries the second. Raises: `ModelUnavailable`."""

    async def close(self) -> None:
        """Free what it holds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a claim. evidence: what carries it or comes nearest, None where nothing shares a word with it."""

    support: Support
    score: float
    evidence: Candidate | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A claim beside its evidence before a model has seen it.

    quoted: the sentence that the claim repeats, if any. slip: what is plainly wrong in it, if anything.
    """

    claim: str
    candidates: tuple[Candidate, ...]
    features: tuple[float, ...]
    quoted: Candidate | None
    slip: Slip | None

    def pairs(self) -> list[tuple[str, str]]:
        """Return what the model is asked about: nothing where the claim is a quotation or plainly wrong."""
        settled = self.quoted or self.slip
        return [] if settled else [(candidate.text, self.claim) for candidate in self.candidates]


class ClaimJudge:
    """Judges claims; the same claim beside the same sentences is judged once. Without a model, by features alone.

    Verdicts are kept as long as their sentences are, which take some 30 kB.
    """

    def __init__(self, calibrations: Calibrations, model: EntailmentModel | None, *, tag: str) -> None:
        self.tag = tag
        self._calibrations = calibrations
        self._model = model
        self._known: WeakKeyDictionary[Units, dict[str, Verdict]] = WeakKeyDictionary()

    @classmethod
    def load(cls, folder: Path = SHIPPED, *, cache_folder: Path) -> ClaimJudge:
        """Return the judge of a folder, the one that ships unless told; blocking. Raises: `ModelUnavailable`."""
        calibrations, tag = read_calibrations(folder)
        model = PairModel.load(folder, cache_folder=cache_folder)
        return cls(calibrations, model, tag=f"{model.card.tag}-{tag}")

    @classmethod
    def lexical(cls, folder: Path = SHIPPED) -> ClaimJudge:
        """Return the judge that uses features alone. Raises: `ModelUnavailable` if even these have no calibration."""
        calibrations, tag = read_calibrations(folder)
        return cls(calibrations, None, tag=f"lexical-{tag}")

    async def close(self) -> None:
        """End the model's worker."""
        if self._model is not None:
            await self._model.close()

    async def __call__(self, claims: Sequence[tuple[str, Units]], *, trace: Trace) -> list[Verdict]:
        """Return one verdict per claim, in order. A model that fails costs accuracy, and the trace says so."""
        kept = {(claim, units): self._known.get(units, {}).get(claim) for claim, units in claims}
        unknown = [asked for asked, verdict in kept.items() if verdict is None]
        sentences = sum(len(units.units) for _, units in unknown)
        readings = read(unknown) if sentences <= QUICK_SENTENCES else await asyncio.to_thread(read, unknown)
        logits = await self._logits(readings, trace=trace)
        found = [
            verdict_of(reading, logit, self._calibrations) for reading, logit in zip(readings, logits, strict=True)
        ]
        judged = dict(zip(unknown, found, strict=True))
        for (claim, units), verdict in judged.items():
            keep(self._known.setdefault(units, {}), claim, verdict)
        return [kept[asked] or judged[asked] for asked in claims]

    async def _logits(self, readings: Sequence[Reading], *, trace: Trace) -> list[list[float] | None]:
        """Return the logits of each reading's pairs; None for each where there is no model, or it fails."""
        pairs = [pair for reading in readings for pair in reading.pairs()]
        if self._model is None:
            return [None] * len(readings)
        try:
            flat = iter([float(row[0]) for row in await self._model.logits(pairs)] if pairs else [])
        except ModelUnavailable as error:
            trace.fell_back("cite", error.detail)
            return [None] * len(readings)
        return [[next(flat) for _ in reading.pairs()] for reading in readings]


def keep(known: dict[str, Verdict], claim: str, verdict: Verdict) -> None:
    """Add a verdict to those that are kept beside the same sentences; the oldest go."""
    known[claim] = verdict
    while len(known) > KEPT_VERDICTS:
        del known[next(iter(known))]


def read(claims: Sequence[tuple[str, Units]]) -> list[Reading]:
    """Return each claim with its candidates and features."""
    return [reading_of(claim, units) for claim, units in claims]


def reading_of(claim: str, units: Units) -> Reading:
    """Return a claim with its candidates and features."""
    candidates = units.candidates(claim)
    texts = [candidate.text for candidate in candidates]
    quoted = next((candidate for candidate in candidates if repeats(claim, candidate)), None)
    return Reading(
        claim,
        tuple(candidates),
        features=features_of(claim, texts, everything=units.text),
        quoted=quoted,
        slip=None if quoted else slip_of(claim, texts, everything=units.text),
    )


def repeats(claim: str, candidate: Candidate) -> bool:
    """Return whether a claim is the candidate's own words: they stand in it as they are, and are most of it."""
    if flat(claim) not in flat(without_emphasis(candidate.quote)):
        return False
    whole = is_negated(slots_of(claim)) == is_negated(slots_of(candidate.quote))
    return whole and len(topic_words(claim)) >= QUOTED_SHARE * len(topic_words(candidate.quote))


def verdict_of(reading: Reading, logits: Sequence[float] | None, calibrations: Calibrations) -> Verdict:
    """Return what is said of a claim. logits: of its candidates, None where no model has seen them."""
    if reading.quoted:
        return Verdict("supported", 1.0, reading.quoted)
    if not reading.candidates:
        return Verdict("unsupported", 0.0, None)
    named = dict(zip(FEATURES, reading.features, strict=True))
    if reading.slip:
        # Below the threshold, and in the order of the scores that the claims would have had.
        score = calibrations.lexical.unsupported_below * calibrations.lexical.score(named)
        return Verdict("unsupported", round(score, 4), reading.candidates[0])
    if logits is None:
        return verdict(named, reading.candidates[0], calibrations.lexical)
    best = int(np.argmax(logits))
    return verdict({**named, LOGIT: logits[best]}, reading.candidates[best], calibrations.judged)


def verdict(features: dict[str, float], evidence: Candidate, calibration: Calibration) -> Verdict:
    """Return what a calibration says."""
    score = calibration.score(features)
    return Verdict(calibration.support(score), round(score, 4), evidence)


def flat(text: str) -> str:
    """Return `text` for comparing words: invisible characters gone, white space single, lower case, no end marks."""
    return SPACES.sub(" ", strip_invisible(text)).strip(ENDS).casefold()
