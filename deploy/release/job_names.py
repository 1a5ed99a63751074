"""Names Jobs by what they run: the template of a Job cannot be changed, so a Job that changes needs another name.

kustomize hashes the names of ConfigMaps and Secrets only. `python -m deploy.release.job_names` writes the name into the
component; a test compares it with the rendered Job. Releases name the Jobs that they contain themselves.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from deploy.local.processes.children import ROOT
from deploy.release.rendering import Manifest, rendered

HASH_LENGTH = 10
HASHED = re.compile(rf"-[0-9a-f]{{{HASH_LENGTH}}}$")
FILE = Path("deploy/k8s/components/mongodb-initiate/job.yaml")
OVERLAY = "production"
"""Its rendering decides on the name that is written into the component."""


def name_of(job: Manifest) -> str:
    """The name that fits the Job: its name without a hash, and the hash of its spec.

    The spec contains the names of ConfigMaps, which are hashed as well, so it covers the scripts.
    """
    content = json.dumps(job["spec"], sort_keys=True).encode()
    return f"{HASHED.sub('', job['metadata']['name'])}-{hashlib.sha256(content).hexdigest()[:HASH_LENGTH]}"


def named_by_content(manifests: Iterable[Manifest]) -> list[Manifest]:
    """The manifests, with every Job under the name that fits it."""
    return [
        {**one, "metadata": {**one["metadata"], "name": name_of(one)}} if one["kind"] == "Job" else one
        for one in manifests
    ]


def write(root: Path = ROOT) -> str:
    """Write the name of the rendered Job into its component, and return it."""
    (job,) = [one for one in rendered(OVERLAY, root) if one["kind"] == "Job"]
    file, name = root / FILE, name_of(job)
    file.write_text(file.read_text().replace(f"name: {job['metadata']['name']}\n", f"name: {name}\n"))
    return name


if __name__ == "__main__":
    print(write())
