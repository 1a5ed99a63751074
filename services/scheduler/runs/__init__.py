"""Runs: what fires, becomes a job, and how it ended."""
