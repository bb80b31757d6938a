"""A provider stub: a real server that speaks both providers' dialects and fails on demand."""

from eval.stub.__main__ import main
from eval.stub.server import StubServer, serve_in_thread
from eval.stub.state import BatchLimits, SeenCall, Step, StubOptions

__all__ = ["BatchLimits", "SeenCall", "Step", "StubOptions", "StubServer", "main", "serve_in_thread"]
