"""The supervisor process: claims jobs, gives them to children, and settles their outcomes."""
