"""Answers that were given before, served again where that is right."""
