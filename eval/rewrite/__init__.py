"""Follow-ups: sets that people rewrote, what is learned from them, and how near ragopt comes."""
