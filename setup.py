"""Builds the compiled transcoders where Cython and a C compiler are at hand; else plain Python does the work."""

import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("services/exporter/transcode/compiled.pyx")


def extensions() -> list[Extension]:
    """The one extension, optional; none without Cython, or where bytes are in another order than BSON's.

    Images of other services are built without the exporter's sources (services/*/Dockerfile).
    """
    if sys.byteorder != "little" or not SOURCE.exists():
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("Cython is not installed: exports will run on plain Python", file=sys.stderr)  # noqa: T201
        return []
    # Without contraction a sum rounds twice, as Python's does.
    extension = Extension(
        "services.exporter.transcode.compiled",
        [str(SOURCE)],
        depends=sorted(map(str, SOURCE.parent.glob("native/*.pxi"))),
        extra_compile_args=["-O3", "-ffp-contract=off"],
    )
    made: list[Extension] = cythonize([extension])
    for each in made:
        each.optional = True  # cythonize does not hand this on
    return made


setup(ext_modules=extensions())
