"""What can be wrong with a file, told apart by how much of it is lost: one record, or all of it."""


class BadRecord(ValueError):
    """A record that cannot be loaded, and why."""


class BadFile(Exception):
    """A file none of which can be loaded, and why."""
