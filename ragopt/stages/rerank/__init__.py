"""Hits to hits in a better order: late interaction always, a cross-encoder over its best where there is one."""
