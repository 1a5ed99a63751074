"""Exports that recur: when a schedule fires, what runs of it came to, and the jobs they ask the exporter for."""
