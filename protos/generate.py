"""Makes `services/wire` from the .proto files beside this one; `--check` fails when the committed code differs.

python -m protos.generate [--check]
"""

import argparse
import filecmp
import re
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent
TARGET = HERE.parent / "services" / "wire"
PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
# protoc writes imports by proto path; here the import path is the folder path.
OWN_IMPORT = re.compile(r"^(from|import) catalog\.exports\.v1", re.MULTILINE)


def generate(target: Path) -> None:
    """Write messages, services and their type stubs into `target`, flat, one module a proto file."""
    with tempfile.TemporaryDirectory() as scratch:
        well_known = str(resources.files("grpc_tools") / "_proto")
        protos = sorted(str(path) for path in HERE.rglob("*.proto"))
        outs = [f"--{kind}_out={scratch}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
        outs += [f"--plugin={name}={Path(sys.executable).parent / name}" for name in PLUGINS]
        if protoc.main(["protoc", f"-I{HERE}", f"-I{well_known}", *outs, *protos]) != 0:
            raise SystemExit("protoc refused the .proto files; see its message above")
        target.mkdir(parents=True, exist_ok=True)
        (target / "__init__.py").write_text('"""Generated from protos/; do not edit, run `make protos`."""\n')
        for made in sorted(Path(scratch).rglob("*.py*")):
            (target / made.name).write_text(OWN_IMPORT.sub(r"\1 services.wire", made.read_text()))


def main() -> int:
    """Return 0 when the code is made, or up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the committed code differs")
    if not parser.parse_args().check:
        shutil.rmtree(TARGET, ignore_errors=True)
        generate(TARGET)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        names = {p.name for p in [*Path(scratch).iterdir(), *TARGET.iterdir()] if p.suffix in {".py", ".pyi"}}
        _, differing, missing = filecmp.cmpfiles(scratch, TARGET, sorted(names), shallow=False)
    if differing or missing:
        print(f"services/wire is not what protos/ says ({', '.join([*differing, *missing])}): run `make protos`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
