"""Document metadata as keywords: every key can be filtered on at index speed, without an index of its own.

Each chunk carries one keyword for every key and value of its document's metadata, in one array
field that is indexed once. A filter asks for keywords; no key is known beforehand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from indexes.records import Scalar

# A key and the values of which a document has one; every key must match, and no value at all matches nothing.
MetadataFilter: TypeAlias = Mapping[str, tuple[Scalar, ...]]
NO_FILTER: MetadataFilter = MappingProxyType({})

# A longer keyword is replaced by its digest: it stands in every chunk of its document.
MAX_FACET_CHARS = 200


def facet(key: str, value: Scalar) -> str:
    """Return the keyword of a key and a value, printable ASCII of at most 200 characters.

    JSON types are kept apart: 1 is not "1", and neither is true. Numbers are equal as JSON has them:
    1 and 1.0 are one value. Strings are compared code point by code point, case and all.
    """
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    plain = json.dumps([key, number])
    # What is plain starts with a bracket, so a digest is never taken for it.
    return plain if len(plain) <= MAX_FACET_CHARS else f"sha256:{hashlib.sha256(plain.encode()).hexdigest()}"


def facets_of(metadata: Mapping[str, Scalar]) -> list[str]:
    """Return the keywords of a document's metadata, one a key, sorted; [] for none."""
    return sorted(facet(key, value) for key, value in metadata.items())


def wanted_facets(matching: MetadataFilter) -> list[tuple[str, ...]]:
    """Return for each key of a filter its keywords, of which a chunk must carry one; sorted, each once.

    Filters that mean the same give the same. [] for an empty filter.
    """
    return sorted({tuple(sorted({facet(key, value) for value in values})) for key, values in matching.items()})
