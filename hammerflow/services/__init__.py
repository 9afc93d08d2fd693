"""Services: the periodic duties of a worker, each a class with ``tick(now) -> seconds to sleep``.

A service knows the store, the lease clock and the callbacks it was given, never another
service: the supervisor connects them. ``runner`` runs any of them and knows only ``base``.
"""
