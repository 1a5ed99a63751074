"""Runs: planned when a schedule fires, submitted as jobs, ended with their jobs."""
