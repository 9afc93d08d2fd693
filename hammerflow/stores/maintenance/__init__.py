"""Maintenance: work on whole tables: vacuum and analyze, backups, loads of many rows."""
