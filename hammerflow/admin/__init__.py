"""What operators read and do: one form of it, for the command line and the web."""
