"""The exporter: turns a request into a job, and a job into a file."""
