"""The command line. Each command is a file; it is imported only when it runs."""

from ragopt.cli.entry import main

__all__ = ["main"]
