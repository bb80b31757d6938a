"""The stub's prompt caches read and write as the providers document it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anthropic
import openai
import pytest

from eval.stub import StubOptions, serve_in_thread
from eval.stub.anthropic_dialect import AnthropicDialect
from eval.stub.caching import CacheUse, PromptCache
from eval.stub.openai_dialect import OpenAIDialect
from ragopt.providers.capabilities import capabilities_of

DIALECTS = {"openai": OpenAIDialect(), "anthropic": AnthropicDialect()}
OLD, NEW = "gpt-4o", "gpt-6-luna"
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-4-5"
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
# One token a word in o200k_base.
RULES = " rule" * 1_100
MARKED = {"prompt_cache_breakpoint": {"mode": "explicit"}}


class Caller:
    """Asks one cache, by a clock that the test moves."""

    def __init__(self, dialect: str, model: str) -> None:
        self.dialect, self.model, self.cache, self.now = dialect, model, PromptCache(), 1_000.0

    def use(self, body: Mapping[str, object], *, scope: str = "a", delay_s: float = 0) -> CacheUse:
        """Return what a request reads and writes."""
        asked = {"model": self.model, "max_tokens": 5, **body} if self.dialect == "anthropic" else body
        ask = DIALECTS[self.dialect].ask({"model": self.model, **asked}, version="")
        takes = capabilities_of(self.dialect, self.model)
        visit = self.cache.visit(ask, takes, scope=scope, now=self.now)
        self.cache.commit(visit, now=self.now, readable_at=self.now + delay_s)
        return visit.use


def text(words: str, **more: object) -> dict[str, object]:
    """Return a part of text."""
    return {"type": "text", "text": words, **more}


def chat(*contents: object, **more: object) -> dict[str, object]:
    """Return a request of OpenAI: a system prompt, then user messages."""
    roles = ["system", *["user"] * (len(contents) - 1)]
    spoken = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
    return {"messages": spoken, **more}


def test_openai_reads_the_longest_equal_beginning_in_steps() -> None:
    """1,024 tokens and every 128 more; writing is free and counted nowhere."""
    caller = Caller("openai", OLD)
    assert caller.use(chat(RULES, "one")) == CacheUse()
    assert caller.use(chat(RULES, "two")) == CacheUse(read=1024)
    longer = chat(RULES + " more" * 100, "one")
    caller.use(longer)
    assert caller.use(longer) == CacheUse(read=1152)


def test_openai_caches_no_short_prompt() -> None:
    """Below 1,024 tokens nothing is kept."""
    caller = Caller("openai", OLD)
    short = chat(" rule" * 1_000, "one")
    assert [caller.use(short), caller.use(short)] == [CacheUse()] * 2


def test_openai_forgets_after_ten_minutes_or_a_day() -> None:
    """The time counts from the last use; `prompt_cache_retention` makes it a day."""
    caller = Caller("openai", OLD)
    caller.use(chat(RULES, "one"))
    caller.now += 599
    assert caller.use(chat(RULES, "one")).read == 1024
    caller.now += 599
    assert caller.use(chat(RULES, "one")).read == 1024
    caller.now += 601
    kept = chat(RULES, "one", prompt_cache_retention="24h")
    assert caller.use(kept).read == 0
    caller.now += 86_000
    assert caller.use(kept).read == 1024


def test_openai_cache_key_and_account_keep_prompts_apart() -> None:
    """Another `prompt_cache_key` goes to another machine, another account sees nothing."""
    caller = Caller("openai", OLD)
    caller.use(chat(RULES, "one", prompt_cache_key="k1"))
    assert caller.use(chat(RULES, "one", prompt_cache_key="k2")).read == 0
    assert caller.use(chat(RULES, "one", prompt_cache_key="k1"), scope="b").read == 0
    assert caller.use(chat(RULES, "one", prompt_cache_key="k1")).read == 1024


def test_newer_openai_writes_the_whole_prompt_unless_told_otherwise() -> None:
    """The implicit mark stands behind the newest message: a call that differs there writes all of it and reads none."""
    caller = Caller("openai", NEW)
    first = caller.use(chat(RULES + " one"))
    assert (first.read, first.written) == (0, 1_104)
    assert caller.use(chat(RULES + " two")) == first


def test_newer_openai_continues_a_conversation() -> None:
    """What stood behind an earlier message is found again; only what is new is written."""
    caller = Caller("openai", NEW)
    written = caller.use(chat(RULES, "one")).written
    assert caller.use(chat(RULES, "one", "two")) == CacheUse(read=written, written=4)


def test_newer_openai_with_an_explicit_mark() -> None:
    """Exactly what stands before the mark is written once and read from then on, not rounded."""
    caller = Caller("openai", NEW)
    explicit = {"prompt_cache_options": {"mode": "explicit"}}
    marked = [text(RULES, **MARKED)]
    first, second = (caller.use(chat(marked, question, **explicit)) for question in ("one", "two"))
    assert (first, second) == (CacheUse(written=1_103), CacheUse(read=1_103))
    caller.now += 1_801
    assert caller.use(chat(marked, "three", **explicit)) == CacheUse(written=1_103)


def test_newer_openai_without_any_mark_uses_no_cache() -> None:
    """`explicit` and no mark: no surcharge, no hit."""
    caller = Caller("openai", NEW)
    plain = chat(RULES, "one", prompt_cache_options={"mode": "explicit"})
    assert [caller.use(plain), caller.use(plain)] == [CacheUse()] * 2


def messages(system: object, *users: object, **more: object) -> dict[str, object]:
    """Return a request of Anthropic."""
    return {"system": system, "messages": [{"role": "user", "content": user} for user in users], **more}


def test_anthropic_caches_at_marks_alone() -> None:
    """Without a mark nothing is written; with one, what stands before it, and only that."""
    caller = Caller("anthropic", OPUS)
    plain = messages([text(RULES)], "one")
    assert [caller.use(plain), caller.use(plain)] == [CacheUse()] * 2
    marked = [text(RULES, cache_control=EPHEMERAL)]
    assert caller.use(messages(marked, "one")) == CacheUse(written=1_103)
    assert caller.use(messages(marked, "two")) == CacheUse(read=1_103)


@pytest.mark.parametrize(("model", "words", "written"), [(OPUS, 509, 512), (OPUS, 508, 0), (HAIKU, 4092, 0)])
def test_anthropic_minimum_depends_on_the_model(model: str, words: int, written: int) -> None:
    """A shorter prefix is silently not cached."""
    marked = [text(" rule" * words, cache_control=EPHEMERAL)]
    assert Caller("anthropic", model).use(messages(marked, "one")).written == written


def test_anthropic_lifetimes_are_counted_apart() -> None:
    """An hour for the first mark, five minutes for the second; each read starts the time again."""
    caller = Caller("anthropic", OPUS)
    marked = [text(RULES, cache_control=HOUR), text(" more" * 100, cache_control=EPHEMERAL)]
    assert caller.use(messages(marked, "one")) == CacheUse(written=100, written_1h=1_103)
    caller.now += 200
    assert caller.use(messages(marked, "one")) == CacheUse(read=1_203)
    caller.now += 200
    assert caller.use(messages(marked, "one")) == CacheUse(read=1_203)
    caller.now += 301
    assert caller.use(messages(marked, "one")) == CacheUse(read=1_103, written=100)
    caller.now += 3_601
    assert caller.use(messages(marked, "one")) == CacheUse(written=100, written_1h=1_103)


def test_anthropic_looks_twenty_blocks_back() -> None:
    """An entry that ends 19 blocks before a mark is found, one that ends 20 before it is not."""

    def conversation(blocks: int) -> dict[str, object]:
        parts = [text(f"{RULES} {n}") for n in range(blocks)]
        return messages("s", [*parts[:-1], {**parts[-1], "cache_control": EPHEMERAL}])

    near, far = Caller("anthropic", OPUS), Caller("anthropic", OPUS)
    written = near.use(conversation(2)).written
    far.use(conversation(2))
    assert near.use(conversation(21)).read == written
    assert far.use(conversation(22)).read == 0


def test_anthropic_automatic_mark_is_the_last_block() -> None:
    """A `cache_control` of the whole request marks what comes last: here, what changes."""
    caller = Caller("anthropic", OPUS)
    first, second = (caller.use(messages(RULES, word, cache_control=EPHEMERAL)) for word in ("one", "two"))
    assert (first.written, second) == (1_107, first)


def test_changed_tools_change_every_prefix() -> None:
    """Tools come before the system prompt."""
    caller = Caller("anthropic", OPUS)
    marked = [text(RULES, cache_control=EPHEMERAL)]
    caller.use(messages(marked, "one", tools=[{"name": "a"}]))
    assert caller.use(messages(marked, "one", tools=[{"name": "b"}])).read == 0


def test_entry_is_readable_once_its_response_has_begun() -> None:
    """Requests that are sent at once each write."""
    caller = Caller("anthropic", OPUS)
    marked = messages([text(RULES, cache_control=EPHEMERAL)], "one")
    first, second = caller.use(marked, delay_s=2), caller.use(marked, delay_s=2)
    caller.now += 2
    assert (first, second, caller.use(marked)) == (CacheUse(written=1_103), first, CacheUse(read=1_103))


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ([text("r", cache_control=EPHEMERAL)] * 5, "maximum of 4"),
        ([text("r", cache_control=EPHEMERAL), text("r", cache_control=HOUR)], "must not come after"),
        ([text("r", cache_control={"type": "ephemeral", "ttl": "2h"})], "ttl of 5m or 1h"),
    ],
)
def test_anthropic_refuses_wrong_marks(system: Sequence[object], said: str) -> None:
    """As the provider does, with status 400."""
    with (
        serve_in_thread() as stub,
        anthropic.Anthropic(api_key="k", base_url=stub.anthropic_url, max_retries=0) as client,
        pytest.raises(anthropic.BadRequestError, match=said),
    ):
        client.post("/v1/messages", body={"model": OPUS, "max_tokens": 5, **messages(system, "x")}, cast_to=object)


def test_sdks_read_cache_usage() -> None:
    """The counts come out where each SDK has them, and add up to the prompt."""
    with serve_in_thread(StubOptions(answer="Yes.")) as stub:
        with openai.OpenAI(api_key="k", base_url=stub.openai_url, max_retries=0) as chat_client:
            spoken = [{"role": "system", "content": RULES}, {"role": "user", "content": "one"}]
            replies = [chat_client.chat.completions.create(model=OLD, messages=spoken) for _ in range(2)]  # type: ignore[arg-type]
        details = [reply.usage.prompt_tokens_details for reply in replies if reply.usage]
        assert [detail.cached_tokens for detail in details if detail] == [0, 1024]
        with anthropic.Anthropic(api_key="k", base_url=stub.anthropic_url, max_retries=0) as client:
            asked = {"model": OPUS, "max_tokens": 5, "messages": [{"role": "user", "content": "one"}]}
            system = [{"type": "text", "text": RULES, "cache_control": HOUR}]
            written, read = (client.messages.create(**asked, system=system).usage for _ in range(2))  # type: ignore[call-overload]
        assert written.cache_creation.ephemeral_1h_input_tokens == read.cache_read_input_tokens == 1_103
        total = written.input_tokens + written.cache_creation_input_tokens + written.cache_read_input_tokens
        assert total == stub.calls[-1].prompt_tokens
