"""Fuzzing: runs for hours, where a test has seconds. Not collected by pytest."""
