"""What was measured: trials in a file that only grows, so that a run that was killed goes on where it was.

The first line says what is measured; each other line is one candidate over a run of questions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from eval.errors import EvaluationError
from eval.tune.space import Candidate, KnobValue


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate over the questions from `start` on, in asking order; the same place is the same question.

    quality: recall of the reference, in [0, 1]; a question that failed has 0. tokens: o200k_base tokens
    that were packed; of a question that failed, the whole budget. vectors: stored token vectors that
    reranking compared. ms: of embedding, retrieval, reranking and packing. problems: what failed.
    """

    candidate: Candidate
    start: int
    quality: tuple[float, ...]
    tokens: tuple[int, ...]
    vectors: tuple[int, ...]
    ms: tuple[float, ...]
    problems: tuple[str, ...] = ()


class TrialFile:
    """The trials of one run, in `trials.jsonl`: read on opening, one line added with each new trial."""

    def __init__(self, path: Path, run: Mapping[str, object]) -> None:
        """Open the file, or begin it.

        Raises: `EvaluationError` if it holds another run, or a line in its middle is damaged.
        """
        self._path = path
        self._found: dict[tuple[Candidate, int], Trial] = {}
        header = json.dumps(run, ensure_ascii=False)
        lines = whole_lines(path)
        if not lines:
            path.write_text(header + "\n", encoding="utf-8")
        elif lines[0] != header:
            raise EvaluationError(
                f"{path} holds the trials of other questions, documents or settings: "
                "choose another --out, or delete the file to begin anew"
            )
        for number, line in enumerate(lines[1:], start=2):
            trial = trial_of(line, place=f"{path}:{number}")
            self._found[trial.candidate, trial.start] = trial

    def find(self, candidate: Candidate, start: int) -> Trial | None:
        """Return the trial of a candidate that begins at this question, None if it is not finished."""
        return self._found.get((candidate, start))

    def add(self, trials: Sequence[Trial]) -> None:
        """Keep finished trials, on disk first."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(line_of(trial) + "\n" for trial in trials))
        self._found |= {(trial.candidate, trial.start): trial for trial in trials}


def whole_lines(path: Path) -> list[str]:
    """Return the finished lines of a file, [] if there is none; cuts off one that a kill left half written."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    return whole.decode("utf-8").split("\n")[:-1]


def line_of(trial: Trial) -> str:
    """Return a trial as one line of JSON, its candidate as `{knob: value}`, milliseconds to three digits."""
    fields = asdict(trial) | {"candidate": dict(trial.candidate.values), "ms": [round(ms, 3) for ms in trial.ms]}
    return json.dumps(fields, ensure_ascii=False)


def trial_of(line: str, *, place: str) -> Trial:
    """Return the trial that `line_of` wrote. Raises: `EvaluationError` naming the place if it did not."""
    try:
        fields = TypeAdapter(dict[str, object]).validate_json(line)
        values = TypeAdapter(dict[str, KnobValue]).validate_python(fields["candidate"], strict=True)
        candidate = Candidate(tuple(values.items()))
        return TypeAdapter(Trial).validate_python(fields | {"candidate": candidate})
    except (ValidationError, KeyError) as error:
        raise EvaluationError(f"{place}: not a trial: delete the file to begin anew") from error


@dataclass(frozen=True, eq=False, slots=True)
class Measured:
    """A candidate over questions, one place in each array per question, in asking order; never empty."""

    candidate: Candidate
    quality: NDArray[np.float64]
    tokens: NDArray[np.float64]
    vectors: NDArray[np.float64]
    ms: NDArray[np.float64]

    def mean_quality(self) -> float:
        """Return the mean recall of the reference, in [0, 1]."""
        return float(self.quality.mean())

    def mean_tokens(self) -> float:
        """Return the mean of the packed tokens."""
        return float(self.tokens.mean())

    def only(self, places: Sequence[int] | NDArray[np.intp]) -> Measured:
        """Return the same candidate over the questions at these places."""
        at = np.asarray(places, np.intp)
        return Measured(self.candidate, self.quality[at], self.tokens[at], self.vectors[at], self.ms[at])


def measured(trials: Sequence[Trial]) -> Measured:
    """Return the trials of one candidate, joined in the order of their questions."""
    ordered = sorted(trials, key=lambda trial: trial.start)
    return Measured(
        ordered[0].candidate,
        quality=np.concatenate([np.asarray(trial.quality, np.float64) for trial in ordered]),
        tokens=np.concatenate([np.asarray(trial.tokens, np.float64) for trial in ordered]),
        vectors=np.concatenate([np.asarray(trial.vectors, np.float64) for trial in ordered]),
        ms=np.concatenate([np.asarray(trial.ms, np.float64) for trial in ordered]),
    )
