"""The tests of hammerflow."""
