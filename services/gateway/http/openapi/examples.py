"""Examples of bodies, which work with the catalogue of the README."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """A body, and what it is for."""

    summary: str
    value: Mapping[str, Any]


PLATFORM_ID = "74b4366b-8ad5-49f1-aaba-3be5f419a5f0"
"""Stands for the id of a platform of the reader's own."""
_ALL = Example("All products, with the default options", {})
_NEW_PLATFORMS = {
    "sftp": Example(
        "A folder of an SFTP server",
        {
            "name": "Shop",
            "platform_type": "sftp",
            "config": {"host": "sftp.example.com", "username": "shop", "password": "secret", "path": "incoming"},
        },
    ),
    "s3": Example(
        "A bucket of AWS",
        {
            "name": "Archive",
            "platform_type": "s3",
            "config": {
                "bucket": "shop-exports",
                "region": "eu-central-1",
                "access_key_id": "AKIAIOSFODNN7EXAMPLE",
                "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            },
        },
    ),
    "minio": Example(
        "A bucket of a MinIO server",
        {
            "name": "Warehouse",
            "platform_type": "minio",
            "config": {
                "endpoint_url": "https://minio.example.com:9000",
                "bucket": "exports",
                "access_key": "exporter",
                "secret_key": "secret-of-the-exporter",
            },
        },
    ),
    "ftp": Example(
        "A folder of an FTP server, with TLS",
        {
            "name": "Marketplace",
            "platform_type": "ftp",
            "config": {"host": "ftp.example.com", "username": "shop", "password": "secret", "path": "feeds"},
        },
    ),
}
BODIES: Mapping[str, Mapping[str, Example]] = {
    "createCsvExport": {
        "filtered": Example(
            "Products that cost 30 or more, for Excel in German",
            {"filters": {"price": {"gte": 30}}, "delimiter": ";", "utf8_bom": True},
        ),
        "columns": Example(
            "A price list with three columns, the most expensive first",
            {"include_fields": ["sku", "ean", "price"], "order_by": ["-price"]},
        ),
        "renamed": Example(
            "Columns for a receiver, with headers of its own",
            {
                "columns": [
                    "sku",
                    {"header": "Titre", "template": "{sku} {attributes.color}", "max_length": 60},
                    {
                        "header": "Prix",
                        "field": "price",
                        "number": {"decimals": 2, "decimal_mark": ",", "suffix": " EUR"},
                    },
                ]
            },
        ),
        "all": _ALL,
    },
    "createJsonExport": {
        "lines": Example("One compact object per line", {"json_lines": True}),
        "filtered": Example(
            "Black products",
            {"filters": {"attributes.color": "Black"}, "exclude_fields": ["tags"], "pretty": False},
        ),
        "all": _ALL,
    },
    "createExcelExport": {
        "filtered": Example("Three products by their numbers", {"filters": {"sku": {"in": ["MH01", "WB04", "UG06"]}}}),
        "plain": Example("Without formatting", {"formatting": False}),
        "all": _ALL,
    },
    "createXmlExport": {
        "template": Example(
            "A feed for Google Merchant Center (RSS 2.0), in French",
            {
                "template": "google_merchant",
                "channel": {
                    "title": "Shop",
                    "link": "https://shop.example.com",
                    "description": "All products",
                },
                "columns": [
                    {"header": "id", "field": "sku"},
                    {"header": "title", "template": "{sku} {attributes.color}", "max_length": 150},
                    {"header": "description", "template": "{sku}", "max_length": 5000},
                    {"header": "link", "template": "https://shop.example.com/{sku}"},
                    {"header": "image_link", "template": "https://shop.example.com/{sku}.jpg"},
                    {"header": "availability", "value": "in_stock"},
                    {"header": "price", "field": "price", "number": {"decimals": 2, "suffix": " EUR"}},
                ],
            },
        ),
        "feed": Example(
            "A compressed feed with its own element names",
            {
                "root": "feed",
                "row": "item",
                "include_fields": ["sku", "price"],
                "compression": "gzip",
                "file_name": "feed.xml",
            },
        ),
        "attributes": Example("Values as attributes", {"style": "attributes"}),
        "all": _ALL,
    },
    "createParquetExport": {
        "columns": Example("Three typed columns", {"include_fields": ["sku", "ean", "price"]}),
        "all": _ALL,
    },
    "createZipExport": {
        "parts": Example("CSV files of 1,000 rows", {"max_rows_per_file": 1_000, "file_name": "catalogue_{date}"}),
        "all": _ALL,
    },
    "createProfile": {
        "prices": Example(
            "A price list for Excel in German",
            {"name": "Price list", "format": "csv", "options": {"include_fields": ["sku", "price"], "delimiter": ";"}},
        ),
    },
    "updateProfile": {
        "rename": Example("Another name", {"name": "Price list, net"}),
        "columns": Example("Other columns", {"options": {"include_fields": ["sku", "name", "price"]}}),
    },
    "runProfile": {
        "all": Example("As it is saved", {}),
        "filtered": Example("With one option replaced", {"options": {"filters": {"price": {"gte": 30}}}}),
    },
    "createPlatform": _NEW_PLATFORMS,
    "updatePlatform": {
        "rename": Example("Another name", {"name": "Shop, new server", "is_active": True}),
        "keep": Example("Keep files of the same name", {"config": {"on_conflict": "rename"}}),
    },
    "createDelivery": {"again": Example("With the id of one of your platforms", {"platform_id": PLATFORM_ID})},
    "createSchedule": {
        "prices": Example(
            "A price list at six on working days; with the id of one of your platforms",
            {
                "platform_id": PLATFORM_ID,
                "schedule_name": "Price list",
                "cron_expression": "0 6 * * MON-FRI",
                "timezone": "Europe/Paris",
                "format": "csv",
                "options": {"include_fields": ["sku", "price"], "file_name": "{schedule}_{date}"},
            },
        ),
    },
    "updateSchedule": {
        "pause": Example("Do not run for now", {"is_active": False}),
        "time": Example("At another time", {"cron_expression": "30 5 * * *", "timezone": "Europe/Paris"}),
    },
    "createWebhook": {
        "ends": Example(
            "Tell me when an export or a delivery has ended",
            {
                "url": "https://shop.example.com/hooks/catalog-exports",
                "events": ["export.completed", "export.failed", "delivery.delivered", "delivery.failed"],
            },
        )
    },
    "updateWebhook": {"resume": Example("Try again after a pause", {"is_active": True})},
    "replayEvents": {
        "range": Example("What happened in an hour", {"since": "2026-03-15T09:00:00Z", "until": "2026-03-15T10:00:00Z"})
    },
    "previewSchedule": {
        "clocks": Example(
            "Two in the morning, which does not exist when the clocks go forward",
            {"cron_expression": "0 2 * * *", "timezone": "Europe/Paris", "count": 10},
        )
    },
}
