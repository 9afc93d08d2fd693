"""Tasks: functions, their names and their options."""
