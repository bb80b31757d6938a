"""The composition root: the only package that names concrete classes."""

from ragopt.wiring.engines import INDEX_FOLDER, QDRANT_TIMEOUT_S, REDIS_FOLDER, redis_address
from ragopt.wiring.service import STATE_TIMEOUT_S, Service, open_embedder, open_library, open_service

__all__ = [
    "INDEX_FOLDER",
    "QDRANT_TIMEOUT_S",
    "REDIS_FOLDER",
    "STATE_TIMEOUT_S",
    "Service",
    "open_embedder",
    "open_library",
    "open_service",
    "redis_address",
]
