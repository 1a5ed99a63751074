"""Why a file has no header that can be read."""


class HeaderProblem(Exception):
    """The message says what is wrong with the file, and begins with a verb."""
