"""What a client can ask before its first export: formats, types of platforms, fields of the catalogue, who it is."""

import pytest
from jsonschema import Draft202012Validator

from tests.problems import problem
from tests.rest import Rest
from tests.system import System

PRODUCTS = [
    {"_id": str(n), "sku": f"A{n}", "price": 1.5 if n % 2 else None, "name": {"fr": "Sac"}, "tags": ["a", "b"]}
    for n in range(10)
]


@pytest.fixture(scope="module")
def client(system: System) -> Rest:
    system.fill("discovery", PRODUCTS)
    return system.client("discovery")


def test_the_options_of_every_format_are_a_valid_schema(client: Rest) -> None:
    formats = {one["name"]: one for one in client.call("GET", "/formats").json["items"]}
    assert {"csv", "json", "excel", "zip", "xml", "parquet"} <= set(formats)
    assert (formats["csv"]["media_type"], formats["csv"]["extension"]) == (
        "text/csv; charset=utf-8; header=present",
        ".csv",
    )
    for form in formats.values():
        Draft202012Validator.check_schema(form["options_schema"])
    options = Draft202012Validator(formats["csv"]["options_schema"])
    assert options.is_valid({"delimiter": ";"})
    assert not options.is_valid({"delimeter": ";"})


def test_the_configuration_of_every_type_of_platform_is_a_valid_schema(client: Rest) -> None:
    types = {one["name"]: one["config_schema"] for one in client.call("GET", "/platform-types").json["items"]}
    assert {"s3", "minio", "sftp", "ftp", "gdrive"} <= set(types)
    for schema in types.values():
        Draft202012Validator.check_schema(schema)
    assert "host" in types["sftp"]["required"]


def test_the_fields_of_the_catalogue_come_with_types_and_an_example(client: Rest) -> None:
    found = client.call("GET", "/catalogue/fields").json
    assert (found["collection"], found["sampled_documents"], found["total_documents"]) == ("products", 10, 10)
    fields = {one["name"]: one for one in found["items"]}
    assert list(fields) == ["id", "sku", "price", "name.fr", "tags"]
    assert fields["price"] == {"name": "price", "types": ["double", "null"], "filled": 0.5, "example": "1.5"}
    assert fields["name.fr"]["types"] == ["string"]
    assert fields["tags"]["types"] == ["array"]
    exported = client.file("csv", {"utf8_bom": False})[1].decode().splitlines()[0]
    assert exported.split(",") == list(fields)
    assert client.call("GET", "/catalogue/fields?collection=suppliers").json["items"] == []
    problem(client.call("GET", "/catalogue/fields?collection=jobs"), 422, "invalid_request", "collection")


def test_a_client_learns_who_it_is(system: System) -> None:
    secret = system.key("discovery", "exports:read,webhooks:read")
    me = Rest(system.url, secret).call("GET", "/me").json
    assert (me["tenant"], me["key_id"], me["key_name"]) == ("discovery", secret.split("_")[1], "tests")
    assert me["scopes"] == ["exports:read", "webhooks:read"]
    assert me["limits"]["jobs"]["limit"] > 0
    assert secret.split("_", 2)[2] not in str(me)  # the secret itself may have underscores
