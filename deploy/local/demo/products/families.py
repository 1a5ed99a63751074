"""Product families: names, prices and the attributes specific to each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.local.demo.products.codes import isbn13
from deploy.local.demo.products.seeded_random import SeededRandom
from deploy.local.demo.products.texts import Words, words

COLOURS = ("black", "white", "navy blue", "heather grey", "bordeaux", "olive", "crème", "red/white")
MATERIALS = ("cotton", "linen", "wool", "polyester", "elastane", "leather", "oak", "steel")
DAY_ZERO = datetime(2019, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Family:
    """One family; prices in cents. `attributes` generates those of one product."""

    name: str
    path: str
    nouns: tuple[Words, ...]
    cents: tuple[int, int]
    attributes: Callable[[SeededRandom], dict[str, Any]]


def _composition(rng: SeededRandom) -> list[dict[str, Any]]:
    share = rng.number(50, 100)
    parts = [{"material": rng.pick(MATERIALS[:5]), "percent": share}]
    return parts if share == 100 else [*parts, {"material": "recycled", "percent": 100 - share}]


def _clothing(rng: SeededRandom) -> dict[str, Any]:
    return {
        "color": rng.pick(COLOURS),
        "size": rng.pick(("XS", "S", "M", "L", "XL", "36/38", "40|42")),
        "composition": _composition(rng),
        "care": rng.some(("30°", "no bleach", "no tumble dry", "iron low", "dry clean | P"), 4),
        "season": rng.pick(("SS26", "FW26", None)),
    }


def _shoes(rng: SeededRandom) -> dict[str, Any]:
    return {
        "color": rng.pick(COLOURS),
        "size": {"eu": rng.number(70, 94) / 2, "uk": rng.number(6, 24) / 2},
        "upper": rng.pick(MATERIALS[5:6] + MATERIALS[3:4]),
        "waterproof": rng.chance(0.3),
        **({"heel_mm": rng.number(5, 90)} if rng.chance(0.5) else {}),
    }


def _furniture(rng: SeededRandom) -> dict[str, Any]:
    return {
        "material": rng.some(MATERIALS, 3),
        "load_kg": rng.number(20, 400),
        "assembled": rng.chance(0.4),
        "parts": [{"no": at, "name": f'Board {at}" × 2', "spare": rng.chance(0.5)} for at in range(rng.number(0, 3))],
        "finish": {}
        if rng.chance(0.1)
        else {"name": rng.pick(("oiled", "lacquered")), "ral": f"{rng.number(0, 9999):04}"},
    }


def _food(rng: SeededRandom) -> dict[str, Any]:
    return {
        "organic": rng.chance(0.4),
        "allergens": rng.some(("gluten", "milk", "nuts", "soya", "sésame"), 3),
        "nutrition": {
            "energy_kj": rng.number(50, 3700),
            "fat_g": rng.tenths(0, 90),
            "salt_g": rng.number(0, 500) / 100,
        },
        "best_before": DAY_ZERO + timedelta(days=rng.number(2600, 3600)),
        "ingredients": "sugar, wheat flour (Weizen),\ncocoa butter*\n* Fairtrade",
    }


def _electronics(rng: SeededRandom) -> dict[str, Any]:
    return {
        "voltage": rng.pick(("5 V ⎓", "100–240 V ~", "12 V")),
        "power_w": rng.tenths(1, 2400),
        "ports": [{"type": rng.pick(("USB-C", "HDMI 2.1", '3.5 mm "jack"')), "count": rng.number(1, 4)}],
        "energy_class": rng.pick(("A", "B", "C", "D", "E", "F", "G")),
        "serial_from": rng.number(2**53, 2**62),
        "wifi": rng.chance(0.5),
    }


def _books(rng: SeededRandom) -> dict[str, Any]:
    return {
        "isbn": isbn13(rng.number(0, 999_999_999)),
        "authors": rng.some(("Ana Müller", "J. O’Neill", "Lê Thị Hoa", 'Sam "Doc" Lee'), 3),
        "pages": rng.number(32, 1400),
        "language": rng.pick(("en", "de", "fr")),
        "published": DAY_ZERO - timedelta(days=rng.number(0, 60_000)),
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
