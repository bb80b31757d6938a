"""Everything the evaluation raises on purpose.

EvaluationError
├── DatasetError        a data folder is not in the format; names file and line
├── BenchError          a measurement could not be made: the service did not start, or answered with an error
│   └── MissingExtra    what it is compared with is not installed; names the extra
├── ConfigurationError  a setting named on the command line is not there, or its value is wrong
└── SavedError          a file of saved results cannot be read, or no longer fits what it is compared with
"""

from __future__ import annotations

from indexes.errors import IndexingError
from ragopt.errors import RagoptError


class EvaluationError(Exception):
    """Base of every error of this package; its message is one line for a person."""


class DatasetError(EvaluationError):
    """A data folder, file or row is not what the format says."""


class BenchError(EvaluationError):
    """A measurement could not be made."""


class ConfigurationError(EvaluationError):
    """A setting that was named for a measurement is not there, or its value is wrong."""


class SavedError(EvaluationError):
    """A file of saved results cannot be read, or what it was measured on has changed."""


class MissingExtra(BenchError):
    """A package of an extra is not installed."""


def told(error: Exception) -> str:
    """Return what a failed question came to: the sentence of an error raised on purpose, the class as well of another.

    Raises: the error itself if it is an `AssertionError`, which speaks of the code that measures.
    """
    if isinstance(error, AssertionError):
        raise error
    if isinstance(error, RagoptError | IndexingError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")
