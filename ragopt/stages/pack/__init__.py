"""Ranked hits to numbered passages within a token budget."""

from ragopt.stages.pack.packer import Packer, pack, relevance

__all__ = ["Packer", "pack", "relevance"]
