"""Runs the command line: `catalog-exports`, or `python -m catalog_exports`."""

import sys

from catalog_exports.cli.app import run


def main() -> None:
    """Exit with one of the codes of `ExitCode`."""
    sys.exit(run())


if __name__ == "__main__":
    main()
