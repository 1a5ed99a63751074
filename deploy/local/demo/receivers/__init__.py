"""Servers that the demo delivers to."""
