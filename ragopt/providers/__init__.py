"""Adapters to what writes answers: one file per dialect, one protocol for all."""
