"""Families of products: what they are called, what they cost, and which attributes only they have."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.local.demo.codes import isbn13
from deploy.local.demo.dice import Dice
from deploy.local.demo.texts import Words, words

COLOURS = ("black", "white", "navy blue", "heather grey", "bordeaux", "olive", "crème", "red/white")
MATERIALS = ("cotton", "linen", "wool", "polyester", "elastane", "leather", "oak", "steel")
DAY_ZERO = datetime(2019, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Family:
    """One family; prices in cents, `attributes` throws those of one product."""

    name: str
    path: str
    nouns: tuple[Words, ...]
    cents: tuple[int, int]
    attributes: Callable[[Dice], dict[str, Any]]


def _composition(dice: Dice) -> list[dict[str, Any]]:
    share = dice.number(50, 100)
    parts = [{"material": dice.pick(MATERIALS[:5]), "percent": share}]
    return parts if share == 100 else [*parts, {"material": "recycled", "percent": 100 - share}]


def _clothing(dice: Dice) -> dict[str, Any]:
    return {
        "color": dice.pick(COLOURS),
        "size": dice.pick(("XS", "S", "M", "L", "XL", "36/38", "40|42")),
        "composition": _composition(dice),
        "care": dice.some(("30°", "no bleach", "no tumble dry", "iron low", "dry clean | P"), 4),
        "season": dice.pick(("SS26", "FW26", None)),
    }


def _shoes(dice: Dice) -> dict[str, Any]:
    return {
        "color": dice.pick(COLOURS),
        "size": {"eu": dice.number(70, 94) / 2, "uk": dice.number(6, 24) / 2},
        "upper": dice.pick(MATERIALS[5:6] + MATERIALS[3:4]),
        "waterproof": dice.chance(0.3),
        **({"heel_mm": dice.number(5, 90)} if dice.chance(0.5) else {}),
    }


def _furniture(dice: Dice) -> dict[str, Any]:
    return {
        "material": dice.some(MATERIALS, 3),
        "load_kg": dice.number(20, 400),
        "assembled": dice.chance(0.4),
        "parts": [{"no": at, "name": f'Board {at}" × 2', "spare": dice.chance(0.5)} for at in range(dice.number(0, 3))],
        "finish": {}
        if dice.chance(0.1)
        else {"name": dice.pick(("oiled", "lacquered")), "ral": f"{dice.number(0, 9999):04}"},
    }


def _food(dice: Dice) -> dict[str, Any]:
    return {
        "organic": dice.chance(0.4),
        "allergens": dice.some(("gluten", "milk", "nuts", "soya", "sésame"), 3),
        "nutrition": {
            "energy_kj": dice.number(50, 3700),
            "fat_g": dice.tenths(0, 90),
            "salt_g": dice.number(0, 500) / 100,
        },
        "best_before": DAY_ZERO + timedelta(days=dice.number(2600, 3600)),
        "ingredients": "sugar, wheat flour (Weizen),\ncocoa butter*\n* Fairtrade",
    }


def _electronics(dice: Dice) -> dict[str, Any]:
    return {
        "voltage": dice.pick(("5 V ⎓", "100–240 V ~", "12 V")),
        "power_w": dice.tenths(1, 2400),
        "ports": [{"type": dice.pick(("USB-C", "HDMI 2.1", '3.5 mm "jack"')), "count": dice.number(1, 4)}],
        "energy_class": dice.pick(("A", "B", "C", "D", "E", "F", "G")),
        "serial_from": dice.number(2**53, 2**62),
        "wifi": dice.chance(0.5),
    }


def _books(dice: Dice) -> dict[str, Any]:
    return {
        "isbn": isbn13(dice.number(0, 999_999_999)),
        "authors": dice.some(("Ana Müller", "J. O’Neill", "Lê Thị Hoa", 'Sam "Doc" Lee'), 3),
        "pages": dice.number(32, 1400),
        "language": dice.pick(("en", "de", "fr")),
        "published": DAY_ZERO - timedelta(days=dice.number(0, 60_000)),
    }


FAMILIES = (
    Family(
        "clothing",
        "Fashion/Clothing",
        (words("hoodie", "Kapuzenpulli", "sweat à capuche"), words("dress", "Kleid", "robe")),
        (990, 24_900),
        _clothing,
    ),
    Family(
        "shoes",
        "Fashion/Shoes & Boots",
        (words("running shoe", "Laufschuh", "chaussure de course"), words("boot", "Stiefel", "botte")),
        (2_990, 39_900),
        _shoes,
    ),
    Family(
        "furniture",
        "Home/Furniture",
        (words("table", "Tisch", "table"), words("armchair", "Sessel", "fauteuil")),
        (4_900, 499_900),
        _furniture,
    ),
    Family(
        "food",
        "Food/Sweets, Snacks",
        (words("chocolate", "Schokolade", "chocolat"), words("biscuit", "Keks", "biscuit")),
        (49, 4_990),
        _food,
    ),
    Family(
        "electronics",
        "Electronics",
        (words("headphones", "Kopfhörer", "casque audio"), words("charger", "Ladegerät", "chargeur")),
        (990, 299_900),
        _electronics,
    ),
    Family(
        "books",
        "Books/Novels",
        (words("novel", "Roman", "roman"), words("cookbook", "Kochbuch", "livre de cuisine")),
        (500, 9_900),
        _books,
    ),
)
