"""The real service with a knobs file: a question to the collection is packed with the segment's budget."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.service import running
from tests.ragopt.cli.running import ragopt

KNOBS = """
[profiles.balanced]
context_tokens = 300
relevance_floor = 0.0

[profiles.balanced.segments.short]
context_tokens = 40
"""
CONFIG = """
knobs_file = "knobs.toml"

[[collections]]
name = "people"
segment = "short"
"""
TEXT = " ".join(f"Rule {at} of the harbour is kept in drawer {at} by the warden of the pier." for at in range(40))
QUESTION = "Where is rule 7 of the harbour kept?"


def test_a_question_is_packed_with_the_budget_of_its_collection_s_segment(tmp_path: Path) -> None:
    """The same text in two collections: one is packed into 40 tokens, by the service and by `ragopt ask` alone."""
    (tmp_path / "knobs.toml").write_text(KNOBS, encoding="utf-8")
    (tmp_path / "ragopt.toml").write_text(CONFIG, encoding="utf-8")
    found = {}
    with running(tmp_path / "data") as service, service.client() as client:
        for collection in ("people", "short"):
            document = {"id": "rules", "text": TEXT}
            client.post("/ingest", json={"documents": [document], "collection": collection}).raise_for_status()
            asked = {"question": QUESTION, "collection": collection}
            context = client.post("/context", json=asked).json()
            answer = client.post("/answer", json={**asked, "cache": "off"}).json()
            found[collection] = [(item["token_budget"], item["tokens"]) for item in (context, answer["context"])]
        wide = client.post("/context", json={"question": QUESTION, "collection": "people", "token_budget": 200}).json()
    assert all(budget == 40 and 0 < tokens <= 40 for budget, tokens in found["people"])
    assert all(budget == 300 and tokens > 40 for budget, tokens in found["short"])
    assert wide["tokens"] > 40
    local = ragopt("ask", QUESTION, "--collection", "people", "--data-dir", tmp_path / "data", "--json", cwd=tmp_path)
    context = json.loads(local.stdout)["context"]
    assert (context["token_budget"], context["tokens"] <= 40) == (40, True)
