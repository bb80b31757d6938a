"""Anthropic's own citations become the markers that the rest of the service reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.stub import StubServer, serve_in_thread
from ragopt.errors import ConfigError
from ragopt.providers.anthropic import AnthropicProvider, messages_of
from ragopt.providers.capabilities import Capabilities
from ragopt.providers.layout import Prompt, Segment
from ragopt.providers.native_citations import CitingBlock
from ragopt.providers.protocol import CompletionRequest
from ragopt.settings.models import ModelSettings
from ragopt.wiring.models import deployment_of
from tests.model_calls import CONTEXT, KEY, PASSAGE, call, collected, text_of

PROMPT = Prompt(
    (
        Segment("rules", "system", "Answer from the documents."),
        Segment("passages", "user", "fenced passages"),
        Segment("question", "user", "Question: How long do cats sleep?"),
    ),
    version="test-1",
)


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server


def citing(*, streaming: bool = True) -> CompletionRequest:
    """Return a call that asks for the provider's own citations."""
    capabilities = Capabilities(streaming=streaming, native_citations=True)
    return replace(call("stub-ok"), prompt=PROMPT, capabilities=capabilities)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_cited_block_ends_in_markers(stub: StubServer, *, streaming: bool) -> None:
    """Streamed or not, a block's citation stands as a marker before its full stop."""
    provider = AnthropicProvider(KEY, stub.anthropic_url)
    events = asyncio.run(collected(provider, citing(streaming=streaming)))
    assert text_of(events) == "Cats sleep sixteen hours a day [1]."


def test_passages_go_as_documents_in_their_order() -> None:
    """The passages are documents with citations on, without the fenced text; the question stays a text."""
    second = replace(PASSAGE, n=2, title="", text="Dogs sleep\u200b less.")
    context = replace(CONTEXT, passages=(PASSAGE, second))
    (message,) = messages_of(replace(citing(), context=context))
    blocks = [block for block in message["content"] if isinstance(block, dict)]
    assert [block["type"] for block in blocks] == ["document", "document", "text"]
    documents = [block for block in blocks if block["type"] == "document"]
    assert [block["source"].get("data") for block in documents] == [PASSAGE.text, "Dogs sleep less."]
    assert [block.get("title") for block in documents] == ["Cats", "cats"]
    assert all(block.get("citations") == {"enabled": True} for block in documents)


@given(cuts=st.lists(st.integers(0, 60), max_size=8))
def test_every_split_of_a_block_gives_the_same_text(cuts: list[int]) -> None:
    """Wherever the stream is cut, nothing is lost, nothing twice, and the markers stand in one place."""
    text = "Cats sleep sixteen hours a day, it says. "
    block = CitingBlock()
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    told = "".join(block.feed(text[start:end]) for start, end in zip(edges, edges[1:], strict=False))
    for index in (1, 0, 1):
        block.cite({"type": "char_location", "document_index": index})
    assert told + block.close() == "Cats sleep sixteen hours a day, it says [2][1]. "


def test_a_marker_that_the_model_wrote_is_not_written_again() -> None:
    """A block that says `[1]` and cites passage 1 keeps its own marker, and gets the other passage's."""
    block = CitingBlock()
    told = block.feed("Cats sleep [1].")
    block.cite({"document_index": 0})
    block.cite({"document_index": 2})
    assert told + block.close() == "Cats sleep [1][3]."


def test_a_block_without_citations_stays_as_it_is() -> None:
    """Also one that names no document, as a citation of a search result does."""
    block = CitingBlock()
    told = block.feed("According to the handbook: ")
    block.cite({"type": "web_search_result_location"})
    assert told + block.close() == "According to the handbook: "


def test_only_anthropic_has_citations_of_its_own() -> None:
    """The setting is refused by name for another provider."""
    model = ModelSettings(name="small", provider="openai", model="gpt-4o-mini", citations="native", base_url="http://x")
    with pytest.raises(ConfigError, match=r"models\.small\.citations"):
        deployment_of(model)
