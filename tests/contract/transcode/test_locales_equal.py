"""Objects of locales and currencies are reduced to the wanted ones, in the same way by both implementations."""

from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.exporter.catalogue.codes import keyed_by
from services.exporter.transcode import locales
from services.exporter.transcode.locales import reductions_of
from services.exporter.transcode.values import documents
from tests.contract.transcode.raw_documents import BATCHES, damaged

compiled = pytest.importorskip("services.exporter.transcode.compiled", reason="the transcoders are not compiled here")

CODES = st.sampled_from(
    ["fr_FR", "fr", "en_US", "en", "de-DE", "zh_Hant_TW", "id", "es_419", "EUR", "USD", "xx_XX", "a"]
)
LEAVES = st.one_of(st.none(), st.text(max_size=3), st.integers(-5, 5), st.booleans())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.dictionaries(CODES, inner, max_size=4), st.lists(inner, max_size=3)),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from(["_id", "name", "price", "a", "fr_FR"]), VALUES, max_size=5)
LOCALES = st.sampled_from(["fr_FR", "fr", "en_US", "de-DE", "id"])


def reduced(document: dict[str, Any], *wanted: str, currencies: tuple[str, ...] = (), **fallback: list[str]) -> Any:
    reducer = locales.Reducer(reductions_of(wanted, fallback, currencies))
    [found] = documents(reducer.reduce(bson.encode(document)))
    return found


def test_the_only_locale_takes_the_place_of_the_object() -> None:
    names = {"name": {"fr_FR": "Chaise", "en_US": "Chair"}, "price": {"EUR": 5, "USD": 6}, "sku": "A"}
    assert reduced(names, "fr_FR") == {"name": "Chaise", "price": {"EUR": 5, "USD": 6}, "sku": "A"}
    assert reduced(names, "de_DE") == {"name": None, "price": {"EUR": 5, "USD": 6}, "sku": "A"}
    assert reduced(names, "de_DE", de_DE=["it_IT", "en_US"])["name"] == "Chair"
    assert reduced(names, currencies=("USD",)) == {**names, "price": 6}


def test_several_locales_keep_the_object_with_those() -> None:
    names = {"name": {"fr_FR": "", "en_US": "Chair", "it_IT": None}}
    assert reduced(names, "en_US", "fr_FR", "it_IT") == {"name": {"en_US": "Chair"}}
    assert reduced(names, "it_IT", "en_US", it_IT=["en_US"]) == {"name": {"it_IT": "Chair", "en_US": "Chair"}}


def test_objects_inside_lists_and_objects_are_reduced_too() -> None:
    stored = {"variants": [{"name": {"fr_FR": "S", "en_US": "s"}}], "a": {"text": {"fr_FR": {"EUR": 1}}}}
    assert reduced(stored, "fr_FR", currencies=("EUR",)) == {"variants": [{"name": "S"}], "a": {"text": 1}}


def test_objects_with_other_keys_stay_as_they_are() -> None:
    stored = {"a": {"id": 7}, "b": {"fr_FR": 1, "note": 2}, "c": {}, "d": {"sku": 1, "ean": 2}}
    assert reduced(stored, "fr_FR", currencies=("EUR",)) == stored
    assert reduced({"a": {"fr": "x", "en": "y"}}, "fr") == {"a": "x"}


def test_what_the_keys_of_an_object_are() -> None:
    assert keyed_by(frozenset({"fr_FR", "en"})) == "locale"
    assert keyed_by(frozenset({"EUR", "USD"})) == "currency"
    assert keyed_by(frozenset({"id", "is"})) == keyed_by(frozenset()) == keyed_by(frozenset({"fr_FR", "x"})) == ""


@st.composite
def reductions(draw: st.DrawFn) -> Any:
    wanted = draw(st.lists(LOCALES, max_size=3, unique=True))
    fallback = draw(st.dictionaries(LOCALES, st.lists(LOCALES, max_size=2), max_size=2))
    return reductions_of(wanted, fallback, draw(st.lists(st.sampled_from(["EUR", "USD"]), max_size=2, unique=True)))


def same(wanted: Any, batch: bytes) -> None:
    assert compiled.Reducer(wanted).reduce(batch) == locales.Reducer(wanted).reduce(batch)


@given(stored=st.lists(DOCUMENTS, max_size=4), wanted=reductions())
def test_both_implementations_write_the_same_documents(stored: list[dict[str, Any]], wanted: Any) -> None:
    same(wanted, b"".join(map(bson.encode, stored)))


@given(batches=BATCHES, wanted=reductions())
def test_documents_without_codes_are_copied(batches: list[bytes], wanted: Any) -> None:
    for batch in batches:
        same(wanted, batch)
        assert compiled.Reducer(()).reduce(batch) == batch


@given(batches=damaged(), wanted=reductions())
def test_damaged_documents_stay_as_they_are(batches: tuple[bytes, bytes], wanted: Any) -> None:
    for batch in batches:
        same(wanted, batch)
