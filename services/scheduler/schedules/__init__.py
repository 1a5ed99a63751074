"""Schedules: what a tenant registered, and where it is stored."""
