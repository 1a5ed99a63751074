"""The demo catalogue: products and suppliers with values that are hard to export, always the same."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Decimal128, Int64

from deploy.local.demo.products.codes import ean13
from deploy.local.demo.products.families import FAMILIES, Family
from deploy.local.demo.products.seeded_random import SeededRandom
from deploy.local.demo.products.texts import LOCALES, REMARKS, STYLES, description

SEED = 20_260_315
PRODUCTS, SUPPLIERS = 5_000, 50
MOMENT_ZERO = datetime(2024, 1, 1, tzinfo=UTC)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Documents as they are stored in MongoDB, ordered by `_id`."""

    products: list[Document]
    suppliers: list[Document]

    @property
    def collections(self) -> dict[str, list[Document]]:
        """The documents by collection name."""
        return {"products": self.products, "suppliers": self.suppliers}


def made(products: int = PRODUCTS, suppliers: int = SUPPLIERS) -> Catalogue:
    """A catalogue of this size; a smaller one is the beginning of a larger one."""
    goods, firms = SeededRandom(SEED), SeededRandom(SEED + 1)
    return Catalogue(
        [_product(goods, number) for number in range(1, products + 1)],
        [_supplier(firms, number) for number in range(1, suppliers + 1)],
    )


def _product(rng: SeededRandom, number: int) -> Document:
    family, style = rng.pick(FAMILIES), rng.pick(STYLES)
    noun = rng.pick(family.nouns)
    changed = MOMENT_ZERO + timedelta(milliseconds=rng.number(0, 70_000_000_000))
    product: Document = {
        "_id": f"{number:06}",
        "sku": f"{family.name[:3].upper()}-{number:06}",
        "family": family.name,
        "name": {locale: f"{style[locale]} {noun[locale]} {number}" for locale in LOCALES},
        "categories": ["Default Category", f"Default Category/{family.path}"],
        "price": _price(rng, family),
        "stock": rng.number(-3, 500),
        "is_active": rng.chance(0.9),
        "updated_at": changed if rng.chance(0.5) else changed.replace(microsecond=0),
        "description": description(rng, noun),
        "attributes": family.attributes(rng),
    }
    product.update((name, value) for name, value in _optional(rng, number).items() if rng.chance(0.8))
    return product


def _price(rng: SeededRandom, family: Family) -> Document:
    cents = rng.number(*family.cents)
    price: Document = {"EUR": _money(cents)}
    if rng.chance(0.6):
        price["GBP"] = _money(cents * 85 // 100)
    if rng.chance(0.2):
        price["JPY"] = Decimal128(str(cents * 160 // 100))
    return price


def _money(cents: int) -> Decimal128:
    return Decimal128(f"{cents // 100}.{cents % 100:02}")


def _optional(rng: SeededRandom, number: int) -> Document:
    """Optional fields of a product."""
    reviews = rng.number(0, 3) * rng.number(0, 400)
    return {
        "ean": ean13(rng.number(0, 10 ** rng.number(7, 12) - 1)),
        "cost": Decimal128(f"{rng.number(1, 10**9)}E-7"),
        "erp_id": Int64(9_000_000_000_000_000_000 + number),
        "weight_kg": rng.number(1, 40_000) / 1000,
        "dimensions": {side: rng.tenths(1, 300) for side in ("length", "width", "height")},
        "tags": rng.some(("new", "sale", "1|2 pack", "größer", "vegan 🌱", "=cmd"), 3),
        "media": [
            {"url": f"/media/{number}/{at}.jpg", "alt": f'View {at}, "{number}"', "main": at == 0}
            for at in range(rng.number(0, 3))
        ],
        "supplier": {"id": f"S{rng.number(1, SUPPLIERS):03}", "lead_days": rng.number(1, 60)},
        "rating": {"reviews": reviews, "average": rng.tenths(1, 5) if reviews else None},
        "available_from": MOMENT_ZERO + timedelta(days=rng.number(0, 900)),
        "remark": rng.pick(REMARKS),
    }


def _supplier(rng: SeededRandom, number: int) -> Document:
    city, country = rng.pick((("Köln", "DE"), ("Saint-Étienne", "FR"), ("Leeds", "GB"), ("東京", "JP"), ("Łódź", "PL")))
    supplier: Document = {
        "_id": f"S{number:03}",
        "name": f"{rng.pick(('Müller & Söhne', 'Dupont', 'O’Brien', 'Northwind', 'さくら'))} {number}, {country}",
        "address": {
            "street": f"No. {rng.number(1, 200)}\n2nd floor",
            "zip": f"{rng.number(0, 99_999):05}",
            "city": city,
        },
        "contact": {
            "email": f"orders{number}@example.com",
            "phone": f"+{rng.number(10, 99)} {rng.number(10**7, 10**8)}",
        },
        "founded": MOMENT_ZERO - timedelta(days=rng.number(0, 40_000)),
        "discount": Decimal128(f"0.{rng.number(0, 300):03}"),
        "terms_days": rng.pick((14, 30, 60)),
        "is_active": rng.chance(0.9),
        "certificates": [{"name": name, "until": MOMENT_ZERO} for name in rng.some(("ISO 9001", "GOTS", "FSC®"), 2)],
        "note": rng.pick((*REMARKS, None)),
    }
    if rng.chance(0.6):
        supplier["min_order"] = {"amount": _money(rng.number(0, 100_000)), "currency": "EUR"}
    return supplier
