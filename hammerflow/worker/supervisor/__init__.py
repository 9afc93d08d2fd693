"""The supervisor process: claims jobs, hands them to children, and settles their outcomes."""
