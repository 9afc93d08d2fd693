"""A day of a shop: jobs, workflows and everything around them, written into an empty database."""
