"""Whether and from where documents are fetched by URL: the `[url_ingest]` table of ragopt.toml."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pydantic import BaseModel, ConfigDict, Field, field_validator

MEBIBYTE = 1024 * 1024


class UrlIngestSettings(BaseModel):
    """The `[url_ingest]` table of ragopt.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    enabled: bool = Field(default=False, description="whether a document may be a `url` that the service fetches")
    hosts: tuple[str, ...] = Field(
        default=(), description="the only hosts, as `docs.example.org` or `*.example.org`; none named: every public one"
    )
    ports: tuple[int, ...] = Field(default=(80, 443), description="the ports that a URL may name")
    networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="networks of your own that may be fetched from, beside the public Internet"
    )
    redirects: int = Field(default=3, ge=0, le=10, description="most redirects that are followed")
    timeout_s: float = Field(default=20, gt=0, le=120, description="seconds for one document, redirects and all")
    max_bytes: int = Field(default=20 * MEBIBYTE, ge=1, description="bytes of one document, unpacked")
    per_request: int = Field(default=100, ge=1, le=10_000, description="most URLs in one request")
    at_once: int = Field(default=4, ge=1, le=64, description="documents fetched at once, by all requests together")

    @field_validator("hosts")
    @classmethod
    def lower(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        """Return the hosts in lower case. Raises: `ValueError` for one that names no host."""
        for host in hosts:
            name = host.removeprefix("*.")
            if not name or "*" in name or "/" in name or ":" in name:
                raise ValueError(f"{host!r} is no host: write docs.example.org or *.example.org")
        return tuple(host.lower().rstrip(".") for host in hosts)

    def may_ask(self, host: str) -> bool:
        """Return whether the operator lets this host be asked; whatever its address is."""
        return not self.hosts or any(
            host == known or (known.startswith("*.") and host.endswith(known[1:])) for known in self.hosts
        )
