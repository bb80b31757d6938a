"""RAG context optimization: fewer tokens, checked citations, measured savings."""
