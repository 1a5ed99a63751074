"""The demo catalogue: products and suppliers with everything that makes real ones hard to export, always the same."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Decimal128, Int64

from deploy.local.demo.codes import ean13
from deploy.local.demo.dice import Dice
from deploy.local.demo.families import FAMILIES, Family
from deploy.local.demo.texts import LOCALES, REMARKS, STYLES, description

SEED = 20_260_315
PRODUCTS, SUPPLIERS = 5_000, 50
MOMENT_ZERO = datetime(2024, 1, 1, tzinfo=UTC)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Documents as MongoDB holds them, in the order of `_id`."""

    products: list[Document]
    suppliers: list[Document]

    @property
    def collections(self) -> dict[str, list[Document]]:
        """The documents by the name of their collection."""
        return {"products": self.products, "suppliers": self.suppliers}


def made(products: int = PRODUCTS, suppliers: int = SUPPLIERS) -> Catalogue:
    """The first so many products and suppliers; a smaller catalogue is the beginning of a larger one."""
    goods, firms = Dice(SEED), Dice(SEED + 1)
    return Catalogue(
        [_product(goods, number) for number in range(1, products + 1)],
        [_supplier(firms, number) for number in range(1, suppliers + 1)],
    )


def _product(dice: Dice, number: int) -> Document:
    family, style = dice.pick(FAMILIES), dice.pick(STYLES)
    noun = dice.pick(family.nouns)
    changed = MOMENT_ZERO + timedelta(milliseconds=dice.number(0, 70_000_000_000))
    product: Document = {
        "_id": f"{number:06}",
        "sku": f"{family.name[:3].upper()}-{number:06}",
        "family": family.name,
        "name": {locale: f"{style[locale]} {noun[locale]} {number}" for locale in LOCALES},
        "categories": ["Default Category", f"Default Category/{family.path}"],
        "price": _price(dice, family),
        "stock": dice.number(-3, 500),
        "is_active": dice.chance(0.9),
        "updated_at": changed if dice.chance(0.5) else changed.replace(microsecond=0),
        "description": description(dice, noun),
        "attributes": family.attributes(dice),
    }
    product.update((name, value) for name, value in _optional(dice, number).items() if dice.chance(0.8))
    return product


def _price(dice: Dice, family: Family) -> Document:
    cents = dice.number(*family.cents)
    price: Document = {"EUR": _money(cents)}
    if dice.chance(0.6):
        price["GBP"] = _money(cents * 85 // 100)
    if dice.chance(0.2):
        price["JPY"] = Decimal128(str(cents * 160 // 100))
    return price


def _money(cents: int) -> Decimal128:
    return Decimal128(f"{cents // 100}.{cents % 100:02}")


def _optional(dice: Dice, number: int) -> Document:
    """What a product may lack."""
    reviews = dice.number(0, 3) * dice.number(0, 400)
    return {
        "ean": ean13(dice.number(0, 10 ** dice.number(7, 12) - 1)),
        "cost": Decimal128(f"{dice.number(1, 10**9)}E-7"),
        "erp_id": Int64(9_000_000_000_000_000_000 + number),
        "weight_kg": dice.number(1, 40_000) / 1000,
        "dimensions": {side: dice.tenths(1, 300) for side in ("length", "width", "height")},
        "tags": dice.some(("new", "sale", "1|2 pack", "größer", "vegan 🌱", "=cmd"), 3),
        "media": [
            {"url": f"/media/{number}/{at}.jpg", "alt": f'View {at}, "{number}"', "main": at == 0}
            for at in range(dice.number(0, 3))
        ],
        "supplier": {"id": f"S{dice.number(1, SUPPLIERS):03}", "lead_days": dice.number(1, 60)},
        "rating": {"reviews": reviews, "average": dice.tenths(1, 5) if reviews else None},
        "available_from": MOMENT_ZERO + timedelta(days=dice.number(0, 900)),
        "remark": dice.pick(REMARKS),
    }


def _supplier(dice: Dice, number: int) -> Document:
    city, country = dice.pick(
        (("Köln", "DE"), ("Saint-Étienne", "FR"), ("Leeds", "GB"), ("東京", "JP"), ("Łódź", "PL"))
    )
    supplier: Document = {
        "_id": f"S{number:03}",
        "name": f"{dice.pick(('Müller & Söhne', 'Dupont', 'O’Brien', 'Northwind', 'さくら'))} {number}, {country}",
        "address": {
            "street": f"No. {dice.number(1, 200)}\n2nd floor",
            "zip": f"{dice.number(0, 99_999):05}",
            "city": city,
        },
        "contact": {
            "email": f"orders{number}@example.com",
            "phone": f"+{dice.number(10, 99)} {dice.number(10**7, 10**8)}",
        },
        "founded": MOMENT_ZERO - timedelta(days=dice.number(0, 40_000)),
        "discount": Decimal128(f"0.{dice.number(0, 300):03}"),
        "terms_days": dice.pick((14, 30, 60)),
        "is_active": dice.chance(0.9),
        "certificates": [{"name": name, "until": MOMENT_ZERO} for name in dice.some(("ISO 9001", "GOTS", "FSC®"), 2)],
        "note": dice.pick((*REMARKS, None)),
    }
    if dice.chance(0.6):
        supplier["min_order"] = {"amount": _money(dice.number(0, 100_000)), "currency": "EUR"}
    return supplier
