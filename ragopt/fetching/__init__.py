"""Documents from the web: the one thing that this service asks of addresses that a caller names."""
