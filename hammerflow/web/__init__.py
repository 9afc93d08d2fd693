"""The web: a REST API over the stores, for a server of its own or inside another application."""
