"""`python -m eval stub`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing, suppress

from eval.stub.faults import FAULTS, HEADER
from eval.stub.server import listening_socket, serve
from eval.stub.state import StubOptions

EXAMPLE = """example:
  python -m eval stub --port 9000 --fault 429
"""
HELLO = """Provider stub at {url}  (fault: {fault}; Ctrl-C ends it)

Point ragopt at it in ragopt.toml:
  [[models]]
  name = "stub"
  provider = "openai"        # or "anthropic"
  model = "stub-ok"          # stub-429, stub-hang, … or any-name/fault=cut
  base_url = "{url}/v1"

What it was asked: GET {url}/_stub/requests. What comes next: POST {url}/_stub/plan ["429", "ok"]
"""
# Fields of `StubOptions` that are arguments; their defaults are said there.
OPTIONS = (
    "fault",
    "answer",
    "delay_ms",
    "slow_ms",
    "tokens_per_s",
    "context_tokens",
    "requests_per_minute",
    "tokens_per_minute",
    "batch_s",
)


def main(argv: Sequence[str]) -> int:
    """Serve until interrupted and return the exit code, 1 if the address is taken; `argv` is what follows `stub`."""
    arguments = parser().parse_args(argv)
    try:
        listening = listening_socket(arguments.host, arguments.port)
    except OSError as error:
        print(f"stub: cannot listen on {arguments.host}:{arguments.port}: {error.strerror}", file=sys.stderr)
        return 1
    given = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) is not None}
    options = StubOptions(**given)
    with closing(listening), suppress(KeyboardInterrupt):
        url = f"http://{arguments.host}:{listening.getsockname()[1]}"
        print(HELLO.format(url=url, fault=arguments.fault), flush=True)
        serve(options, listening)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    faults = "\n".join(f"  {name:18} {meaning}" for name, meaning in FAULTS.items())
    described = argparse.ArgumentParser(
        prog="python -m eval stub",
        description="A server that speaks OpenAI's and Anthropic's dialects and fails on demand.",
        epilog=f"faults, also by model name (stub-429, x/fault=429) or header {HEADER}:\n{faults}\n\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    described.add_argument("--host", default="127.0.0.1")
    described.add_argument("--port", type=int, default=9000, help="0: any free port")
    described.add_argument(
        "--fault", choices=list(FAULTS), default="ok", metavar="FAULT", help="for every request that names none"
    )
    described.add_argument("--delay-ms", type=float, default=0, help="wait before each answer")
    described.add_argument("--slow-ms", type=float, help="wait before an answer with the fault `slow`")
    described.add_argument("--tokens-per-s", type=float, help="speed of an answer; without it, all at once")
    described.add_argument("--context-tokens", type=int, help="context window of every model")
    described.add_argument("--requests-per-minute", type=int, help="limit of each key and model")
    described.add_argument("--tokens-per-minute", type=int, help="limit of each key and model")
    described.add_argument("--batch-s", type=float, help="how long a batch takes")
    described.add_argument("--answer", help="answer this instead of the first passage's first sentence")
    return described


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
