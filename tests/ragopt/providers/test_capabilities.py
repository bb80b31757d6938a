"""What models take, by their names."""

from __future__ import annotations

import pytest

from ragopt.providers.capabilities import EFFORTS, Capabilities, capabilities_of


@pytest.mark.parametrize(
    ("model", "caching", "limit", "reasons"),
    [
        ("gpt-4o-mini", "automatic", "max_completion_tokens", False),
        ("gpt-4.1", "automatic", "max_completion_tokens", False),
        ("gpt-5", "automatic", "max_completion_tokens", True),
        ("gpt-5.5", "automatic", "max_completion_tokens", True),
        ("gpt-5.6-luna", "breakpoints", "max_completion_tokens", True),
        ("gpt-5.10", "breakpoints", "max_completion_tokens", True),
        ("gpt-6-luna", "breakpoints", "max_completion_tokens", True),
        ("openai/gpt-6.1-sol", "breakpoints", "max_completion_tokens", True),
        ("ft:gpt-4o:acme", "automatic", "max_completion_tokens", False),
        ("o3", "automatic", "max_completion_tokens", True),
    ],
)
def test_models_of_openai(model: str, caching: str, limit: str, *, reasons: bool) -> None:
    """Generations differ in how they cache, what they call the output limit, and whether they reason."""
    takes = capabilities_of("openai", model)
    assert (takes.prompt_caching, takes.output_limit, takes.batch) == (caching, limit, True)
    assert takes.efforts == (EFFORTS if reasons else ())


@pytest.mark.parametrize("model", ["qwen2.5-7b-instruct", "gpt-oss-120b", "olmo-2", "deepseek-v4-flash", "stub-ok"])
def test_models_of_other_servers_get_the_plain_call(model: str) -> None:
    """Only what every server of the dialect understands, and no claim about caches or reasoning."""
    assert capabilities_of("openai", model) == Capabilities()


@pytest.mark.parametrize(
    ("model", "tokens", "efforts"),
    [
        ("claude-fable-5-2", 512, 5),
        ("claude-opus-5-5", 512, 5),
        ("claude-sonnet-5-5", 512, 5),
        ("claude-sonnet-5", 1024, 5),
        ("claude-opus-4-7", 2048, 5),
        ("claude-sonnet-4-6", 1024, 4),
        ("claude-opus-4-5-20251101", 4096, 3),
        ("claude-haiku-4-5", 4096, 0),
        ("claude-sonnet-4-5", 1024, 0),
        ("claude-sonnet-4-20250514", 4096, 0),
        ("claude-haiku-5-5", 4096, 5),
    ],
)
def test_models_of_anthropic(model: str, tokens: int, efforts: int) -> None:
    """Each has its shortest cacheable prefix and its efforts; an unknown minimum is the largest."""
    takes = capabilities_of("anthropic", model)
    assert (takes.prompt_caching, takes.min_cache_tokens) == ("cache_control", tokens)
    assert takes.efforts is not None
    assert len(takes.efforts) == efforts


def test_unknown_model_behind_the_messages_api_may_reason() -> None:
    """Whether it does is not known, so an effort is passed on."""
    assert capabilities_of("anthropic", "stub-ok").efforts is None
