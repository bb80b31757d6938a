"""The detector of harmful content: what it learns from, how it is fitted and how it is measured."""
