"""The stages of a question: one file each, none importing another."""
