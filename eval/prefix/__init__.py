"""What providers read from their caches: conversations replayed against their documented rules."""
