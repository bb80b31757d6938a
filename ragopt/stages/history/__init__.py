"""What of an earlier conversation a prompt holds: a summary, the last turns, old turns that the question is about."""
