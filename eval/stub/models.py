"""The context window of each model the stub is asked for."""

from __future__ import annotations

# By the longest name that fits. Source: genai-prices 0.2.3, `context_window`.
CONTEXT_TOKENS = {
    "gpt-4o": 128_000,
    "gpt-4.1": 1_000_000,
    "gpt-5": 400_000,
    "gpt-5.6": 1_050_000,
    "gpt-6": 1_050_000,
    "claude-3": 200_000,
    "claude-haiku-4-5": 200_000,
    "claude-sonnet-4-5": 200_000,
    "claude-opus-4-5": 200_000,
    "claude-": 1_000_000,
}
OTHERS = 128_000


def context_tokens(model: str) -> int:
    """Return how many tokens prompt and answer may have together; 128,000 for a name the stub does not know."""
    found = [name for name in CONTEXT_TOKENS if model.startswith(name)]
    return CONTEXT_TOKENS[max(found, key=len)] if found else OTHERS
