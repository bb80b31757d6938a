"""Names and places go where e-mail addresses go: out of documents, answers, kept answers and exports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eval.personal import measure
from indexes.records import Document
from ragopt.config import Settings
from ragopt.domain import Question
from ragopt.errors import ConfigError
from ragopt.events import Finished
from ragopt.exports.choosing import Wanted, chosen
from ragopt.exports.keeping import kept_of
from ragopt.exports.writing import to_label
from ragopt.privacy.presidio import PresidioRecogniser
from ragopt.privacy.recognisers import Finding, Kind
from ragopt.privacy.recognition import Recognisers
from ragopt.providers.layout import Prompt
from ragopt.results import Cited, Prepared
from ragopt.settings.collections import CollectionSettings, PersonalData, Unsupported
from ragopt.settings.privacy import PrivacySettings
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.inspection import Inspections
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.stages.screen.documents import DocumentScreen
from ragopt.telemetry import Trace
from ragopt.wiring.service import open_service
from tests.environment import environment
from tests.fakes import context_of, passage
from tests.ragopt.exports.kept_answers import kept
from tests.ragopt.privacy.pipelines import saved_pipeline
from tests.ragopt.stages.cache.answers import ANSWER, CONTEXT, PASSAGE

STORED = "Grace Hopper lends books in Grenoble."
PASSAGES = (passage(STORED, n=1, start=100, sentences=(STORED,)), passage("Members borrow five books.", n=2))
ANSWERED = "Grace Hopper lends books in Grenoble [1]. Ask Grace [1] Hopper or hopper@example.org [1]."
SHOWN = "[NAME] lends books in [ADDRESS] [1]. Ask [NAME] [1] [NAME] or [EMAIL] [1]."


@pytest.fixture(scope="module")
def privacy(module_dir: Path) -> PrivacySettings:
    """Return settings that name a pipeline."""
    return PrivacySettings(model=str(saved_pipeline(module_dir / "pipeline")))


@pytest.fixture(scope="module")
def recognisers(privacy: PrivacySettings) -> Iterator[Recognisers]:
    """Yield what finds names and places."""
    trained = PresidioRecogniser.load(privacy)
    yield Recognisers(trained=trained)
    trained.close()


def prepared(*, schema: str = "") -> Prepared:
    """Return a question with its passages."""
    return Prepared(Question("Who?", "acme", answer_schema=schema), context_of(*PASSAGES), Prompt((), version="t"))


def policies(policy: PersonalData = "redact", unsupported: Unsupported = "flag") -> tuple[CollectionSettings, ...]:
    """Return the policies of every collection."""
    return (CollectionSettings(personal_data=policy, unsupported=unsupported),)


def answered(text: str, recognisers: Recognisers, policy: PersonalData, *, schema: str = "") -> tuple[str, Cited]:
    """Return what is released of an answer that comes in pieces of seven characters, and the whole."""
    checking = CitationChecking(ClaimJudge.lexical(), policies(policy), recognisers=recognisers)

    async def run() -> tuple[str, Cited]:
        checker = checking(prepared(schema=schema), trace=Trace("r"))
        released = [await checker.feed(text[at : at + 7]) for at in range(0, len(text), 7)]
        rest, cited = await checker.finish()
        return "".join([*released, rest]), cited

    return asyncio.run(run())


def test_documents_are_stored_without_names(recognisers: Recognisers) -> None:
    """In their text, their title and their metadata; provenance says how many there were."""
    screen = DocumentScreen(policies(), recognisers=recognisers)
    letter = Document(
        "d", STORED, title="Of Ada Lovelace", metadata={"by": "Ada Lovelace", "at": "a@b.de", "year": 1843}
    )
    (stored,) = asyncio.run(screen("acme", "c", [letter]))
    assert (stored.text, stored.title) == ("[NAME] lends books in [ADDRESS].", "Of [NAME]")
    assert stored.metadata == {"by": "[NAME]", "at": "[EMAIL]", "year": 1843}
    assert stored.provenance["personal_data"] == "address=1 email=1 name=3"


def test_answers_are_released_without_names(recognisers: Recognisers) -> None:
    """Sentence by sentence; the markers between the words of a name stay, and what is quoted is redacted too."""
    released, cited = answered(ANSWERED, recognisers, "redact")
    assert (released, cited.text) == (SHOWN, SHOWN)
    assert cited.checks.personal_data == {"address": 1, "email": 1, "name": 3}
    first = cited.citations[0]
    assert (first.quote, first.support) == ("[NAME] lends books in [ADDRESS].", "supported")
    assert cited.text[first.answer_start : first.answer_end].startswith("[NAME] lends")


def test_a_policy_may_only_count_names(recognisers: Recognisers) -> None:
    """By `off` the pipeline reads nothing."""
    released, cited = answered(ANSWERED, recognisers, "flag")
    assert (released, cited.checks.personal_data["address"]) == (ANSWERED, 1)
    assert answered(ANSWERED, Recognisers(trained=Unused()), "off")[0] == ANSWERED


class Unused:
    """A trained model that nothing may ask."""

    kinds: frozenset[Kind] = frozenset({"name"})

    def find(self, text: str) -> list[Finding]:
        """Fail."""
        raise AssertionError(text)

    async def find_async(self, text: str) -> list[Finding]:
        """Fail."""
        raise AssertionError(text)


def test_json_is_released_without_names(recognisers: Recognisers) -> None:
    """Strings and keys are; a number is no name."""
    written = json.dumps({"who": "Ada Lovelace", "Grenoble": 100})
    released, cited = answered(written, recognisers, "redact", schema='{"type": "object"}')
    assert json.loads(released) == {"who": "[NAME]", "[ADDRESS]": 100}
    assert cited.checks.personal_data == {"address": 1, "name": 1}


def test_what_is_told_of_a_draft_goes_without_names(recognisers: Recognisers) -> None:
    """The model is told what it wrote."""
    inspect = Inspections(CitationChecking(ClaimJudge.lexical()), policies(unsupported="correct"), recognisers)
    inspection = inspect(prepared())
    assert inspection is not None
    flaw = asyncio.run(inspection.flaw("Ada Lovelace sells nine cars [1].", prepared(), trace=Trace("r")))
    assert flaw is not None
    assert "'[NAME] sells nine cars" in flaw.detail
    assert "Ada Lovelace sells nine cars" in flaw.correction


def test_answers_are_kept_and_exported_without_names(recognisers: Recognisers) -> None:
    """What was kept before the pipeline was there is left out, and comments of callers are redacted."""
    context = replace(CONTEXT, standalone_question="Who is Ada Lovelace?", passages=(replace(PASSAGE, text=STORED),))
    answer = kept_of(replace(ANSWER, context=context, text=ANSWERED), Question("q", "acme"), recognisers, at=1.0)
    assert answer.question == "Who is [NAME]?"
    assert answer.passages[0].text == "[NAME] lends books in [ADDRESS]."
    older = kept(answer="Ada Lovelace approves leave [1].")
    assert chosen([older], Wanted()).answers == (older,)
    assert chosen([older], Wanted(), recognisers).left_out == {"personal data": 1}
    assert to_label(older, "Ada Lovelace knows", recognisers)["note"].endswith("the caller: [NAME] knows")  # type: ignore[attr-defined]


def test_names_of_a_set_count_where_they_are_looked_for(recognisers: Recognisers, tmp_path: Path) -> None:
    """Else they are what is not looked for."""
    spans = [{"type": "PERSON", "start": 0, "end": 12}, {"type": "STREET_ADDRESS", "start": 28, "end": 36}]
    row = {"text": STORED, "spans": [*spans, {"type": "ORGANIZATION", "start": 13, "end": 18}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), encoding="utf-8")
    report = measure(tmp_path, limit=None, seed=0, recognisers=recognisers)
    assert (report.metrics["recall"].value, report.metrics["precision"].value) == (1.0, 1.0)
    assert (report.config["kinds"], report.config["not_looked_for"]) == ("address name", "ORGANIZATION")
    plain = measure(tmp_path, limit=None, seed=0)
    assert (plain.config["kinds"], plain.config["not_looked_for"]) == ("", "ORGANIZATION PERSON STREET_ADDRESS")


def test_a_service_redacts_names_from_the_document_to_the_answer(privacy: PrivacySettings, tmp_path: Path) -> None:
    """A document from before the policy is not quoted as it stands; a pipeline that is not there stops the start."""

    def settings(policy: PersonalData, privacy: PrivacySettings) -> Settings:
        with environment():
            return Settings(data_dir=tmp_path, collections=policies(policy), privacy=privacy, min_relevance=0)

    async def asked(policy: PersonalData, document: Document) -> tuple[str, str]:
        async with open_service(settings(policy, privacy)) as service:
            await service.library.ingest("default", "default", [document])
            stored = (await service.library.document("default", "default", document.id)).text
            question = Question("Who lends books in the library?", "default")
            *_, last = [event async for event in service.pipeline.answer(question, trace=Trace("r"))]
            assert isinstance(last, Finished)
            return stored, last.answer.text

    before, told = asyncio.run(asked("off", Document("one", STORED)))
    assert (before, "Grace Hopper" in told) == (STORED, True)
    after, told = asyncio.run(asked("redact", Document("two", f"Who else? {STORED}")))
    assert after == "Who else? [NAME] lends books in [ADDRESS]."
    assert ("[NAME]" in told, "Hopper" in told) == (True, False)
    with pytest.raises(ConfigError, match="RAGOPT_PRIVACY__MODEL"):
        asyncio.run(started(settings("redact", PrivacySettings(model="no_such_pipeline"))))


async def started(settings: Settings) -> None:
    """Start a service and stop it."""
    async with open_service(settings):
        pass
