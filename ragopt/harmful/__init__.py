"""Content that harms, asked for or answered: how it is scored and what kind it is. No stage, and used by several."""
