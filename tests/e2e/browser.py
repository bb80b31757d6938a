"""A headless Chromium, driven over its debugging pipe with the standard library alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
TIMEOUT_S = 30.0
# The keys that write nothing, and Enter, which also presses what has the focus: Windows' code, and the text.
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), "ArrowDown": (40, "")}
SHIFT = 8
FOCUSED = "document.activeElement.outerHTML.slice(0, 120)"


@dataclass
class Page:
    """One tab. Source: the Chrome DevTools Protocol, whose messages end with a NUL byte on a pipe."""

    reads: BinaryIO
    writes: BinaryIO
    session: str = ""
    last_id: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of one command."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.writes.write(json.dumps(message).encode() + b"\0")
        self.writes.flush()
        while True:
            answer = json.loads(read_message(self.reads))
            if answer.get("id") == self.last_id:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Return once a JavaScript expression is true."""
        ends = time.monotonic() + TIMEOUT_S
        while not self.evaluate(script):
            assert time.monotonic() < ends, (
                f"never true: {script}; the page shows: {self.evaluate('document.body.innerText')}"
            )
            time.sleep(0.05)

    def press(self, key: str, *, modifiers: int = 0) -> None:
        """Press and release a key of `KEYS`, or one that writes this character."""
        code, text = KEYS.get(key, (0, key))
        named = {"key": key, "code": key if key in KEYS else "", "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def press_until(self, script: str, key: str, *, modifiers: int = 0, most: int = 40) -> None:
        """Press a key as often as it takes for a JavaScript expression to be true."""
        for _ in range(most):
            if self.evaluate(script):
                return
            self.press(key, modifiers=modifiers)
        raise AssertionError(f"{key} does not lead to {script}, but to {self.evaluate(FOCUSED)}")

    def open(self, url: str) -> None:
        """Load a page."""
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")


def read_message(pipe: BinaryIO) -> bytes:
    """Return the bytes up to the next NUL."""
    message = bytearray()
    while (byte := pipe.read(1)) != b"\0":
        assert byte, "the browser ended"
        message += byte
    return bytes(message)


@contextmanager
def browser_page(profile: Path) -> Iterator[Page]:
    """Yield a tab of a fresh browser."""
    browser_reads, we_write = os.pipe()
    we_read, browser_writes = os.pipe()
    flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-pipe"
    command = f'exec "$0" {flags} "--user-data-dir=$1" about:blank 3<&{browser_reads} 4>&{browser_writes}'
    process = subprocess.Popen(
        ["bash", "-c", command, str(CHROMIUM), str(profile)],
        pass_fds=(browser_reads, browser_writes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(browser_reads)
    os.close(browser_writes)
    try:
        with os.fdopen(we_read, "rb") as reads, os.fdopen(we_write, "wb") as writes:
            page = Page(reads, writes)
            target = page.call("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            page.call("Page.enable")
            yield page
    finally:
        process.terminate()
        process.wait(20)
