"""Recurring exports: schedules, their runs, and the jobs that runs create at the exporter."""
