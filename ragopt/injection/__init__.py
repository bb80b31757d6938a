"""Instructions where none belong: how a text is read, scored and found to carry one. No stage, and used by several."""
