"""What a segment gets: its own choice where other questions than chose it show that it is better, else everybody's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.tune.choose import Rule
from eval.tune.heldout import folds_of
from eval.tune.segments import HALVES, MIN_SEGMENT, Own, SegmentChoice, segment_choice, segment_choices
from eval.tune.trials import Measured
from tests.eval.tune.rows import row, workload

N = 40
FOLDS = folds_of(["a"] * N, seed=0, most=HALVES)


def chosen(rows: Sequence[Measured], general: Measured, *, tolerance: float = 0.02) -> SegmentChoice:
    """Return the choice of N questions to one document, where everybody gets `general` in each profile."""
    everybody = dict.fromkeys(("quality", "balanced", "cost", "latency"), general)
    return segment_choice(rows, FOLDS, rule=Rule(tolerance), general=everybody)


def differing(choice: SegmentChoice) -> dict[str, Own]:
    """Return the profiles that differ from everybody's."""
    return {name: own for name, own in choice.profiles.items() if own.differs()}


def test_what_finds_more_beyond_the_interval_is_used_in_each_profile() -> None:
    """A dearer setting that finds twice as much: `quality` and `cost` too; only knobs that differ are written."""
    general, wide = row([0.5] * N, 400), row([1.0] * N, 800)
    found = differing(chosen([general, wide], general))
    assert set(found) == {"quality", "balanced", "cost", "latency"}
    assert all(own.knobs() == {"context_tokens": 800} and own.used() is own.chosen for own in found.values())


def test_what_costs_less_and_loses_nothing_is_used_but_not_as_quality() -> None:
    """The same quality at half the tokens: `quality` is about what is found, and stays."""
    general, narrow = row([1.0] * N, 800), row([1.0] * N, 400)
    choice = chosen([general, narrow], general)
    assert set(differing(choice)) == {"balanced", "cost", "latency"}
    assert choice.profiles["quality"].knobs() == {}
    assert choice.profiles["quality"].used() is choice.profiles["quality"].general


def test_what_costs_less_is_used_only_where_the_whole_interval_is_tolerated() -> None:
    """Half the tokens at no mean loss, but a wide interval: that nothing is lost is not shown, unless much may be.

    `balanced` takes as much for all questions: it is not worse beyond the interval.
    """
    swing = np.tile([0.2, -0.2], N // 2)
    general, narrow = row([0.7] * N, 800), row((0.7 + swing).tolist(), 400)
    own = chosen([general, narrow], general).profiles["balanced"]
    assert own.chosen.candidate == narrow.candidate
    assert own.difference.low < -0.02
    assert not own.differs()
    assert chosen([general, narrow], general, tolerance=0.2).profiles["balanced"].differs()


def test_a_choice_that_only_its_own_questions_praise_is_not_used() -> None:
    """Twenty settings that each do well on some questions by chance: the best looks better, held out none is."""
    draw = np.random.default_rng(1)
    general = row([0.5] * N, 400, top_k=1)
    lucky = [row(draw.integers(0, 2, N).astype(float).tolist(), 400, top_k=at) for at in range(2, 60)]
    own = chosen([general, *lucky], general).profiles["quality"]
    assert own.chosen.mean_quality() > 0.6
    assert Rule().difference(own.chosen, own.general).low > 0
    assert not own.differs()


def test_a_segment_chooses_on_everybody_s_index_and_says_what_it_would_choose_on_any() -> None:
    """Smaller chunks would be better there, but a service has one index."""
    general = row([0.5] * N, 400)
    other_index, same_index = row([1.0] * N, 300, chunk_tokens=60), row([0.9] * N, 500)
    choice = chosen([general, other_index, same_index], general)
    assert choice.free.candidate == other_index.candidate
    assert {own.chosen.candidate for own in choice.profiles.values()} == {same_index.candidate}


def test_small_segments_and_a_single_one_choose_nothing() -> None:
    """Fewer than 20 questions, or one segment for all of them."""
    n = 2 * MIN_SEGMENT - 1
    rows = [row([1.0] * n, 400)]
    profiles = Rule().profiles(rows)
    two = segment_choices(workload(n, segments=("hr", "it")), rows, rule=Rule(), general=profiles)
    assert {name: choice.n for name, choice in two.items()} == {"hr": MIN_SEGMENT}
    assert segment_choices(workload(n, segments=("hr",)), rows, rule=Rule(), general=profiles) == {}
