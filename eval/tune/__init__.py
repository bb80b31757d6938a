"""`python -m eval tune`: searches the knobs on a user's own questions and writes what a service loads."""
