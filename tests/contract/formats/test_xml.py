"""The exact layout of XML files, and what is refused; their content is tested in test_values_in_files."""

import re
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64
from hypothesis import given
from lxml import etree

from services.chassis.faults import BadRequest
from services.exporter.catalogue.columns import Selection
from services.exporter.formats import formats
from services.exporter.formats.contract import Sheet
from services.exporter.requests.request import check_request
from services.exporter.transcode import Tally
from services.exporter.transcode.elements import element_name
from tests.contract.bson_documents import KEYS
from tests.contract.formats.readers import plain_name

pytestmark = pytest.mark.usefixtures("every_transcoder")

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def written(document: dict[str, Any], options: dict[str, Any], selection: Selection | None = None) -> str:
    """The line of a document, as it is written again when its keys are known."""
    form = formats()["xml"]
    raw = bson.encode(document)
    sheet = Sheet("products", (), selection or Selection(), iter([raw, raw]))
    file = b"".join(form.encode([sheet], form.Options.model_validate(options), Tally())).decode()
    etree.fromstring(file.encode())
    _, _, first, again, _, _ = file.split("\n")
    assert first == again
    return first


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("empty_batches", [False, True])
def test_a_file_is_a_root_with_a_line_per_product(count: int, empty_batches: bool) -> None:
    batches = [bson.encode({"_id": n, "a": None}) for n in range(count)]
    if empty_batches:
        batches = [b"", *(piece for batch in batches for piece in (batch, b""))]
    form = formats()["xml"]
    sheet = Sheet("products", (), Selection(), iter(batches))
    rows = "".join(f"<product><id>{n}</id><a/></product>\n" for n in range(count))
    file = b"".join(form.encode([sheet], form.Options(), Tally())).decode()
    assert file == f"{HEAD}<products>\n{rows}</products>\n"


PRODUCT = {
    "_id": 1,
    "name": 'a<b> & "c"\t\r\n\x01\ufffe',
    "price": Decimal128("12.10"),
    "stock": Int64(5),
    "tags": ["x", None, ["y", {"z": 1, "deep": [1]}], {"k": True}],
    "empty": {},
    "none": [],
    "no": None,
    "blank": "",
    "attributes": {"color": "red", "sizes": {"eu": 1.5}},
}


def test_values_as_elements() -> None:
    flat = {**PRODUCT, "name": 'a<b> & "c"\t\r\x01\ufffe'}
    assert written(flat, {}) == (
        '<product><id>1</id><name>a&lt;b&gt; &amp; "c"\t&#13;\ufffd\ufffd</name><price>12.10</price><stock>5</stock>'
        "<tags><item>x</item><item/><item><item>y</item><item><z>1</z><deep><item>1</item></deep></item></item>"
        "<item><k>true</k></item></tags>"
        "<empty/><none/><no/><blank/><attributes><color>red</color><sizes><eu>1.5</eu></sizes></attributes></product>"
    )


def test_values_as_attributes() -> None:
    assert written(PRODUCT, {"style": "attributes"}) == (
        '<product id="1" name="a&lt;b&gt; &amp; &quot;c&quot;&#9;&#13;&#10;\ufffd\ufffd" price="12.10" stock="5" no=""'
        ' blank=""><tags><item>x</item><item/><item><item>y</item><item z="1"><deep><item>1</item></deep></item></item>'
        '<item k="true"/></tags><empty/><none/><attributes color="red"><sizes eu="1.5"/></attributes></product>'
    )


def test_selected_fields_have_the_requested_order_in_both_styles() -> None:
    chosen = Selection(("tags", "attributes.sizes", "name2", "id", "attributes.color"))
    product = {**PRODUCT, "tags": [1]}
    assert written(product, {}, chosen) == (
        "<product><tags><item>1</item></tags><attributes><sizes><eu>1.5</eu></sizes><color>red</color></attributes>"
        "<id>1</id></product>"
    )
    assert written(product, {"style": "attributes"}, chosen) == (
        '<product id="1"><tags><item>1</item></tags><attributes color="red"><sizes eu="1.5"/></attributes></product>'
    )


def test_objects_that_exclusion_empties_are_not_written() -> None:
    without = Selection(None, ("attributes.color", "attributes.sizes.eu", "tags", "name"))
    assert "attributes" not in written(PRODUCT, {}, without)
    assert "attributes" not in written(PRODUCT, {"style": "attributes"}, without)
    assert "<empty/>" in written(PRODUCT, {}, without)


@pytest.mark.parametrize("style", ["elements", "attributes"])
def test_text_of_chosen_fields_is_in_cdata_sections(style: str) -> None:
    product = {"d": "<b>]]>\r\x01</b>", "o": {"p": "x", "q": ["y", {"r": "]]"}], "n": 1, "e": ""}, "p": "z"}
    line = written({"_id": 1, **product}, {"cdata": ["d", "o"], "style": style})
    assert "<d><![CDATA[<b>]]]]><![CDATA[>]]>&#13;<![CDATA[\ufffd</b>]]></d>" in line
    assert "<p><![CDATA[x]]></p><q><item><![CDATA[y]]></item><item><r><![CDATA[]]]]></r></item></q><n>1</n><e/>" in line
    assert ("<p>z</p>" if style == "elements" else ' p="z"') in line
    assert etree.fromstring(line).findtext("d") == "<b>]]>\r\ufffd</b>"


def test_namespaces_are_declared_and_their_prefixes_kept() -> None:
    form = formats()["xml"]
    options = form.Options.model_validate(
        {
            "root": "g:feed",
            "row": "g:item",
            "namespaces": {"g": "http://base.google.com/ns/1.0", "": "urn:x"},
        }
    )
    batch = bson.encode({"_id": 1, "g:price": "5", "h:price": "6", "g:": 7, ":g": 8, "xmlns": 9, "g:a:b": 10})
    file = b"".join(form.encode([Sheet("products", (), Selection(), iter([batch]))], options, Tally()))
    assert file.decode() == (
        f'{HEAD}<g:feed xmlns:g="http://base.google.com/ns/1.0" xmlns="urn:x">\n'
        "<g:item><id>1</id><g:price>5</g:price><h_x003A_price>6</h_x003A_price><g_x003A_>7</g_x003A_>"
        "<_x003A_g>8</_x003A_g><_x0078_mlns>9</_x0078_mlns><g:a_x003A_b>10</g:a_x003A_b></g:item>\n</g:feed>\n"
    )
    [item] = etree.fromstring(file)
    assert item.find("{http://base.google.com/ns/1.0}price").text == "5"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("Größe", "Größe"),
        ("a-b.c_d1", "a-b.c_d1"),
        ("1a", "_x0031_a"),
        ("x y", "x_x0020_y"),
        ("", "_x_"),
        ("_x_", "_x005F_x_"),
        ("_x0041_", "_x005F_x0041_"),
        ("_x0041_x0042_", "_x005F_x0041_x005F_x0042_"),
        ("_x0041 ", "_x005F_x0041_x0020_"),
        ("size_xl", "size_xl"),
        ("XML", "_x0058_ML"),
        ("\U0001f389", "_x0001F389_"),
    ],
)
def test_keys_that_are_not_names_are_escaped(key: str, name: str) -> None:
    assert element_name(key) == name
    assert plain_name(name) == key


@given(key=KEYS)
def test_an_escaped_name_is_valid_and_stands_for_one_key(key: str) -> None:
    name = element_name(key)
    assert etree.fromstring(f"<{name}/>").tag == name
    assert plain_name(name) == key
    assert not re.match("(?i)xml", name)


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ('{"root": "a b"}', "root", "name of an XML element"),
        ('{"row": "1"}', "row", "name of an XML element"),
        ('{"row": "xmlrow"}', "row", "name of an XML element"),
        ('{"row": "g:item"}', "row", "does not declare"),
        ('{"row": ":item", "namespaces": {"": "urn:x"}}', "row", "name of an XML element"),
        ('{"root": ""}', "root", ""),
        ('{"namespaces": {"xmlns": "urn:x"}}', "namespaces", "reserved"),
        ('{"namespaces": {"a": "urn:x", "b": "urn:x"}}', "namespaces", "more than once"),
        ('{"namespaces": {"a": "http://www.w3.org/2000/xmlns/"}}', "namespaces", "reserves"),
        ('{"namespaces": {"a": ""}}', "namespaces.a", ""),
        ('{"namespaces": {"a": "no uri"}}', "namespaces.a", ""),
        ('{"style": "both"}', "style", ""),
        ('{"cdata": []}', "cdata", ""),
    ],
)
def test_options_that_would_not_be_well_formed_are_refused(options: str, field: str, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_request(formats(), "xml", options)
    [violation] = refused.value.violations
    assert violation.field.startswith(field)
    assert words in violation.message
