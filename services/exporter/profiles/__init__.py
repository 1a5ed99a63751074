"""Profiles: exports that are saved once and run as often as needed."""
