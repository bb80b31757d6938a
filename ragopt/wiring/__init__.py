"""The composition root: the only package that names concrete classes."""

from ragopt.wiring.engines import redis_address
from ragopt.wiring.service import STATE_TIMEOUT_S, Service, open_library, open_service

__all__ = ["STATE_TIMEOUT_S", "Service", "open_library", "open_service", "redis_address"]
