"""Citation checking of an answer while it streams: each claim held to the passages it cites."""
