"""Feed templates over REST: the feeds that receivers are given, what is refused before, and the report on rows."""

import csv
import io
import json
import os
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from lxml import etree

from deploy.local.demo.products.catalogue import made
from tests.problems import problem
from tests.rest import Rest
from tests.system import System

CATALOGUE = os.environ.get("CATALOGUE_JSON_LINES")
"""A file of products as docs/loading.md describes them, to try the feeds on another catalogue."""
G = "{http://base.google.com/ns/1.0}"
SHOP = "https://shop.example.com"
CHANNEL = {"title": "Boutique d'été & cie", "link": SHOP, "description": "Tous les <produits>"}
LANGUAGE = {"locales": ["fr_FR"], "locale_fallback": {"fr_FR": ["en_GB"]}, "currencies": ["EUR"]}
COLUMNS: list[Any] = [
    {"header": "id", "field": "sku"},
    {"header": "title", "field": "name", "max_length": 150},
    {"header": "description", "field": "description.web", "strip_html": True, "max_length": 5000},
    {"header": "link", "template": SHOP + "/{url_key}", "if_missing": "empty"},
    {"header": "image_link", "template": SHOP + "/media/{sku}.jpg"},
    {"header": "availability", "field": "is_active", "bool": ["in_stock", "out_of_stock"]},
    {"header": "price", "field": "price", "number": {"decimals": 2, "suffix": " EUR"}},
    {"header": "gtin", "field": "ean"},
    {"header": "color", "field": "attributes.color"},
    {"header": "condition", "value": "new"},
]
HEADERS = [column["header"] for column in COLUMNS]


def demo_products() -> list[dict[str, Any]]:
    """The demo's products, some of them without French texts, an address or a correct GTIN."""
    products = made(600, 1).products
    for number, product in enumerate(products):
        product["url_key"] = "" if number % 7 == 0 else f"p/{number}"
        if number % 5 == 0:
            del product["name"]["fr_FR"]
            product["description"].pop("fr_FR", None)
        if number % 11 == 0:
            product["ean"] = "4006381333932"
    return products


def file_products() -> list[dict[str, Any]]:
    """The products of the file."""
    assert CATALOGUE is not None
    lines = Path(CATALOGUE).read_text().splitlines()
    return [{"_id": at, **json.loads(line)} for at, line in enumerate(lines)]


# Everything below is computed from the documents, without the code of the service.


def in_french(value: Any) -> Any:
    """The French text of an object of languages, or else the English one."""
    if isinstance(value, dict) and {"fr_FR", "en_GB", "de_DE"} & set(value):
        return value.get("fr_FR") or value.get("en_GB")
    return value


def text_of(html: str) -> str:
    """The text of HTML in one line, as lxml finds it."""
    # Browsers take `</br>` for a line break, lxml does not.
    root = lxml.html.fragment_fromstring(html.replace("</br>", "<br>"), create_parent=True)
    for element in root.iter("p", "li", "ul", "br", "div"):
        element.text = f" {element.text or ''}"
        element.tail = f" {element.tail or ''}"
    return " ".join(root.text_content().split())


def expected_row(product: dict[str, Any]) -> list[str]:
    """The cells of a product."""
    description = in_french(product.get("description")) or ""
    description = description.get("web", "") if isinstance(description, dict) else description
    price = (
        product["price"]["EUR"].to_decimal() if isinstance(product["price"], dict) else Decimal(str(product["price"]))
    )
    color = product.get("attributes", {}).get("color") or ""
    return [
        product["sku"],
        in_french(product["name"]),
        text_of(description) if description else "",
        f"{SHOP}/{product['url_key']}" if product.get("url_key") else "",
        f"{SHOP}/media/{product['sku']}.jpg",
        "in_stock" if product["is_active"] else "out_of_stock",
        f"{price:.2f} EUR",
        product.get("ean", ""),
        color,
        "new",
    ]


def expected_findings(rows: list[list[str]]) -> Counter[tuple[str, str]]:
    """What Google refuses of these rows, by column and reason."""
    found: Counter[tuple[str, str]] = Counter()
    for row in rows:
        cells = dict(zip(HEADERS, row, strict=True))
        found.update((name, "missing_value") for name in HEADERS[:7] if not cells[name])
        weights = [int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(reversed(cells["gtin"]))]
        if cells["gtin"] and (sum(weights) % 10 or re.match("2|0[245]|98[1-4]|99", cells["gtin"])):
            found["gtin", "invalid_gtin"] += 1
    return found


def exported(client: Rest, form: str, options: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A completed job and its file."""
    made_job = client.export(form, {"platform_ids": [], "template": "google_merchant", **LANGUAGE, **options})
    assert made_job.status == 202, made_job.body
    job = client.ended(made_job.json["id"])
    assert job["status"] == "completed", job.get("error")
    return job, client.call("GET", f"/exports/jobs/{job['id']}/download").body


def rows_of_rss(body: bytes) -> list[list[str]]:
    """The items of a feed."""
    root = etree.fromstring(body)
    assert (root.tag, root.get("version"), [child.tag for child in root]) == ("rss", "2.0", ["channel"])
    [channel] = root
    assert {child.tag: child.text for child in channel[:3]} == CHANNEL
    items = channel[3:]
    assert {item.tag for item in items} == {"item"}
    assert all([cell.tag for cell in item] == [G + name for name in HEADERS] for item in items)
    return [[cell.text or "" for cell in item] for item in items]


@pytest.mark.parametrize(
    "name",
    [
        "demo",
        pytest.param(
            "file", marks=pytest.mark.skipif(CATALOGUE is None, reason="CATALOGUE_JSON_LINES names no catalogue")
        ),
    ],
)
def test_a_french_google_feed_has_the_values_computed_from_the_documents(system: System, name: str) -> None:
    products = demo_products() if name == "demo" else file_products()
    system.fill(f"feed-{name}", products)
    client = system.client(f"feed-{name}")
    columns = list(COLUMNS)
    if name == "file":
        columns[2] = {**columns[2], "field": "description"}
        columns[7] = {"header": "gtin", "value": ""}
    wanted = [expected_row(product) for product in products]

    job, tsv = exported(client, "csv", {"columns": columns})
    assert [*csv.reader(io.StringIO(tsv.decode()), delimiter="\t")] == [HEADERS, *wanted]
    xml_job, rss = exported(client, "xml", {"columns": columns, "channel": CHANNEL})
    assert rows_of_rss(rss) == wanted

    findings = expected_findings(wanted)
    reports = [client.call("GET", f"/exports/jobs/{one['id']}/report").json for one in (job, xml_job)]
    assert reports[0] == reports[1]
    assert {(one["column"], one["reason"]): one["rows"] for one in reports[0]["counts"]} == findings
    assert len(reports[0]["rows"]) == min(100, findings.total())
    assert all(one["rule"] for one in (*reports[0]["rows"], *reports[0]["counts"]))
    assert {one["code"] for one in job["warnings"]} == ({"refused_by_receiver"} if findings else set())


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    products: list[dict[str, Any]] = [
        {"_id": "p1", "sku": "1", "name": "One", "text": "x", "price": 5, "brand": "Acme", "ean": "4006381333931"},
        {"_id": "p2", "sku": "2", "name": "N" * 151, "text": "y", "price": "5,00", "ean": "123"},
        {"_id": "p3", "sku": "3", "name": "Three", "tags": ["a", "b"], "price": -1},
    ]
    system.fill("receiver", products)
    return system.client("receiver")


SMALL: list[Any] = [
    {"header": "id", "field": "sku"},
    {"header": "title", "field": "name"},
    {"header": "description", "first_of": ["text", "tags"]},
    {"header": "link", "template": SHOP + "/{sku}"},
    {"header": "image_link", "template": SHOP + "/{sku}.jpg"},
    {"header": "price", "field": "price", "number": {"decimals": 2, "suffix": " EUR"}},
]
GOOGLE: list[Any] = [*SMALL, {"header": "availability", "value": "in_stock"}, {"header": "gtin", "field": "ean"}]
META: list[Any] = [
    *SMALL,
    {"header": "availability", "value": "in stock"},
    {"header": "condition", "value": "new"},
    {"header": "brand", "field": "brand"},
    {"header": "gtin", "field": "ean"},
]


def test_what_the_receiver_refuses_is_reported_with_its_rule_and_shown_before(client: Rest) -> None:
    options = {"template": "google_merchant", "columns": GOOGLE, "platform_ids": []}
    job = client.ended(client.export("csv", options).json["id"])
    rows = client.call("GET", f"/exports/jobs/{job['id']}/report").json["rows"]
    assert [(one["row_id"], one["column"], one["reason"], one["rule"]) for one in rows] == [
        ("p2", "title", "too_long", "at most 150 characters"),
        (
            *("p2", "price", "invalid_price"),
            "a number with a decimal point, a space and an ISO 4217 currency, as in 15.00 EUR",
        ),
        (
            *("p2", "gtin", "invalid_gtin"),
            "8, 12, 13 or 14 digits with a correct check digit; "
            "not 02, 04, 05, 2, 981, 982, 983, 984, 99 at the beginning",
        ),
        ("p3", "description", "not_text", "a text or a number; write lists with join"),
        (
            *("p3", "price", "invalid_price"),
            "a number with a decimal point, a space and an ISO 4217 currency, as in 15.00 EUR",
        ),
    ]
    as_csv = client.call("GET", f"/exports/jobs/{job['id']}/report?format=csv").body.decode().splitlines()
    assert as_csv[:2] == ["row_id,column,reason,rule", "p2,title,too_long,at most 150 characters"]
    shown = client.call("POST", "/exports/csv/products/preflight", options).json
    assert shown["problems"] == []
    assert shown["warnings"] == job["warnings"]
    assert job["warnings"][0]["message"] == (
        "Values that the receiver of the feed refuses in 'title': 1 (too_long: at most 150 characters)."
    )


def test_a_row_of_a_meta_catalogue_needs_one_of_its_identifiers(client: Rest) -> None:
    options = {"template": "meta_catalogue", "columns": META, "platform_ids": []}
    job = client.ended(client.export("csv", options).json["id"])
    body = client.call("GET", f"/exports/jobs/{job['id']}/download").body.decode()
    assert body.splitlines()[:2] == [
        "id,title,description,link,image_link,price,availability,condition,brand,gtin",
        f"1,One,x,{SHOP}/1,{SHOP}/1.jpg,5.00 EUR,in stock,new,Acme,4006381333931",
    ]
    report = client.call("GET", f"/exports/jobs/{job['id']}/report").json
    found = {(one["row_id"], one["column"], one["reason"]) for one in report["rows"]}
    assert ("p3", "brand", "missing_value") in found
    assert ("p2", "brand", "missing_value") not in found  # it has a gtin, if not a correct one
    assert "every row needs one of: brand, gtin, mpn" not in {one["rule"] for one in report["rows"]}
    assert "every row needs one of: brand, gtin" in {one["rule"] for one in report["rows"]}


def replaced(header: str, **options: Any) -> list[Any]:
    """The columns for Google with other options for one of them."""
    return [{"header": header, **options} if one["header"] == header else one for one in GOOGLE]


@pytest.mark.parametrize(
    ("form", "options", "field", "message"),
    [
        ("csv", {"columns": GOOGLE[1:]}, "columns", "has no column 'id', which google_merchant requires"),
        (
            "csv",
            {"template": "meta_catalogue", "columns": META[:-2]},
            "columns",
            "none of the columns brand, gtin, mpn",
        ),
        ("csv", {"columns": [*GOOGLE, "name"]}, "columns[8].header", "google_merchant has no column 'name'"),
        (
            "csv",
            {"columns": [*GOOGLE, {"header": "colour", "field": "sku"}]},
            "columns[8].header",
            "did you mean color?",
        ),
        ("csv", {"columns": replaced("availability", value="in stock")}, "columns[6].value", "one of: in_stock,"),
        ("csv", {"columns": replaced("title", value="")}, "columns[1].value", "is empty"),
        ("csv", {"columns": replaced("title", value="x" * 151)}, "columns[1].value", "at most 150 characters"),
        ("csv", {"columns": replaced("availability", field="x", map={"a": "yes"})}, "columns[6].map", "'yes'"),
        (
            "csv",
            {"columns": replaced("price", field="price", number={"decimal_mark": ","})},
            "columns[5].number.decimal_mark",
            "point",
        ),
        ("csv", {"columns": GOOGLE, "delimiter": ","}, "delimiter", "must be '\\t'"),
        ("csv", {"columns": GOOGLE, "utf8_bom": True}, "utf8_bom", "must be False"),
        ("csv", {}, "columns", "is required with the template google_merchant"),
        ("csv", {"template": "ebay", "columns": GOOGLE}, "template", "there are google_merchant, meta_catalogue"),
        ("xml", {"template": "meta_catalogue", "columns": META}, "template", "is not for xml; it is for csv"),
        ("xml", {"columns": GOOGLE}, "channel", "is required"),
        ("xml", {"columns": GOOGLE, "channel": CHANNEL, "root": "feed"}, "root", "must be 'rss'"),
        ("xml", {"template": None, "channel": CHANNEL}, "channel", "is only possible with a template"),
        ("json", {"columns": GOOGLE}, "template", "is not an option of this format"),
    ],
)
def test_a_mapping_that_the_receiver_would_refuse_is_refused_with_its_place(
    client: Rest, form: str, options: dict[str, Any], field: str, message: str
) -> None:
    answer = client.export(form, {"template": "google_merchant", **options})
    problem(answer, 422, "invalid_request", field)
    [found] = [one["message"] for one in answer.json["errors"] if one["field"] == field]
    assert message in found


def test_the_templates_are_listed_with_their_columns_and_rules(client: Rest) -> None:
    google, meta = client.call("GET", "/exports/templates").json["items"]
    assert (google["name"], google["formats"], meta["name"], meta["formats"]) == (
        *("google_merchant", ["csv", "xml"]),
        *("meta_catalogue", ["csv"]),
    )
    assert meta["one_of"] == [["brand", "gtin", "mpn"]]
    assert all(source.startswith("https://") for one in (google, meta) for source in one["sources"])
    columns = {column["name"]: column for column in google["columns"]}
    assert [name for name, column in columns.items() if column["required"]] == HEADERS[:7]
    assert columns["title"] == {
        "name": "title",
        "required": True,
        "kind": "text",
        "max_length": 150,
        "rules": [
            {"reason": "not_text", "rule": "a text or a number; write lists with join"},
            {"reason": "missing_value", "rule": "required in every row"},
            {"reason": "too_long", "rule": "at most 150 characters"},
        ],
    }
