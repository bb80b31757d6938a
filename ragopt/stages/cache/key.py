"""What an answer is kept under: everything that decides it. What is not listed as harmless decides."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Collection, Hashable
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from uuid import UUID

from indexes.facets import wanted_facets
from ragopt.domain import Question

# Fields of a question that say who asks, how, and when, but not what the answer is. Any other field, one that is new
# included, divides the cache.
HARMLESS = frozenset(
    {
        *("key_id", "acting_for", "answer_id", "trusted_labels"),
        *("cache", "cache_similar", "cache_max_wrong", "streamed"),
        # The standalone question stands for the text; what was said with a history is never kept.
        *("text", "history", "summary"),
    }
)
# Fields that are in the key, in a form of their own.
APART = frozenset({"tenant", "collection", "filter", "labels"})
# A full-width or half-width form is the same character to whoever reads it. Other compatibility forms are not: x² is
# not x2.
WIDTH_FORMS = ("<wide>", "<narrow>")
# Partitions that are remembered, and the longest text that one of them may be made from.
REMEMBERED, REMEMBERED_CHARS = 1_024, 4_000


@dataclass(frozen=True, slots=True)
class EntryKey:
    """Whose question it is, the digest of all that decides its answer besides the words, and the words normalised."""

    tenant: str
    collection: str
    partition: str
    question: str

    @property
    def id(self) -> str:
        """Return the UUID of the entry, from SHA-256; readers compare the key itself all the same."""
        canonical = json.dumps([self.tenant, self.collection, self.partition, self.question])
        return str(UUID(bytes=hashlib.sha256(canonical.encode()).digest()[:16]))


@dataclass(frozen=True, slots=True)
class Keys:
    """Questions to keys. scope: what no question names, such as prompt version and models. labels: those that decide.

    A label decides where a routing rule asks for it: others attribute costs and nothing else. known: partitions by
    what they were made from; most questions of a collection share one, and each is asked for several times.
    """

    scope: str
    labels: Collection[str] = ()
    known: dict[Hashable, str] = field(default_factory=dict, repr=False, compare=False)

    def of(self, question: Question, standalone: str) -> EntryKey:
        """Return the key of an answer to the question in these words."""
        return EntryKey(question.tenant, question.collection, self._partition(question), normalised(standalone))

    def _partition(self, question: Question) -> str:
        # mypy takes the `__hash__` of the class for that of its instances.
        names = deciding_fields(type(question))  # type: ignore[arg-type]
        values = tuple(getattr(question, name) for name in names)
        facets = wanted_facets(question.filter)
        labels = {name: question.labels[name] for name in sorted(self.labels) if name in question.labels}
        made_from = (values, tuple(facets), tuple(labels.items()))
        if found := self.known.get(made_from):
            return found
        deciding = {name: plain(value) for name, value in zip(names, values, strict=True)}
        canonical = json.dumps(deciding | {"filter": facets, "labels": labels, "scope": self.scope}, sort_keys=True)
        partition = hashlib.sha256(canonical.encode()).hexdigest()
        if len(canonical) <= REMEMBERED_CHARS:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            self.known[made_from] = partition
        return partition


@cache
def deciding_fields(kind: type[Question]) -> tuple[str, ...]:
    """Return the fields of a question that decide its answer as they are, sorted."""
    return tuple(sorted({item.name for item in fields(kind)} - HARMLESS - APART))


def plain(value: object) -> object:
    """Return a field's value as JSON can hold it. Raises: `TypeError` for what has no such form, in `json.dumps`."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def normalised(text: str) -> str:
    """Return the text in lower case and NFC, of usual width, each run of white space one space, none at the ends.

    Not case folded and not NFKC: both make one of what reads differently, such as Maße and Masse, 10² and 102.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    usual = "".join(
        unicodedata.normalize("NFKC", char) if unicodedata.decomposition(char).startswith(WIDTH_FORMS) else char
        for char in text
    )
    return " ".join(unicodedata.normalize("NFC", usual.lower()).split())
