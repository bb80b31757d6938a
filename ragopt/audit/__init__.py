"""Who did what with which documents: an append-only log in which every line seals the one before."""
