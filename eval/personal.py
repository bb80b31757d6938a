"""`python -m eval pii`: how much of the personal data of a set is found, and how much of what is found is any.

Rows are {id, text, spans: [{type, start, end}]} in any JSON lines file of the folder. Kinds with a form of their own
count for `recall` and `precision`; names and addresses have none: they count where a trained model looks for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from eval.datasets import JsonValue, Row, rows_of
from eval.errors import DatasetError
from eval.intervals import bootstrap
from eval.report import Metrics, Report, Segment
from ragopt.privacy.recognisers import BY_FORM, Finding, Kind
from ragopt.privacy.recognition import OWN, Recognisers

# What sets call a kind, letters only: the first pattern that is found in the name decides.
KIND_OF_TYPE: Mapping[str, Kind] = MappingProxyType(
    {
        r"CREDITCARD(?!.*(?:CVV|ISSUER|EXPIR))|CARDNUMBER|^CARD$": "card",
        r"IBAN": "iban",
        r"EMAIL": "email",
        r"PHONE|FAX|^TEL": "phone",
        r"^IP|IPADDRESS|IPV": "ip",
        r"SSN|ITIN|NATIONALID|NHS|NIF|NINO|AADHAA?R|^SIN$|SOCIALSECURITY": "national_id",
        r"DRIVERS?LICEN|PASSPORT|DRIVINGLICEN": "document_id",
        r"BANKNUMBER|BANKACCOUNT|ACCOUNTNUMBER": "bank_account",
        r"CRYPTO|BITCOIN|ETHEREUM|WALLET": "wallet",
        r"DOMAIN|^URL": "url",
        r"DATEOFBIRTH|^DOB$|BIRTHDATE": "birth_date",
        r"APIKEY|SECRET|TOKEN|PASSWORD": "secret",
        r"PERSON|(?:FIRST|MIDDLE|LAST|SUR|GIVEN|FULL)NAME|^NAME$": "name",
        r"(?<!MAC)ADDRESS|STREET|LOCATION|^LOC$|^GPE$|CITY|COUNTRY|ZIPCODE|POSTCODE": "address",
    }
)
# A type that holds what we call a kind only now and then: finding it is right, not finding it is no miss.
ALSO_RIGHT: Mapping[str, frozenset[Kind]] = MappingProxyType({"DATETIME": frozenset({"birth_date"})})
MEASURED: frozenset[Kind] = BY_FORM | {"url"}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text with what is marked in it: type, start, end."""

    text: str
    spans: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """Per kind, for each marked span whether it was found, for each finding whether it is marked."""

    found: Mapping[Kind, list[float]]
    right: Mapping[Kind, list[float]]

    def metrics(self, kinds: Sequence[Kind], *, seed: int) -> Metrics:
        """Return recall and precision over the kinds; each is left out where it has no cases."""
        recall = [value for kind in kinds for value in self.found.get(kind, ())]
        precision = [value for kind in kinds for value in self.right.get(kind, ())]
        named = {"recall": recall, "precision": precision}
        return {name: bootstrap(values, seed=seed) for name, values in named.items() if values}


def measure(folder: Path, *, limit: int | None, seed: int, recognisers: Recognisers = OWN) -> Report:
    """Return the report of one set; web addresses count too. Raises: `DatasetError`."""
    rows = list(labelled(folder))[:limit]
    everything = replace(recognisers, by_form=MEASURED)
    counted = tally(rows, everything)
    kinds = sorted(set(counted.found) | set(counted.right))
    apart = sorted({kind for row in rows for kind, _, _ in row.spans if kind_of(kind, everything.kinds) is None})
    return Report(
        job="pii",
        set=folder.resolve().name,
        n=len(rows),
        seed=seed,
        config={"kinds": " ".join(kinds), "overlap": "any character, same kind", "not_looked_for": " ".join(apart)},
        metrics=counted.metrics(kinds, seed=seed),
        segments={
            kind: Segment(len(counted.found.get(kind, ())), counted.metrics([kind], seed=seed)) for kind in kinds
        },
    )


def labelled(folder: Path) -> Iterator[Labelled]:
    """Yield the rows of every JSON lines file of a folder. Raises: `DatasetError` if there is none or one is wrong."""
    files = sorted(path for path in folder.glob("*.jsonl*") if path.name.endswith((".jsonl", ".jsonl.gz")))
    if not files:
        raise DatasetError(f"{folder}: no .jsonl or .jsonl.gz with texts and spans")
    for path in files:
        for row in rows_of(path):
            spans = row.fields.get("spans")
            if not isinstance(spans, list):
                raise DatasetError(f"{row.place}: `spans` must be a list")
            yield Labelled(row.text("text"), tuple(read_span(row.place, span) for span in spans))


def read_span(place: str, span: JsonValue) -> tuple[str, int, int]:
    """Return type, start and end of a marked span. Raises: `DatasetError`."""
    if not isinstance(span, dict):
        raise DatasetError(f"{place}: a span must be an object")
    row = Row(place, span)
    return row.text("type"), row.whole("start"), row.whole("end")


def kind_of(marked: str, kinds: frozenset[Kind] = MEASURED) -> Kind | None:
    """Return our kind for a set's type, None if it is not among those that are looked for."""
    letters = re.sub(r"[^A-Z0-9]", "", marked.upper())
    kind = next((kind for pattern, kind in KIND_OF_TYPE.items() if re.search(pattern, letters)), None)
    return kind if kind in kinds else None


def tally(rows: Sequence[Labelled], recognisers: Recognisers) -> Tally:
    """Return what was found of the marked spans, and what of the findings is marked."""
    found: dict[Kind, list[float]] = {}
    right: dict[Kind, list[float]] = {}
    for row in rows:
        ours = recognisers.find(row.text)
        for marked, start, end in row.spans:
            kind = kind_of(marked, recognisers.kinds)
            if kind is not None:
                hit = any(item.kind == kind and item.start < end and start < item.end for item in ours)
                found.setdefault(kind, []).append(float(hit))
        for item in ours:
            right.setdefault(item.kind, []).append(float(is_marked(item, row, recognisers.kinds)))
    return Tally(found, right)


def is_marked(item: Finding, row: Labelled, kinds: frozenset[Kind]) -> bool:
    """Return whether the set marks what was found as the same kind."""
    touching = [marked for marked, start, end in row.spans if item.start < end and start < item.end]
    return any(
        kind_of(marked, kinds) == item.kind or item.kind in ALSO_RIGHT.get(marked.replace("_", ""), ())
        for marked in touching
    )
