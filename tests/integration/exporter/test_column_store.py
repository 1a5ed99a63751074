"""Columns are remembered between exports; errors in this cost a second pass and nothing else."""

import asyncio

import pytest

from services.chassis.mongo import Database
from services.exporter.catalogue.column_store import MAX_NAMES, ColumnStore, RememberedColumns, request_key

ALL = request_key({}, None, ())
SOME = request_key({"price": {"gt": 1}}, None, ())


@pytest.fixture
def columns(database: Database) -> ColumnStore:
    return ColumnStore(database)


async def test_widths_are_stored_with_the_names_and_removed_if_new_names_come_without_widths(
    columns: ColumnStore,
) -> None:
    await columns.remember("acme", "products", ALL, ["id", "a.b"], {"a.b": 12, "id": 8}, order=["id", "a.b"])
    assert await columns.recall("acme", "products", ALL) == RememberedColumns(
        ("id", "a.b"), ("id", "a.b"), {"id": 8, "a.b": 12}
    )
    await columns.remember("acme", "products", ALL, ["id"], order=["id"])
    assert (await columns.recall("acme", "products", ALL)).widths == {}


async def test_widths_and_types_are_kept_while_the_columns_are_the_same(columns: ColumnStore) -> None:
    names = ["id", "$a"]
    await columns.remember("acme", "products", ALL, names, {"$a": 12, "id": 8}, order=names)
    await columns.remember("acme", "products", ALL, names, types={"$a": "text", "id": "int64"}, order=names)
    await columns.remember("acme", "products", ALL, names, order=names)
    found = await columns.recall("acme", "products", ALL)
    assert (found.widths, found.types) == ({"id": 8, "$a": 12}, {"id": "int64", "$a": "text"})
    await columns.remember("acme", "products", ALL, ["id"], order=["id"])
    found = await columns.recall("acme", "products", ALL)
    assert (found.widths, found.types) == ({}, {})


async def test_at_first_nothing_is_remembered(columns: ColumnStore) -> None:
    assert await columns.recall("acme", "products", ALL) == RememberedColumns((), None)


async def test_new_names_follow_the_known_ones_and_each_request_has_its_own_last_names(columns: ColumnStore) -> None:
    await columns.remember("acme", "products", ALL, ["id", "sku", "name"], order=["id", "sku", "name"])
    await columns.remember("acme", "products", SOME, ["id", "colour", "sku"], order=["id", "colour", "sku"])
    order = ("id", "sku", "name", "colour")
    assert await columns.recall("acme", "products", ALL) == RememberedColumns(order, ("id", "sku", "name"))
    assert await columns.recall("acme", "products", SOME) == RememberedColumns(order, ("id", "colour", "sku"))


async def test_a_request_with_included_fields_does_not_extend_the_order(columns: ColumnStore) -> None:
    key = request_key({}, ["sku"], ())
    await columns.remember("acme", "products", key, ["sku"], order=[])
    assert await columns.recall("acme", "products", key) == RememberedColumns((), ("sku",))


async def test_tenants_and_collections_are_separate(columns: ColumnStore) -> None:
    await columns.remember("acme", "products", ALL, ["id"], order=["id"])
    assert await columns.recall("acme", "suppliers", ALL) == RememberedColumns()
    assert await columns.recall("other", "products", ALL) == RememberedColumns()


async def test_names_are_stored_as_text_even_if_they_look_like_expressions(columns: ColumnStore) -> None:
    names = ["$name", "$$ROOT", "a\\.b", "", "名前", "a\0b"]
    await columns.remember("acme", "products", ALL, names, order=names)
    assert await columns.recall("acme", "products", ALL) == RememberedColumns(tuple(names), tuple(names))


async def test_names_that_do_not_fit_into_a_document_are_dropped(columns: ColumnStore) -> None:
    await columns.remember("acme", "products", ALL, ["id"], order=["id"])
    long = [f"{n}{'x' * 1_000}" for n in range(30_000)]
    await columns.remember("acme", "products", ALL, long, order=long)
    memory = await columns.recall("acme", "products", ALL)
    assert memory.last is not None and 3_000 < len(memory.last) < 5_000
    assert memory.order[0] == "id"
    short = [f"n{n}" for n in range(MAX_NAMES + 10)]
    await columns.remember("acme", "suppliers", ALL, short, order=short)
    assert (await columns.recall("acme", "suppliers", ALL)).last == tuple(short[:MAX_NAMES])


async def test_concurrent_updates_do_not_conflict(columns: ColumnStore) -> None:
    names = [f"n{n}" for n in range(20)]
    await asyncio.gather(
        *(columns.remember("acme", "products", ALL, ["id", name], order=["id", name]) for name in names)
    )
    for name in names:
        await columns.remember("acme", "products", ALL, ["id", name], order=["id", name])
    memory = await columns.recall("acme", "products", ALL)
    assert memory.order[0] == "id"
    assert sorted(memory.order) == sorted(["id", *names])
