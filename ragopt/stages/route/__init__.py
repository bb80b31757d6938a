"""Which model answers: how hard the question is, what the operator rules, and in which order models are tried."""
