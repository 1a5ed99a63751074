"""Generated products of about 740 bytes of BSON and 20 columns, the same in every run.

Their ids are random UUIDs, as most catalogues have them: the order of ids is not the order of insertion, so reading by
id jumps between the pages of the collection.
"""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Decimal128

_COLOURS = ("black", "white", "red", "blue", "green", "grey", "yellow", "brown")
_SIZES = ("XS", "S", "M", "L", "XL", "XXL")
_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
_SENTENCE = (
    "light sturdy woven outdoor daily classic slim relaxed quick-dry brushed organic cotton blend with two pockets and "
    "a soft lining for cold mornings, tested by people who walk a lot"
)
_WORDS = _SENTENCE.split()


def products(count: int) -> Iterator[dict[str, Any]]:
    """Generate `count` products."""
    rng = random.Random(7)
    for number in range(count):
        yield _product(rng, number)


def _product(rng: random.Random, number: int) -> dict[str, Any]:
    words = " ".join(rng.choices(_WORDS, k=22))
    return {
        "_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "sku": f"SKU-{number:08}",
        "ean": f"{rng.randrange(10**13):013}",
        "name": f"Jacket {number}, {words[:30]}",
        "family": f"family-{number % 12}",
        "brand": f"Brand {number % 40}",
        "price": rng.randrange(500, 50_000) / 100,
        "cost": Decimal128(f"{rng.randrange(100, 20_000)}.{rng.randrange(100):02}"),
        "stock": rng.randrange(1_000),
        "weight": rng.randrange(100, 9_000) / 1_000,
        "is_active": number % 9 != 0,
        "categories": ["clothing", f"season-{number % 4}", f"line-{number % 25}"],
        "created_at": _BEGIN + timedelta(minutes=number),
        "updated_at": _BEGIN + timedelta(minutes=number, seconds=rng.randrange(60)),
        "attributes": {"color": rng.choice(_COLOURS), "size": rng.choice(_SIZES), "material": "cotton|wool"},
        "description": {"en_GB": f"<p>{words}</p>", "de_DE": words[:53]},
        "image": f"https://images.example/{number:08}/front.jpg",
    }
