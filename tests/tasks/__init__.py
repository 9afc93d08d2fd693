"""Tasks: which function it is, what it is called, and what its calls take."""
