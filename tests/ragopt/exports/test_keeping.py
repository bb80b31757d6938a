"""Which answers are kept, and without what, over a real Redis."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from indexes.access import EVERYTHING, Reader
from ragopt.checks import CheckedClaim
from ragopt.domain import Answer, CacheOutcome, Question
from ragopt.exports.keeping import Keeper, kept_of, worth_keeping
from ragopt.settings.collections import CollectionSettings
from ragopt.state.kept import KeptAnswers
from ragopt.state.outbox import Outbox
from tests.ragopt.stages.cache.answers import ANSWER, CITATION, CONTEXT, PASSAGE
from tests.ragopt.state.scenarios import Clock, with_redis

QUESTION = Question("What is oil?", "acme")
CLAIM = CheckedClaim(0, 10, (1,), "supported", 0.9)
SUPPORTED = replace(ANSWER, claims=(CLAIM,))
OPTED_IN = (CollectionSettings(name="default", tenant="acme", keep_answers=True),)


@pytest.mark.parametrize(
    "answer",
    [
        replace(ANSWER, cache=CacheOutcome("hit", "exact", 1.0, 1.0)),
        replace(ANSWER, partial=True),
        replace(ANSWER, abstained=True),
        replace(ANSWER, context=replace(CONTEXT, passages=())),
    ],
    ids=["cached", "partial", "abstained", "nothing found"],
)
def test_only_whole_fresh_answers_are_worth_keeping(answer: Answer) -> None:
    """Nor is one in JSON."""
    assert worth_keeping(ANSWER, QUESTION)
    assert not worth_keeping(answer, QUESTION)
    assert not worth_keeping(ANSWER, replace(QUESTION, answer_schema="{}"))


@pytest.mark.parametrize("reader", [Reader.of(["group:hr"]), EVERYTHING])
def test_what_not_everybody_may_read_is_not_kept(reader: Reader) -> None:
    """A model that is trained on it, or a prompt that shows it, would tell everybody."""
    assert not worth_keeping(ANSWER, replace(QUESTION, reader=reader))


def test_personal_data_is_replaced_before_anything_is_kept() -> None:
    """In the question, the passages and the answer; a quote that held some is left out."""
    passage = replace(PASSAGE, text="Öl ist Öl. Ask ann@example.org.", title="ann@example.org")
    context = replace(CONTEXT, standalone_question="Who is ann@example.org?", passages=(passage,))
    cited = (CITATION, replace(CITATION, quote="Ask ann@example.org."), replace(CITATION, support="unsupported"))
    kept = kept_of(replace(ANSWER, context=context, text="ann@example.org [1].", citations=cited), QUESTION, at=1.0)
    assert (kept.question, kept.answer) == ("Who is [EMAIL]?", "[EMAIL] [1].")
    assert (kept.passages[0].text, kept.passages[0].title) == ("Öl ist Öl. Ask [EMAIL].", "[EMAIL]")
    assert [item.quote for item in kept.quotes] == ["Öl i"]


def test_a_quote_that_was_redacted_for_its_answer_is_left_out() -> None:
    """A placeholder that stands in the document itself may be quoted."""
    shown = replace(CITATION, quote="Ask [EMAIL].")
    for text, quotes in (("Ask ann@example.org.", []), ("Ask [EMAIL].", ["Ask [EMAIL]."])):
        context = replace(CONTEXT, passages=(replace(PASSAGE, text=text),))
        kept = kept_of(replace(ANSWER, context=context, citations=(shown,)), QUESTION, at=1.0)
        assert [item.quote for item in kept.quotes] == quotes


@pytest.mark.parametrize(
    ("claims", "supported"),
    [((CLAIM,), True), ((), False), ((CLAIM, replace(CLAIM, support="unsupported")), False),
     ((CLAIM, replace(CLAIM, support="unchecked")), False)],
)  # fmt: skip
def test_an_answer_counts_as_supported_if_every_claim_is(claims: tuple[CheckedClaim, ...], supported: bool) -> None:  # noqa: FBT001
    """One that nobody judged is not."""
    assert kept_of(replace(ANSWER, claims=claims), QUESTION, at=1.0).supported is supported


def test_answers_are_kept_where_the_collection_opted_in(redis_url: str) -> None:
    """Of another collection or tenant nothing is written."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        store = KeptAnswers(redis, outbox, days=1, max_answers=10, now=Clock())
        keeper = Keeper(store, OPTED_IN, now=Clock())
        for question in (QUESTION, replace(QUESTION, collection="other"), replace(QUESTION, tenant="globex")):
            keeper.given(SUPPORTED, question)
        await keeper.close()
        assert await outbox.flush(within_s=60)
        (kept,) = await store.all("acme")
        assert kept == kept_of(SUPPORTED, QUESTION, at=Clock()())
        assert await store.all("globex") == []
        await store.forget_all("acme")

    with_redis(redis_url, scenario)


def test_a_rating_that_is_quicker_than_the_keeping_is_kept_too(redis_url: str) -> None:
    """It waits for the answer that it is about; one of an answer that is kept already does not."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        store = KeptAnswers(redis, outbox, days=1, max_answers=10, now=Clock())
        keeper = Keeper(store, OPTED_IN, now=Clock())
        for liked in (True, False):
            keeper.given(SUPPORTED, QUESTION)
            keeper.rated("acme", SUPPORTED.id, liked=liked)
            await keeper.close()
            assert await outbox.flush(within_s=60)
            assert [one.liked for one in await store.all("acme")] == [liked]
        keeper.rated("acme", SUPPORTED.id, liked=True)
        assert await outbox.flush(within_s=60)
        assert [one.liked for one in await store.all("acme")] == [True]
        await store.forget_all("acme")

    with_redis(redis_url, scenario)


def test_an_answer_that_cannot_be_looked_through_is_only_not_kept(redis_url: str) -> None:
    """The log says so; what was given stays given."""

    async def scenario(redis: Redis) -> None:
        store = KeptAnswers(redis, Outbox(redis), days=1, max_answers=10)
        broken = replace(SUPPORTED, text=None)  # type: ignore[arg-type]
        keeper = Keeper(store, OPTED_IN)
        keeper.given(broken, QUESTION)
        await keeper.close()
        assert await store.all("acme") == []

    with_redis(redis_url, scenario)
