"""The detector of injected instructions: what it learns from, how it is fitted and how it is measured."""
