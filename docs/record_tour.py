"""Record docs/tour.md: every command of the tour is run beside a real service: `python -m docs.record_tour`."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.desk import SHOWN_ADDRESS, Desk, install
from tests.e2e.service import running

TARGET = Path(__file__).parent / "tour.md"
INTRODUCTION = """\
# A tour in the terminal

What follows was recorded: `python -m docs.record_tour` runs every command beside a real service and writes down what it
prints. No language model is configured, so the answers are sentences of the documents. `ragopt` is on the PATH here,
`$KEY` holds the service's key (`.ragopt/dev-key` after `make run`), and a service runs in another terminal.
"""
MOST_LINES = 22


@dataclass(frozen=True)
class Step:
    """What a person does, why, and what it prints. most: lines of the output that are shown."""

    says: str
    does: str
    most: int = MOST_LINES


STEPS = (
    Step(
        "Two documents of a handbook:",
        """\
mkdir -p manual
cat > manual/leave.md <<'END'
# Leave

Full-time staff have 30 days of leave a year. Unused days lapse at the end of March.
Managers approve leave within three working days.
END
cat > manual/expenses.md <<'END'
# Expenses

Receipts are due within four weeks. The team lead approves them.
END
ragopt ingest manual --collection tour""",
    ),
    Step("An answer, with the words that carry it:", 'ragopt ask "When do unused days lapse?" --collection tour'),
    Step(
        "A document changes. Only what changed is embedded again, and no reader ever sees half of it:",
        """\
sed -i 's/end of March/end of June/' manual/leave.md
ragopt ingest manual --collection tour
ragopt ask "When do unused days lapse?" --collection tour""",
    ),
    Step("What the documents do not say is not answered:", 'ragopt ask "Who won the world cup?" --collection tour'),
    Step(
        "The same over HTTP, here only what a model would be sent. Passages never take more than the token budget:",
        """\
curl -s http://127.0.0.1:8080/context -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
  -d '{"question": "Who approves receipts?", "collection": "tour", "token_budget": 40}' | python -m json.tool""",
        most=18,
    ),
    Step(
        "A key for a website, which may ask and nothing else. It is shown once:",
        "ragopt keys create --tenant default --name website --scopes query",
    ),
    Step("How the service stands today, see [Targets](targets.md):", "python -m eval report --since 1d", most=6),
    Step("What would save more; there is little to go by yet:", "ragopt plan", most=6),
)


def main() -> None:
    """Run every step and write the page."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        install(folder)
        (folder / "manual").mkdir()
        (folder / "manual" / "hello.txt").write_text("Hello.", encoding="utf-8")
        with running(folder / ".ragopt", "--dev", "--sample", str(folder / "manual")) as service:
            (folder / "manual" / "hello.txt").unlink()
            parts = [recorded(Desk(folder, service), step) for step in STEPS]
    TARGET.write_text("\n".join([INTRODUCTION, *parts]), encoding="utf-8")


def recorded(desk: Desk, step: Step) -> str:
    """Return a step as the page shows it. Raises: `RuntimeError` if it fails."""
    ended = desk.paste(step.does, {})
    if ended.returncode:
        raise RuntimeError(f"{step.does}\n{ended.stderr}")
    own_address = desk.service.url.partition("://")[2]
    said = re.sub(r"\b(rag_\w+?_)[\w-]+", r"\1…", ended.stdout).replace(own_address, SHOWN_ADDRESS).rstrip()
    lines = [line if len(line) <= 150 else f"{line[:149]}…" for line in said.split("\n")]
    shown = lines if len(lines) <= step.most else [*lines[: step.most], "…"]
    return f"{step.says}\n\n```sh\n{step.does}\n```\n\n```text\n" + "\n".join(shown) + "\n```\n"


if __name__ == "__main__":
    main()
