"""The API and its server: real HTTP on the three databases."""
