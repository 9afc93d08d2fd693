"""Services: periodic duties of a worker; each has ``tick() -> seconds to sleep``."""
