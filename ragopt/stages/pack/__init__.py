"""Ranked hits to numbered passages within a token budget."""

from ragopt.stages.pack.packer import Packer, Weighed, pack, relevance, weighed

__all__ = ["Packer", "Weighed", "pack", "relevance", "weighed"]
