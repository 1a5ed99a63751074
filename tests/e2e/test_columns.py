"""The columns of a request over REST: the file a receiver asked for, what is refused, and the report on single rows."""

import csv
import io
import json
import re
from typing import Any

import openpyxl
import pytest

from tests.problems import problem
from tests.rest import Rest
from tests.system import ROOT, System

TENANT = "columns"
PRODUCTS: list[dict[str, Any]] = [
    {
        "_id": "p1",
        "sku": "A-1",
        "name": {"fr_FR": "Chaise d'été", "en_US": "Summer chair"},
        "brand": "Ünal",
        "price": 1234.5,
        "tags": ["bois", "blanc"],
        "active": True,
        "text": "<p>Solide &amp; légère.</p><p>Pliable.</p>",
        "variants": [{"size": "S", "stock": 1}, {"size": "M", "stock": 2}],
    },
    {"_id": "p2", "sku": "A-2", "name": {"en_US": "Table"}, "brand": "Ünal", "price": 80, "active": False},
    {"_id": "p3", "name": {"en_US": "No number"}, "brand": "Other", "price": 5},
]
COLUMNS: list[Any] = [
    {"header": "Référence", "field": "sku", "if_missing": "skip_row"},
    {"header": "Titre", "template": "{brand} – {name.fr_FR}", "max_length": 14},
    {"header": "Nom", "field": "name.fr_FR", "fallback": ["name.en_US"], "case": "upper"},
    {"header": "Prix", "field": "price", "number": {"decimals": 2, "decimal_mark": ",", "suffix": " EUR"}},
    {"header": "Actif", "field": "active", "bool": ["oui", "non"]},
    {"header": "Texte", "field": "text", "strip_html": True},
    {"header": "Mots", "field": "tags", "join": ", "},
    {"header": "État", "value": "neuf"},
    "price",
]
ROWS = [
    ["Référence", "Titre", "Nom", "Prix", "Actif", "Texte", "Mots", "État", "price"],
    [
        *("A-1", "Ünal – Chaise", "CHAISE D'ÉTÉ", "1234,50 EUR", "oui"),
        *("Solide & légère. Pliable.", "bois, blanc", "neuf", "1234.5"),
    ],
    ["A-2", "Ünal – ", "TABLE", "80,00 EUR", "non", "", "", "neuf", "80"],
]


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    system.fill(TENANT, PRODUCTS)
    return system.client(TENANT)


def exported(client: Rest, form: str, options: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A completed job and its file."""
    made = client.export(form, {"platform_ids": [], **options})
    assert made.status == 202, made.body
    job = client.ended(made.json["id"])
    assert job["status"] == "completed", job.get("error")
    return job, client.call("GET", f"/exports/jobs/{job['id']}/download").body


def test_a_csv_file_has_the_columns_asked_for(client: Rest) -> None:
    job, body = exported(client, "csv", {"columns": COLUMNS})
    assert list(csv.reader(io.StringIO(body.decode("utf-8-sig")))) == ROWS
    assert job["records"] == {"products": 2}
    assert [warning["code"] for warning in job["warnings"]] == ["rows_skipped", "text_shortened"]
    report = client.call("GET", f"/exports/jobs/{job['id']}/report")
    assert report.json == {
        "rows": [
            {"row_id": "p1", "column": "Titre", "reason": "cut_text"},
            {"row_id": "p3", "column": "Référence", "reason": "skipped_row"},
        ],
        "counts": [
            {"column": "Titre", "reason": "cut_text", "rows": 1},
            {"column": "Référence", "reason": "skipped_row", "rows": 1},
        ],
    }
    as_csv = client.call("GET", f"/exports/jobs/{job['id']}/report?format=csv")
    assert as_csv.body.decode() == "row_id,column,reason,rule\r\np1,Titre,cut_text,\r\np3,Référence,skipped_row,\r\n"


def test_json_objects_are_flat_and_keep_the_types_of_values(client: Rest) -> None:
    _, body = exported(client, "json", {"columns": COLUMNS, "json_lines": True})
    rows = [json.loads(line) for line in body.splitlines()]
    assert [list(row) for row in rows] == [ROWS[0]] * 2
    assert rows[0] | {"price": 1234.5} == dict(zip(ROWS[0], [*ROWS[1][:-1], 1234.5], strict=True))
    assert (rows[1]["Texte"], rows[1]["price"]) == (None, 80)


def test_a_workbook_has_the_columns_asked_for(client: Rest) -> None:
    _, body = exported(client, "excel", {"columns": COLUMNS})
    sheet = openpyxl.load_workbook(io.BytesIO(body)).worksheets[0]
    rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert rows == [
        ROWS[0],
        [*ROWS[1][:-1], 1234.5],
        ["A-2", "Ünal – ", "TABLE", "80,00 EUR", "non", None, None, "neuf", 80],
    ]


def test_each_item_of_a_list_becomes_a_row(client: Rest) -> None:
    job, body = exported(
        client, "csv", {"columns": ["id", "variants.size", "variants.stock"], "explode": "variants", "utf8_bom": False}
    )
    assert body.decode() == "id,variants.size,variants.stock\r\np1,S,1\r\np1,M,2\r\np2,,\r\np3,,\r\n"
    assert job["records"] == {"products": 4}


def test_a_limit_counts_products_in_the_requested_order(client: Rest) -> None:
    options = {"columns": ["sku"], "order_by": ["-price"], "limit": 2, "utf8_bom": False}
    job, body = exported(client, "csv", options)
    assert body.decode() == "sku\r\nA-1\r\nA-2\r\n"
    assert job["warnings"] == []


def test_an_order_without_an_index_is_told_where_it_takes_time(system: System) -> None:
    system.fill("sorted", [{"_id": n, "price": -n} for n in range(10_001)])
    client = system.client("sorted")
    job, _ = exported(client, "csv", {"order_by": ["price"]})
    assert [warning["code"] for warning in job["warnings"]] == ["sorted_without_index"]
    job, _ = exported(client, "csv", {"order_by": ["id"]})
    assert job["warnings"] == []


def test_locales_are_reduced_to_those_asked_for(client: Rest) -> None:
    one = {"include_fields": ["id", "name"], "locales": ["fr_FR"], "locale_fallback": {"fr_FR": ["en_US"]}}
    _, body = exported(client, "csv", {**one, "utf8_bom": False})
    assert body.decode() == "id,name\r\np1,Chaise d'été\r\np2,Table\r\np3,No number\r\n"
    _, body = exported(client, "json", {**one, "json_lines": True, "limit": 2})
    assert [json.loads(line) for line in body.splitlines()] == [
        {"id": "p1", "name": "Chaise d'été"},
        {"id": "p2", "name": "Table"},
    ]
    columns = {"columns": ["id", {"header": "Nom", "field": "name"}], "locales": ["fr_FR"]}
    _, body = exported(client, "csv", {**columns, "utf8_bom": False})
    assert body.decode() == "id,Nom\r\np1,Chaise d'été\r\np2,\r\np3,\r\n"
    for _ in range(2):  # the second export remembers the widths of the first
        _, body = exported(client, "excel", {"locales": ["fr_FR", "en_US"], "include_fields": ["name"]})
        sheet = openpyxl.load_workbook(io.BytesIO(body)).worksheets[0]
        assert [cell.value for cell in sheet[1]] == ["name.fr_FR", "name.en_US"]
    fields = {one["name"]: one for one in client.call("GET", "/catalogue/fields").json["items"]}
    assert fields["name.fr_FR"]["keyed_by"] == "locale"
    assert "keyed_by" not in fields["sku"]


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"locales": ["french"]}, "locales[0]", "is not a locale"),
        ({"currencies": ["EURO"]}, "currencies[0]", "at most 3"),
        ({"currencies": ["XYZ"]}, "currencies[0]", "is not a currency"),
        ({"locales": ["fr"], "locale_fallback": {"de": ["fr"]}}, "body", "not among locales"),
        ({"explode": "variantes"}, "explode", "did you mean variants"),
        ({"limit": 0}, "limit", "greater than or equal to 1"),
    ],
)
def test_other_options_are_checked(client: Rest, options: dict[str, Any], field: str, message: str) -> None:
    code = "unknown_field" if "did you mean" in message else "invalid_request"
    problem(client.export("csv", options), 422, code, field, words=message)


def test_the_example_of_the_documentation_works(client: Rest) -> None:
    [example] = re.findall(r"```json\n(.*?)```", (ROOT / "docs/columns.md").read_text(), re.DOTALL)
    options = json.loads(example)
    client.export("csv", {"include_fields": ["sku"]})
    found = client.export("csv", options).json["errors"]
    # The other fields are in the catalogue of this test, too.
    assert {error["field"] for error in found} == {"columns[1].template", "columns[3].field"}


def test_an_export_fails_where_a_value_is_required(client: Rest) -> None:
    columns = [{"header": "sku", "field": "sku", "if_missing": "fail"}]
    job = client.ended(client.export("csv", {"columns": columns, "platform_ids": []}).json["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "missing_value")
    assert "'p3'" in job["error"]["message"] and "'sku'" in job["error"]["message"]
    problem(client.call("GET", f"/exports/jobs/{job['id']}/report"), 409, "job_not_completed")


@pytest.mark.parametrize(
    ("columns", "field", "message"),
    [
        ([{"header": "a", "template": "{brand"}], "columns[0].template", "braces"),
        (
            ["sku", {"header": "b", "field": "pirce"}],
            "columns[1].field",
            "no product has the field 'pirce'; did you mean price",
        ),
        ([{"header": "b", "template": "{brand} {nmae}"}], "columns[0].template", "no product has the field 'nmae'"),
        ([{"header": "b", "first_of": ["sku", "skuu"]}], "columns[0].first_of[1]", "no product has the field 'skuu'"),
        ([{"header": "a", "field": "sku", "date": {"format": "%Q"}}], "columns[0].date.format", "%Q"),
        (
            [{"header": "a", "field": "sku", "date": {"format": "%Y", "timezone": "Mars"}}],
            "columns[0].date.timezone",
            "zone",
        ),
        ([{"header": "a", "field": "sku", "value": 1}], "columns[0]", "exactly one of"),
        ([{"header": "a", "value": [1]}], "columns[0].value", "a number"),
        ([{"header": "a", "field": "sku", "uppercase": True}], "columns[0].uppercase", "not an option"),
        (["sku", "sku"], "body", "more than once"),
        ([], "body", "at least one"),
        ([7], "columns[0]", "JSON object"),
    ],
)
def test_what_is_wrong_with_columns_is_said_where_it_is(
    client: Rest, columns: list[Any], field: str, message: str
) -> None:
    answer = client.export("csv", {"columns": columns})
    code = "unknown_field" if "no product has" in message else "invalid_request"
    found = problem(answer, 422, code, field, words=message)
    assert len(found["errors"]) == 1, found
