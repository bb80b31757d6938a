"""Texts to vectors by a served model: the same vectors, bits and tags as `indexes.embedding`, made elsewhere.

What a server runs is found by asking it, once, for one text: how it pools, where its special tokens stand, and whether
it is the model that ships, whose vectors are known. A collection that one of the two embedded, the other one can read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import SecretStr
from threadpoolctl import threadpool_limits

from indexes.embedding_endpoint import DOCUMENTS, PING, QUESTION, EmbeddingEndpoint, Info, Tokens
from indexes.errors import EmbeddingUnavailable, ModelUnavailable
from indexes.model import SETTING, SHIPPED_SHA256, Pooling, pooled
from indexes.records import Encoded, EncodedQuestion, FloatMatrix, FloatVector, IntVector
from indexes.tokens import TokenProjection, shipped_projection

# The token vectors of two chunks are 1 MB of JSON: while it is read, for 15 ms, nothing else runs.
BATCH_TEXTS = 2
BATCHES_AT_ONCE = 8

PROBE = "The fee for late payment is 8 €; ask at the desk."
# The first numbers of the probe's vector by the model that ships. In 16 bits they are off by less than 0.001.
SHIPPED_NUMBERS = (
    *(0.040, 0.003, -0.002, 0.005, 0.028, 0.042, -0.024, 0.028, 0.073, 0.015, 0.049, -0.130),
    *(-0.018, -0.036, -0.044, -0.071, -0.012, -0.055, 0.024, 0.013, -0.005, 0.017, -0.029, 0.004),
)
SHIPPED_DIM = 384
NUMBERS_WITHIN = 0.004
# Of the server's own vector of a text to ours of the same token vectors.
SAME_COSINE = 0.99
POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "last")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What an endpoint runs. leading, trailing: the special tokens around each text; max_tokens counts them too.

    sha256: of the weights of the model that ships if it is that one, else "".
    """

    info: Info
    dim: int
    pooling: Pooling
    leading: int
    trailing: int
    sha256: str

    @property
    def tag(self) -> str:
        """Return the name of the vectors, for the model that ships the one they have here."""
        if self.sha256:
            return f"{self.sha256[:16]}/{self.pooling}"
        return f"served:{self.info.model_id}@{self.info.model_sha or 'unknown'}/{self.pooling}"

    def text_tokens(self, tokens: Tokens) -> Tokens:
        """Return the tokens of a text that have a vector: not the special ones, nor what the model cuts off."""
        most = self.info.max_input_length - self.leading - self.trailing
        return [token for token in tokens if not token.special][:most]

    def text_rows(self, vectors: FloatMatrix) -> FloatMatrix:
        """Return the vectors of those tokens, of the vectors of all: float32 [n, dim]."""
        return vectors[self.leading : len(vectors) - self.trailing]


class ServedEmbedder:
    """An embedding endpoint as an encoder. Its calls raise `EmbeddingUnavailable`."""

    engine = "served"

    def __init__(self, endpoint: EmbeddingEndpoint, model: ServedModel, *, projection: TokenProjection) -> None:
        self.tag = f"{model.tag}/{projection.name}"
        self.dim = model.dim
        self._endpoint = endpoint
        self._model = model
        self._projection = projection
        self._places = asyncio.Semaphore(BATCHES_AT_ONCE)

    @classmethod
    async def load(cls, url: str, api_key: SecretStr | None = None) -> ServedEmbedder:
        """Return the embedder of what is served at `url`; from then on numpy multiplies on one thread here.

        Raises: `ModelUnavailable` naming the setting if nothing answers there, or not as an embedding model does.
        """
        threadpool_limits(limits=1, user_api="blas")
        endpoint = EmbeddingEndpoint(url, api_key)
        try:
            model = await served_model(endpoint)
        except (EmbeddingUnavailable, ModelUnavailable) as error:
            await endpoint.close()
            raise ModelUnavailable(f"{SETTING}: {error.detail}") from error
        return cls(endpoint, model, projection=shipped_projection(model.sha256, model.dim))

    async def encode(self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None) -> list[Encoded]:
        """Return one `Encoded` per text, in order; [] for none. `on_batch` is told how many texts each batch held."""

        async def run(batch: Sequence[str]) -> list[Encoded]:
            async with self._places:
                vectors = self._checked(await self._endpoint.token_vectors(batch, DOCUMENTS))
                encoded = await asyncio.to_thread(lambda: [self._encoded(rows) for rows in vectors])
            if on_batch is not None:
                on_batch(len(batch))
            return encoded

        runs = [asyncio.ensure_future(run(texts[at : at + BATCH_TEXTS])) for at in range(0, len(texts), BATCH_TEXTS)]
        try:
            return [encoded for done in await asyncio.gather(*runs) for encoded in done]
        finally:
            # One that failed ends the others: nobody waits for them.
            for other in runs:
                other.cancel()

    async def token_starts(self, texts: Sequence[str]) -> list[IntVector]:
        """Return where in each text its token vectors begin: int64 [n_tokens], ascending code points; [] for none."""

        async def run(batch: Sequence[str]) -> list[IntVector]:
            async with self._places:
                found = await self._endpoint.tokens(batch, DOCUMENTS)
            return [
                code_points(text, [token.start or 0 for token in self._model.text_tokens(tokens)])
                for text, tokens in zip(batch, found, strict=True)
            ]

        batches = [texts[at : at + BATCH_TEXTS] for at in range(0, len(texts), BATCH_TEXTS)]
        return [starts for done in await asyncio.gather(*map(run, batches)) for starts in done]

    async def encode_question(self, text: str) -> EncodedQuestion:
        """Return a question's dense vector, its token vectors and their IDF weights."""
        (vectors,), (tokens,) = await asyncio.gather(
            self._endpoint.token_vectors([text], QUESTION), self._endpoint.tokens([text], QUESTION)
        )
        self._checked([vectors])
        rows = self._model.text_rows(vectors)
        ids = [token.id for token in self._model.text_tokens(tokens)]
        if len(ids) != len(rows):
            raise EmbeddingUnavailable(f"{self._endpoint.url}: {len(rows)} vectors for {len(ids)} tokens")
        return EncodedQuestion(
            dense=pooled(vectors, self._model.pooling),
            tokens=self._projection.project(rows),
            weights=self._projection.weights(ids),
        )

    async def ping(self) -> None:
        """Return if the endpoint answers, and still runs the model that it ran first."""
        info = await self._endpoint.info(PING)
        if info != self._model.info:
            raise EmbeddingUnavailable(
                f"{self._endpoint.url} runs {info.model_id}, and ran {self._model.info.model_id} when the service "
                "started: start the service again"
            )

    async def close(self) -> None:
        """Close pooled connections."""
        await self._endpoint.close()

    def _checked(self, vectors: list[FloatMatrix]) -> list[FloatMatrix]:
        """Return them if they are as wide as the model's. Raises: `EmbeddingUnavailable`."""
        if any(rows.shape[1] != self.dim for rows in vectors):
            raise EmbeddingUnavailable(f"{self._endpoint.url}: vectors that are not {self.dim} wide")
        return vectors

    def _encoded(self, vectors: FloatMatrix) -> Encoded:
        return Encoded(pooled(vectors, self._model.pooling), self._projection.squeeze(self._model.text_rows(vectors)))


async def served_model(endpoint: EmbeddingEndpoint) -> ServedModel:
    """Return what an endpoint runs. Raises: `EmbeddingUnavailable`, `ModelUnavailable` if it cannot be used."""
    info, whole, (vectors,), (tokens,) = await asyncio.gather(
        endpoint.info(QUESTION),
        endpoint.pooled(PROBE),
        endpoint.token_vectors([PROBE], QUESTION),
        endpoint.tokens([PROBE], QUESTION),
    )
    if len(vectors) != len(tokens):
        raise ModelUnavailable(f"{endpoint.url}: {len(vectors)} vectors for {len(tokens)} tokens")
    in_text = [at for at, token in enumerate(tokens) if not token.special]
    if not in_text or max(tokens[at].stop or 0 for at in in_text) > len(PROBE.encode()):
        raise ModelUnavailable(f"{endpoint.url}: puts a prompt before each text: start it without --default-prompt")
    return ServedModel(
        info=info,
        dim=vectors.shape[1],
        pooling=found_pooling(vectors, whole, endpoint.url),
        leading=in_text[0],
        trailing=len(tokens) - 1 - in_text[-1],
        sha256=SHIPPED_SHA256 if is_shipped(whole) else "",
    )


def found_pooling(vectors: FloatMatrix, whole: FloatVector, url: str) -> Pooling:
    """Return how `whole` was made of the token vectors. Raises: `ModelUnavailable` if in none of the ways known."""
    for pooling in POOLINGS:
        vector = pooled(vectors, pooling)
        if len(vector) == len(whole) and float(vector @ whole) > SAME_COSINE * float(np.linalg.norm(whole)):
            return pooling
    raise ModelUnavailable(f"{url}: only models that pool by {', '.join(POOLINGS)} and end there are supported")


def is_shipped(whole: FloatVector) -> bool:
    """Return whether the probe's vector is the one of the model that ships."""
    known = np.array(SHIPPED_NUMBERS)
    return len(whole) == SHIPPED_DIM and float(np.abs(whole[: len(known)] - known).max()) < NUMBERS_WITHIN


def code_points(text: str, offsets: Sequence[int]) -> IntVector:
    """Return int64 [n]: offsets in bytes of UTF-8 as offsets in code points; what lies behind the end, as the end."""
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    # Every byte that does not go on a code point begins one.
    begun = np.concatenate([[0], np.cumsum((data & 0xC0) != 0x80)])
    return np.asarray(begun[np.minimum(np.array(offsets, np.int64), len(data))], np.int64)
