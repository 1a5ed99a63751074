"""Columns are remembered from export to export; whatever goes wrong with that costs a second pass and nothing else."""

import asyncio

import pytest

from services.chassis.mongo import Database
from services.exporter.catalogue.column_store import MAX_NAMES, ColumnStore, RememberedColumns, request_key

ALL = request_key({}, None, ())
SOME = request_key({"price": {"gt": 1}}, None, ())


@pytest.fixture
def columns(database: Database) -> ColumnStore:
    return ColumnStore(database)


async def test_widths_are_kept_beside_the_names_and_forgotten_when_those_change_without_them(
    columns: ColumnStore,
) -> None:
    await columns.remember("acme", "products", ALL, ["id", "a.b"], {"a.b": 12, "id": 8}, extends_order=True)
    assert await columns.recall("acme", "products", ALL) == RememberedColumns(
        ("id", "a.b"), ("id", "a.b"), {"id": 8, "a.b": 12}
    )
    await columns.remember("acme", "products", ALL, ["id"], extends_order=True)
    assert (await columns.recall("acme", "products", ALL)).widths == {}


async def test_nothing_is_known_at_first(columns: ColumnStore) -> None:
    assert await columns.recall("acme", "products", ALL) == RememberedColumns((), None)


async def test_new_names_come_after_those_known_and_the_last_ones_are_the_requests_own(columns: ColumnStore) -> None:
    await columns.remember("acme", "products", ALL, ["id", "sku", "name"], extends_order=True)
    await columns.remember("acme", "products", SOME, ["id", "colour", "sku"], extends_order=True)
    order = ("id", "sku", "name", "colour")
    assert await columns.recall("acme", "products", ALL) == RememberedColumns(order, ("id", "sku", "name"))
    assert await columns.recall("acme", "products", SOME) == RememberedColumns(order, ("id", "colour", "sku"))


async def test_a_request_that_names_its_fields_adds_nothing_to_the_order(columns: ColumnStore) -> None:
    key = request_key({}, ["sku"], ())
    await columns.remember("acme", "products", key, ["sku"], extends_order=False)
    assert await columns.recall("acme", "products", key) == RememberedColumns((), ("sku",))


async def test_tenants_and_collections_are_kept_apart(columns: ColumnStore) -> None:
    await columns.remember("acme", "products", ALL, ["id"], extends_order=True)
    assert await columns.recall("acme", "suppliers", ALL) == RememberedColumns()
    assert await columns.recall("other", "products", ALL) == RememberedColumns()


async def test_names_are_text_whatever_they_look_like(columns: ColumnStore) -> None:
    names = ["$name", "$$ROOT", "a\\.b", "", "名前", "a\0b"]
    await columns.remember("acme", "products", ALL, names, extends_order=True)
    assert await columns.recall("acme", "products", ALL) == RememberedColumns(tuple(names), tuple(names))


async def test_names_beyond_what_a_document_holds_are_not_kept(columns: ColumnStore) -> None:
    await columns.remember("acme", "products", ALL, ["id"], extends_order=True)
    long = [f"{n}{'x' * 1_000}" for n in range(30_000)]
    await columns.remember("acme", "products", ALL, long, extends_order=True)
    memory = await columns.recall("acme", "products", ALL)
    assert memory.last is not None and 3_000 < len(memory.last) < 5_000
    assert memory.order[0] == "id"
    short = [f"n{n}" for n in range(MAX_NAMES + 10)]
    await columns.remember("acme", "suppliers", ALL, short, extends_order=True)
    assert (await columns.recall("acme", "suppliers", ALL)).last == tuple(short[:MAX_NAMES])


async def test_many_at_once_do_no_harm_to_each_other(columns: ColumnStore) -> None:
    names = [f"n{n}" for n in range(20)]
    await asyncio.gather(
        *(columns.remember("acme", "products", ALL, ["id", name], extends_order=True) for name in names)
    )
    for name in names:
        await columns.remember("acme", "products", ALL, ["id", name], extends_order=True)
    memory = await columns.recall("acme", "products", ALL)
    assert memory.order[0] == "id"
    assert sorted(memory.order) == sorted(["id", *names])
