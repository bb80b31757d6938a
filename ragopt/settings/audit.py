"""What is written down for auditors: the `[audit]` table of ragopt.toml."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

MEBIBYTE = 1024 * 1024
AUDIT_FILE = "audit.jsonl"


class AuditSettings(BaseModel):
    """The `[audit]` table of ragopt.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    enabled: bool = Field(default=False, description="whether an audit log is written")
    path: Path | None = Field(default=None, description="the log; unset: `audit.jsonl` in the data dir")
    text: bool = Field(default=False, description="whether questions and answers are in it, word for word")
    max_file_bytes: int = Field(
        default=64 * MEBIBYTE, ge=1_024, description="a file of this size is put aside, and the chain goes on in a new"
    )
    max_waiting: int = Field(
        default=10_000, ge=1, description="lines that may wait for the disk; beyond: lost, counted, and said so"
    )

    def file_in(self, data_dir: Path) -> Path:
        """Return the path of the log of a service with this data dir."""
        return self.path or data_dir / AUDIT_FILE
