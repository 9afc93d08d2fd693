"""Fuzzing of everything that users call: wrong values get a sentence, never a raw error."""
