"""A cross-encoder behind HTTP: text-embeddings-inference's `/rerank`, or what speaks it.

Source: text-embeddings-inference's OpenAPI page, `POST /rerank`, `RerankRequest` and `RerankResponse`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from indexes.endpoint import checked_address, client_of, described, reason
from ragopt.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from ragopt.stages.rerank.choice import SETTING

# Source: text-embeddings-inference, default of `--max-client-batch-size`; it refuses more with 422.
BATCH_PAIRS = 32
# A question's deadline is shorter: this one ends what nobody waits for any more.
TIMEOUT_S = 5.0
TRY_AGAIN_STATUSES = frozenset({408, 425, 429})


class Rank(BaseModel):
    """The score of one text."""

    model_config = ConfigDict(strict=True)
    index: int
    score: Annotated[float, Field(allow_inf_nan=False)]


Ranks: TypeAlias = list[Rank]
RANKS: TypeAdapter[Ranks] = TypeAdapter(Ranks)


class ServedCrossEncoder:
    """A rerank endpoint. `tag` is its address; `url` may end in `/rerank` or leave that out."""

    batch_pairs = BATCH_PAIRS

    def __init__(self, url: str, api_key: SecretStr | None = None) -> None:
        """Raise `ModelUnavailable` if `url` has no host, or holds a password."""
        address = checked_address(url, setting=SETTING)
        path = address.path.rstrip("/")
        self.tag = str(address if path.endswith("/rerank") else address.copy_with(path=f"{path}/rerank"))
        self._client = client_of(address, api_key, timeout_s=TIMEOUT_S)

    async def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """Return the endpoint's score of each text, in order. Raises: `ProviderError` subclasses only."""
        # Escaped by hand: httpx cannot send a lone surrogate.
        body = json.dumps({"query": question, "texts": list(texts), "truncate": True}).encode()
        try:
            response = await self._client.post(self.tag, content=body)
        except httpx.HTTPError as error:
            raise translated(error, self.tag) from error
        if response.status_code != httpx.codes.OK:
            raise refusal(response, self.tag)
        try:
            return in_order(RANKS.validate_json(response.content), count=len(texts))
        except ValueError as error:
            raise ProviderProtocolError(f"{self.tag}: no answer of a rerank endpoint: {reason(error)}") from error

    async def close(self) -> None:
        """Close pooled connections."""
        await self._client.aclose()


def in_order(ranks: Ranks, *, count: int) -> list[float]:
    """Return the scores in the order of the texts. Raises: `ValueError` unless each text has exactly one."""
    if sorted(rank.index for rank in ranks) != list(range(count)):
        raise ValueError(f"{len(ranks)} scores for {count} texts")
    return [rank.score for rank in sorted(ranks, key=lambda rank: rank.index)]


def translated(error: httpx.HTTPError, address: str) -> ProviderError:
    """Return our error for one of httpx."""
    kind = ProviderUnavailable if isinstance(error, httpx.TransportError) else ProviderProtocolError
    return kind(f"{address}: {described(error)}")


def refusal(response: httpx.Response, address: str) -> ProviderError:
    """Return our error for an answer that is not 200."""
    status = response.status_code
    sentence = f"{address}: HTTP {status}"
    if status >= 500 or status in TRY_AGAIN_STATUSES:
        return ProviderUnavailable(sentence)
    if status >= 400:
        return ProviderRejected(sentence)
    return ProviderProtocolError(sentence)
