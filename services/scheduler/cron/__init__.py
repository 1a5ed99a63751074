"""Cron expressions, time zones and clock changes. Pure: no I/O."""
