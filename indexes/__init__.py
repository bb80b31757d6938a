"""Documents in, ranked chunks out."""
