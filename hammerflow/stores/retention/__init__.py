"""Retention: how long ended jobs, results and keys are kept, and the archive of what has left."""
