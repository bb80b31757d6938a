"""`python -m eval drift`: what seven weeks of a growing support assistant cost, simulated from real questions."""
