"""The weights of a detector and the file that holds them: a head for each place a text may stand in."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ragopt.errors import ConfigError
from ragopt.screening.heads import Head, Meaning
from ragopt.screening.signs import Signs

PlaceT = TypeVar("PlaceT", bound=str)
Arrays: TypeAlias = Mapping[str, NDArray[np.generic]]


# Without slots: in Python 3.11 a generic class with them cannot be called by an alias with its parameter.
@dataclass(frozen=True)
class Weights(Generic[PlaceT]):
    """A head for each place. embedder: how the tag of the embedding model begins whose vectors `meaning` reads.

    tag: 8 hex digits that change with the file. trained_on: the digests of the sets by name.
    """

    heads: Mapping[PlaceT, Head]
    embedder: str
    tag: str
    trained_on: Mapping[str, str]


def released_bytes(path: Path, sha256: str) -> bytes:
    """Return a file that ships. Raises: `ConfigError` if it is not the one that was released."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ConfigError(f"{path}: not the file that ships with this version; install it again")
    return data


def arrays_in(data: bytes) -> Arrays:
    """Return the arrays of a file by name. Raises: `ConfigError` if it is none of weights."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError) as error:
        raise ConfigError(f"not the weights of a detector: {error}") from error


def weights_in(data: bytes, places: Sequence[PlaceT]) -> Weights[PlaceT]:
    """Return the weights that `arrays_of` made arrays of. Raises: `ConfigError` if these are none."""
    arrays = arrays_in(data)
    try:
        names, digests = arrays["set_names"].tolist(), arrays["set_digests"].tolist()
        heads = {place: head_in(arrays, place) for place in places}
        embedder = str(arrays["embedder"])
    except KeyError as error:
        raise ConfigError(f"not the weights of this detector: {error}") from error
    return Weights(heads, embedder, hashlib.sha256(data).hexdigest()[:8], dict(zip(names, digests, strict=True)))


def head_in(arrays: Arrays, place: str) -> Head:
    """Return the head of a place. Raises: `KeyError` where there is none."""
    scale, bias, threshold, alone, gate = (float(value) for value in arrays[f"{place}_numbers"])
    return Head(
        Signs(np.asarray(arrays[f"{place}_signs"], np.int8), scale, bias),
        Meaning(np.asarray(arrays[f"{place}_hidden"], np.float32), np.asarray(arrays[f"{place}_output"], np.float32)),
        threshold=threshold,
        alone=alone,
        gate=gate,
    )


def arrays_of(
    heads: Mapping[PlaceT, Head], *, embedder: str, trained_on: Mapping[str, str]
) -> dict[str, NDArray[np.generic]]:
    """Return the heads as arrays by name, their hidden layers in 16 bits."""
    arrays: dict[str, NDArray[np.generic]] = {
        "embedder": np.array(embedder),
        "set_names": np.array(list(trained_on), dtype=np.str_),
        "set_digests": np.array(list(trained_on.values()), dtype=np.str_),
    }
    for place, head in heads.items():
        numbers = [head.signs.scale, head.signs.bias, head.threshold, head.alone, head.gate]
        arrays[f"{place}_numbers"] = np.array(numbers, np.float64)
        arrays[f"{place}_signs"] = head.signs.weights
        arrays[f"{place}_hidden"] = head.meaning.hidden.astype(np.float16)
        arrays[f"{place}_output"] = head.meaning.output
    return arrays


def to_bytes(arrays: Arrays) -> bytes:
    """Return arrays as one file."""
    written = io.BytesIO()
    np.savez_compressed(written, **arrays)  # type: ignore[arg-type]
    return written.getvalue()
