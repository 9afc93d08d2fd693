"""Results: handles on jobs and workflows that may not have ended yet."""
