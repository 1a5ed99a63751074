"""Errors in a file: in one record, or in the file as a whole."""


class BadRecord(ValueError):
    """A record that cannot be loaded, and why."""


class BadFile(Exception):
    """A file that cannot be loaded at all, and why."""
