"""A provider stub: a real server that speaks both providers' dialects and fails on demand."""

from eval.stub.__main__ import main
from eval.stub.app import SeenCall, StubOptions
from eval.stub.server import StubServer, serve_in_thread

__all__ = ["SeenCall", "StubOptions", "StubServer", "main", "serve_in_thread"]
