"""Chaos: load, real workers, a nemesis that breaks them, and a program that checks what is left."""
