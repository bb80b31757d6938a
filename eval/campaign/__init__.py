"""The campaign: everything is killed, cut off, filled up and fuzzed on purpose, and what must be 0 is counted."""
