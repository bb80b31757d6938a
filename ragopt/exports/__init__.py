"""Answers on their way out: which are kept, which are fit to train on, and the files they become."""
