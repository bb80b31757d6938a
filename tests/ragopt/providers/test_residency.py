"""A collection's text goes only where its `regions` let it."""

from __future__ import annotations

import asyncio

import pytest

from ragopt.domain import Question, Usage
from ragopt.errors import ProviderRejected
from ragopt.money.prices import Prices
from ragopt.providers.attempt import Tried
from ragopt.providers.call import ModelCaller
from ragopt.providers.deployment import Deployment
from ragopt.providers.protocol import Completed, ProviderEvent, TextDelta
from ragopt.providers.residency import Residency
from ragopt.settings.collections import CollectionSettings
from tests.model_calls import ScriptedProvider, call

DONE = Completed(usage=Usage(input_tokens=100, output_tokens=10), model_served="m", stop="end")
COLLECTIONS = (CollectionSettings(name="hr", regions=("eu", "ch")),)
HR, WIKI = Question("How long?", "acme", collection="hr"), Question("How long?", "acme", collection="wiki")


def model(provider: ScriptedProvider, *regions: str) -> Deployment:
    """Return a model of `provider` that runs in these regions."""
    return Deployment("small", provider, "small-model", "simple", 5, regions=regions)


@pytest.mark.parametrize(
    ("regions", "allowed"), [((), False), (("eu",), True), (("eu", "ch"), True), (("eu", "us"), False)]
)
def test_a_model_is_allowed_where_all_its_regions_are(regions: tuple[str, ...], *, allowed: bool) -> None:
    """A model that does not say where it runs, or that may run elsewhere too, is barred."""
    there = model(ScriptedProvider(), *regions)
    assert Residency(COLLECTIONS).allows(there, HR) is allowed
    assert Residency(COLLECTIONS).allows(there, WIKI)


def test_what_runs_here_is_always_allowed() -> None:
    """The built-in provider sends nothing anywhere."""
    provider = ScriptedProvider()
    provider.name = "extractive"
    assert Residency(COLLECTIONS).allows(model(provider), HR)


def test_no_call_of_a_barred_model_leaves_the_caller() -> None:
    """Rewrites and summaries pass through the same function as answers; the message names the settings."""
    provider = ScriptedProvider(TextDelta("Yes."), DONE)
    caller = ModelCaller(Prices(), residency=Residency(COLLECTIONS))

    async def called(question: Question) -> list[ProviderEvent]:
        tried: list[Tried] = []
        events = caller.stream(model(provider, "us"), call("m"), question=question, tried=tried)
        return [event async for event in events]

    with pytest.raises(ProviderRejected, match="may only go to eu, ch .*`regions` in .*models"):
        asyncio.run(called(HR))
    assert provider.requests == []
    assert DONE in asyncio.run(called(WIKI))
