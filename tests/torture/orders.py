"""What clients order, and what they must get: files that are made and read back before the first fault."""

import hashlib
import io
import random
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.demo.checks.readback import differences
from deploy.local.demo.exports import Download, Export, Exported
from deploy.local.demo.products.catalogue import Catalogue, made
from tests.torture.rest import Rest

ENDED = {"completed", "failed", "cancelled", "expired"}
SUPPLIERS = 20
TENANTS = {"small": 40, "middle": 400, "large": 1_500, "huge": 4_500}
"""Products by tenant. The JSON file of `huge` has more than 8 MiB, so it is uploaded to S3 in parts."""
BY_ID: Mapping[str, Any] = {"order_by": ["id"]}
"""Of all orders: the stored order may differ from one member of the replica set to another."""
PLAIN = {**BY_ID, "escape_formulas": False}
PRICES = {**BY_ID, "include_fields": ["sku", "price"], "json_lines": True}
ACTIVE = {**BY_ID, "filters": {"is_active": True}, "include_fields": ["sku", "stock"]}
EXTENSION = {"csv": "csv", "json": "json", "excel": "xlsx", "zip": "zip"}


@dataclass(frozen=True)
class Order:
    """A request of a tenant, without its platforms; `whole`: every value is compared with the catalogue."""

    tenant: str
    form: str
    body: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    share: int = 1

    @property
    def name(self) -> str:
        """As findings show it."""
        return f"{self.tenant} {self.form} {dict(self.body)}"


def orders(tenants: Mapping[str, int]) -> list[Order]:
    """Those of some tenants, given with their numbers of products.

    Small ones are frequent, so that the machine has time for the faults.
    """
    found = []
    for tenant, products in tenants.items():
        share = {"small": 6, "middle": 2}.get(tenant, 1)
        found += [
            Order(tenant, "json", BY_ID, whole=True, share=share),
            Order(tenant, "json", PRICES, share=4 * share),
        ]
        if tenant != "huge":
            found += [
                Order(tenant, "csv", PLAIN, whole=True, share=2 * share),
                Order(tenant, "excel", BY_ID, share=share),
                Order(tenant, "zip", {**PLAIN, "max_rows_per_file": products // 3}, whole=True, share=share),
                Order(tenant, "csv", ACTIVE, share=4 * share),
            ]
    return found


def content_hash(form: str, data: bytes) -> str:
    """A hash of what a file contains; archives also hold times, which differ from job to job."""
    digest = hashlib.sha256()
    if form not in ("zip", "excel"):
        digest.update(data)
        return digest.hexdigest()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if name != "docProps/core.xml":
                digest.update(name.encode() + b"\0" + archive.read(name))
    return digest.hexdigest()


class References:
    """The right content of each order, and the number of its rows.

    An independent reader compares whole files with the catalogue, value by value; the others are compared with what a
    plain look at the catalogue finds: the number of rows.
    """

    def __init__(self, clients: Mapping[str, Rest], tenants: Mapping[str, int]) -> None:
        self._clients = clients
        self._tenants = tenants
        self._right: dict[str, tuple[str, int]] = {}
        self.wrong: list[str] = []

    def take(self) -> None:
        """Make one file of each order."""
        catalogues = {tenant: made(products, SUPPLIERS) for tenant, products in self._tenants.items()}
        with tempfile.TemporaryDirectory(prefix="torture-") as folder:
            for order in orders(self._tenants):
                self._take(order, catalogues[order.tenant], Path(folder) / f"file.{EXTENSION[order.form]}")

    def is_right(self, order: Order, data: bytes, rows: int) -> bool:
        """Whether a file is what was ordered."""
        return self._right[order.name] == (content_hash(order.form, data), rows)

    def _take(self, order: Order, catalogue: Catalogue, path: Path) -> None:
        rest = self._clients[order.tenant]
        job = rest.call("POST", f"/exports/{order.form}/products", {**order.body, "platform_ids": []}).json
        while job["status"] not in ENDED:
            time.sleep(0.05)
            job = rest.call("GET", f"/exports/jobs/{job['id']}").json
        data = rest.call("GET", f"/exports/jobs/{job['id']}/download").body
        path.write_bytes(data)
        rows = job["total_records"]
        self._right[order.name] = (content_hash(order.form, data), rows)
        if order.whole:
            file = Exported(
                Export(order.form, path.name), job["id"], Download(path, len(data), job["sha256"]), rows, 0.0
            )
            self.wrong += [f"{order.name}: {one}" for one in list(differences(file, catalogue))[:5]]
        elif rows != _rows(order, catalogue):
            self.wrong.append(f"{order.name}: {rows} rows, expected {_rows(order, catalogue)}")
        rest.call("DELETE", f"/exports/jobs/{job['id']}")


def _rows(order: Order, catalogue: Catalogue) -> int:
    active_only = "filters" in order.body
    return sum(1 for product in catalogue.products if product["is_active"] or not active_only)


def drawn(rng: random.Random, among: list[Order]) -> Order:
    """A random order, by share."""
    return rng.choices(among, [order.share for order in among])[0]
