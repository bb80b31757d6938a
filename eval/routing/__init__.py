"""The difficulty scorer: what it is fitted to, and what its order of questions costs and saves."""
