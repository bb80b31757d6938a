"""Live experiments: who gets which variant, and what may be said of them at any time."""
