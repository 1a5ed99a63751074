"""Builds the compiled transcoders if Cython and a C compiler are available; otherwise exports run on plain Python.

Also names the command line, if it is there.
"""

import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("services/exporter/transcode/compiled.pyx")


def extensions() -> list[Extension]:
    """The extension, which is optional; none without Cython or on big-endian machines.

    The images of other services do not contain the exporter's sources (services/*/Dockerfile).
    """
    if sys.byteorder != "little" or not SOURCE.exists():
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("Cython is not installed: exports will run on plain Python", file=sys.stderr)  # noqa: T201
        return []
    # With contraction (FMA), sums would be rounded differently than in Python.
    extension = Extension(
        "services.exporter.transcode.compiled",
        [str(SOURCE)],
        depends=sorted(map(str, SOURCE.parent.glob("native/*.pxi"))),
        extra_compile_args=["-O3", "-ffp-contract=off"],
    )
    made: list[Extension] = cythonize([extension])
    for each in made:
        each.optional = True  # cythonize does not keep this option
    return made


# The images of the services do not contain the command line.
commands = ["catalog-exports = catalog_exports.__main__:main"] if Path("catalog_exports").exists() else []
setup(ext_modules=extensions(), entry_points={"console_scripts": commands})
