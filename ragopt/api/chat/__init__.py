"""The OpenAI wire format over the same pipeline: `/v1/chat/completions` and `/v1/models`."""

from ragopt.api.chat.routes import router

__all__ = ["router"]
