"""URLs: of the database and of Redis, checked and taken apart without any driver."""
