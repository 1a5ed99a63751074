"""Bad requests from a grammar of our own: filters, cron expressions, platform configs, and broken HTTP around them.

Most of a request is plausible and some of it is not, because a request that is wrong everywhere is rejected by the
first check. A seed determines all requests.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

PREFIX = "/api/v1"
UNKNOWN = "7d3b9d5e-3c1f-4d4f-9a56-0f2f4c9b8a10"
RAW = "@raw:"
"""Starts a string that stands for JSON text which json.dumps cannot write."""

FORMATS = ("csv", "json", "excel", "zip", "xml", "parquet")
FIELDS = ("_id", "id", "sku", "price", "stock", "tags", "attributes", "attributes.color", "updated_at", "active")
OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists", "contains", "starts_with")
TEXTS = (
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\n",
        "$where",
        "$",
        ".",
        "..",
        "a..b",
        ".price",
        "price.",
        "$expr.x",
        "__proto__",
        "{job}",
    ),
    *(
        "{",
        "{0.__class__}",
        "{date",
        "../../etc/passwd",
        "%00",
        "%",
        "ü\u0308",
        "\u202e",
        "🦆" * 100,
        "x" * 5_000,
        "null",
    ),
    *("a." * 200, "(" * 60 + "a+" * 60 + ")" * 60, "=1+1", "true", "NaN", "-0", "0x10", "1e400", "\ud800", "\ufeff"),
    *("2026-03-15", "9999-12-31T23:59:59.999-23:59", "0001-01-01T00:00:00+14:00", "2026-02-30", "2026-03-15T09:00:00Z"),
    *("65f1a2b3c4d5e6f708192a3b", UNKNOWN, UNKNOWN.upper(), "1" * 400, "٣", "-" * 300, "/", "\\", '"', "'", "<script>"),
)
NUMBERS = (0, 1, -1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**40, 0.1, -0.0, 1e308, 5e-324)
RAW_NUMBERS = tuple(
    f"{RAW}{text}" for text in ("1e999", "-1e999", "1E-999", "NaN", "Infinity", "9" * 5_000, "0.1" + "0" * 900)
)
GOOD_VALUES = ("A", "a", "red", 1.5, 3, True, False, None, "2026-03-15T09:00:00Z")
TIMEZONES = (
    "UTC",
    "Europe/Paris",
    "America/Nuuk",
    "Australia/Lord_Howe",
    "europe/paris",
    "Mars/Base",
    "../UTC",
    "Etc/GMT+1",
)
CRON_ITEMS = (
    *(
        "*",
        "0",
        "5",
        "59",
        "60",
        "*/5",
        "*/59",
        "1-5",
        "5-1",
        "0-59/7",
        "L",
        "LW",
        "5L",
        "FRIL",
        "1#5",
        "MON#5",
        "0#0",
        "?",
    ),
    *(
        "29",
        "30",
        "31",
        "2",
        "12",
        "FEB",
        "MON-FRI",
        "SAT-SUN",
        "*/0",
        "*/",
        "/5",
        "-1",
        "1,,2",
        "1-",
        "#",
        "5#",
        "999999999999",
    ),
    *(
        "1,2,3,4,5,6,7,8,9,10",
        "*/7",
        "W",
        "15W",
        "L-3",
        "@daily",
        "٣",
        "\0",
        "1.5",
        "+1",
        "0x1",
        "*" * 90,
        "1-5/0",
        "L/2",
        "7",
    ),
)
CONFIGS: dict[str, tuple[str, ...]] = {
    "s3": (
        *("bucket", "prefix", "region", "access_key_id", "secret_access_key", "session_token", "endpoint_url"),
        *("storage_class", "server_side_encryption"),
    ),
    "minio": ("endpoint", "endpoint_url", "secure", "bucket", "prefix", "access_key", "secret_key"),
    "sftp": ("host", "port", "username", "password", "private_key", "passphrase", "host_key", "path"),
    "ftp": ("host", "port", "username", "password", "tls", "path"),
    "gdrive": ("credentials", "folder_id"),
}
CONFIG_VALUES: dict[str, tuple[Any, ...]] = {
    "bucket": ("exports", "EXPORTS", "a", "a..b", "192.168.1.1", "b" * 64),
    "endpoint_url": (
        *("http://127.0.0.1:1", "https://s3.example.com", "https://user:secret@s3.example.com", "ftp://x", "http://"),
        *("http://[::1", "http://169.254.169.254/latest", "https://s3.example.com:99999", "http://x:y", "https://a b"),
    ),
    "endpoint": ("127.0.0.1:1", "minio:9000", "http://minio:9000", "minio:port", "[::1]:9000", ":", "minio:-1"),
    "host": (
        "127.0.0.1",
        "sftp.example.com",
        "::1",
        "[::1]",
        "localhost",
        "a" * 300,
        "host name",
        "0x7f.1",
        "xn--",
        ".",
    ),
    "port": (22, 0, -1, 65_536, "22", 2.5, True),
    "secure": (True, "false", 0),
    "tls": ("explicit", "implicit", "none", "EXPLICIT"),
    "private_key": (
        *(
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            "ssh-rsa AAAA",
            "x" * 5_000,
        ),
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAA==\n",
    ),
    "host_key": ("SHA256:" + "A" * 43, "SHA256:!", "MD5:00:11", "ssh-ed25519 AAAA"),
    "credentials": (
        {"type": "service_account", "client_email": "a@b.c", "private_key": "x", "token_uri": "http://127.0.0.1:1"},
        {"type": "authorized_user", "refresh_token": "x", "client_id": "x", "client_secret": "x"},
        *('{"type": "service_account"}', "{", "[]", {"type": []}, {}),
    ),
    "on_conflict": ("overwrite", "rename", "skip", "fail", "Skip"),
    "file_name": ("{format}_{date}", "{job}", "{nope}", "{}", "a/b", "..", "con", "x" * 300),
}
CONTENT_TYPES = (
    *(
        "application/json",
        "application/json; charset=utf-16",
        "application/problem+json",
        "text/plain",
        "application/xml",
    ),
    *("multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "", "/", "json"),
)
ENCODINGS = ("gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "x")
CHARSETS = ("utf-16", "utf-32", "latin-1", "utf-8-sig")
RANGES = (
    "bytes=0-0",
    "bytes=-1",
    "bytes=5-2",
    "bytes=0-1,3-4",
    "bytes=" + "9" * 400 + "-",
    "lines=1-2",
    "bytes",
    "bytes=--1",
)


@dataclass(frozen=True)
class BadRequest:
    """A request to send. The API key is added unless the headers have `Authorization`."""

    method: str
    path: str
    """As sent, percent-encoded and with the query."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Known:
    """Resources that exist, so that a request gets past the check of its path."""

    job: str
    platform: str
    schedule: str


class Grammar:
    """Makes requests."""

    def __init__(self, seed: int, known: Known) -> None:
        self._random = random.Random(seed)
        self._known = known
        self._kinds: list[Callable[[], BadRequest]] = [
            *([self._export] * 8),
            *([self._preview] * 4),
            *([self._schedule] * 3),
            *([self._platform] * 5),
            *([self._list] * 3),
            *([self._resource] * 3),
            self._anything,
        ]

    def request(self) -> BadRequest:
        """The next request."""
        return self._distorted(self._pick(self._kinds)())

    def _pick(self, options: Any) -> Any:
        return options[self._random.randrange(len(options))]

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _some(self, options: Any, most: int = 4) -> list[Any]:
        return [self._pick(options) for _ in range(self._random.randint(0, most))]

    def _export(self) -> BadRequest:
        return self._post(f"/exports/{self._pick(FORMATS)}/products", self._options())

    def _options(self) -> dict[str, Any]:
        body: dict[str, Any] = {"platform_ids": [], "filters": self._filters()}
        makers: dict[str, Callable[[], Any]] = {
            "include_fields": lambda: self._some((*FIELDS, *TEXTS)),
            "exclude_fields": lambda: self._some((*FIELDS, *TEXTS)),
            "delimiter": lambda: self._pick((",", ";", "\t", "|", "::", "\r", "\0")),
            "max_rows_per_file": lambda: self._pick(NUMBERS),
            "include_sheets": lambda: self._some(("products", "suppliers", "prices", None)),
            "file_name": lambda: self._pick((*CONFIG_VALUES["file_name"], *TEXTS)),
            "platform_ids": lambda: self._some((UNKNOWN, "x", 1, None, *TEXTS), most=3),
            "utf8_bom": lambda: self._pick((True, False, "yes", 1, None)),
            "pretty": self._value,
            "formatting": self._value,
        }
        for name in self._some(tuple(makers), most=1):
            body[name] = makers[name]()
        return body

    def _filters(self) -> Any:
        if self._chance(0.05):
            return self._value()
        names = self._some(FIELDS, most=3) or [self._pick(FIELDS)]
        return {name: self._condition() for name in [*names, *([self._pick(TEXTS)] if self._chance(0.15) else [])]}

    def _condition(self) -> Any:
        if self._chance(0.2):
            return self._value()
        names = OPERATORS if self._chance(0.9) else ("$gt", "$regex", "$where", "not", "")
        return {
            self._pick(names): self._list_of_values() if self._chance(0.3) else self._value(2)
            for _ in range(self._random.randint(1, 3))
        }

    def _value(self, depth: int = 0) -> Any:
        if depth < 3 and self._chance(0.15):
            return {str(self._pick(TEXTS)): self._value(depth + 1) for _ in range(self._random.randint(0, 3))}
        if depth < 3 and self._chance(0.15):
            return [self._value(depth + 1) for _ in range(self._random.randint(0, 4))]
        kinds = (RAW_NUMBERS,) if self._chance(0.01) else (TEXTS, NUMBERS, GOOD_VALUES, GOOD_VALUES)
        return self._pick(self._pick(kinds))

    def _list_of_values(self) -> list[Any]:
        return [self._value(2) for _ in range(self._pick((0, 1, 3, 300)))]

    def _cron(self) -> str:
        if self._chance(0.1):
            return str(self._pick(TEXTS))
        fields = ["0", "0", "1", "1", "*"]
        for _ in range(self._random.randint(1, 3)):
            fields[self._random.randrange(5)] = ",".join(self._some(CRON_ITEMS, most=3) or ["*"])
        return " ".join(fields[: self._pick((5, 5, 5, 5, 4, 0))])

    def _timezone(self) -> Any:
        return self._pick(TIMEZONES) if self._chance(0.9) else self._value()

    def _preview(self) -> BadRequest:
        body = {
            "cron_expression": self._cron(),
            "timezone": self._timezone(),
            "count": self._pick((1, 10, 100, 0, 101, "5")),
        }
        return self._post("/exports/schedules/preview", body)

    def _schedule(self) -> BadRequest:
        body: dict[str, Any] = {
            "platform_id": self._pick((self._known.platform, self._known.platform, UNKNOWN, "x")),
            "schedule_name": self._pick(("Nightly", *TEXTS)),
            "cron_expression": self._cron(),
            "timezone": self._timezone(),
            "is_active": False,
            "options": self._options(),
            "jitter_seconds": self._pick((0, 60, 3_601, -1, 1.5)),
        }
        body["options"].pop("platform_ids", None)
        if self._chance(0.5):
            return self._post("/exports/schedules", body)
        change = {name: body[name] for name in self._some(tuple(body))}
        return self._json("PATCH", f"/exports/schedules/{self._known.schedule}", change)

    def _platform(self) -> BadRequest:
        kind = self._pick(tuple(CONFIGS))
        body = {
            "name": self._pick(("Shop", *TEXTS)),
            "platform_type": kind,
            "config": self._config(kind),
            "is_active": False,
        }
        if self._chance(0.7):
            return self._post("/exports/platforms", body)
        change = {name: body[name] for name in ("config", *self._some(("name",)))}
        return self._json("PATCH", f"/exports/platforms/{self._known.platform}", change)

    def _config(self, kind: str) -> dict[str, Any]:
        names = [name for name in CONFIGS[kind] if self._chance(0.7)]
        names += [self._pick(("on_conflict", "file_name", *TEXTS))] if self._chance(0.4) else []
        return {
            name: self._pick(CONFIG_VALUES.get(name, ("value",))) if self._chance(0.9) else self._value()
            for name in names
        }

    def _list(self) -> BadRequest:
        schedule, job = f"schedules/{self._known.schedule}", f"jobs/{self._known.job}"
        lists = ("jobs", "platforms", "schedules", f"{schedule}/runs", f"{schedule}/upcoming", f"{job}/deliveries")
        return BadRequest("GET", f"{PREFIX}/exports/{self._pick(lists)}{self._query()}")

    def _query(self) -> str:
        names = ("limit", "cursor", "status", "format", "schedule", "count", "force", "x")
        values = ("1", "200", "201", "0", "csv", "completed", "eyJ9", "WzEsMl0", "W10", "null", *TEXTS)
        pairs = [f"{self._pick(names)}={self._text(self._pick(values))}" for _ in range(self._random.randint(1, 3))]
        separator: str = self._pick(("&", "&", "&", ";", "&&"))
        return "?" + separator.join(pairs)

    def _text(self, text: str) -> str:
        """Percent-encoded, sometimes wrongly."""
        encoded: str = quote(text[:500], safe="", errors="surrogatepass")
        return encoded + str(self._pick(("%", "%zz", "%ff", "%C0%AF"))) if self._chance(0.1) else encoded

    def _resource(self) -> BadRequest:
        method, resource, action = self._pick(
            (
                *(("GET", name, "") for name in ("jobs", "platforms", "schedules")),
                *(("DELETE", name, "") for name in ("jobs", "platforms", "schedules")),
                *(("POST", "jobs", f"/{action}") for action in ("cancel", "retry", "deliveries")),
                *(("POST", "platforms", "/test"), ("POST", "schedules", "/run"), ("PUT", "jobs", "")),
                *(("GET", "jobs", "/download"), ("HEAD", "jobs", "/download"), ("HEAD", "jobs", "/download")),
            )
        )
        known = {"jobs": self._known.job, "platforms": self._known.platform, "schedules": self._known.schedule}
        # What deletes, tests or starts something gets an id that does not exist.
        is_safe = method in ("GET", "HEAD") or action == "/deliveries"
        found = known[resource] if is_safe and self._chance(0.6) else self._text(self._pick((UNKNOWN, *TEXTS)))
        body = None if method != "POST" else _encoded({"platform_id": self._pick((UNKNOWN, *TEXTS))})
        headers = (
            {"Range": self._pick(RANGES), "If-Range": self._pick(('"x"', "x", "*"))} if action == "/download" else {}
        )
        return BadRequest(
            method, f"{PREFIX}/exports/{resource}/{found}{action}{self._query() * self._chance(0.2)}", headers, body
        )

    def _anything(self) -> BadRequest:
        """Any method, path and body."""
        steps = [self._text(self._pick((*TEXTS, "api", "v1", "exports", "jobs", "csv", "products"))) for _ in range(3)]
        path = self._pick(("/", PREFIX + "/", PREFIX + "/exports/")) + "/".join(steps)
        method = self._pick(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get"))
        return BadRequest(method, path, {}, _encoded(self._value()) if self._chance(0.5) else None)

    def _post(self, path: str, body: object) -> BadRequest:
        return self._json("POST", path, body)

    def _json(self, method: str, path: str, body: object) -> BadRequest:
        return BadRequest(method, PREFIX + path, {"Content-Type": "application/json"}, _encoded(body))

    def _distorted(self, good: BadRequest) -> BadRequest:
        """The request with a damaged body or damaged headers, now and then."""
        headers, body = dict(good.headers), good.body
        if body is not None and self._chance(0.15):
            body = self._damaged(body)
        if self._chance(0.15):
            name, values = self._pick(
                (
                    ("Content-Type", CONTENT_TYPES),
                    ("Content-Encoding", ENCODINGS),
                    ("Host", ("", "a b", "x" * 300, "[::1", "example.com:99999999", "a@b", "exa\u00e4mple")),
                    (
                        "Authorization",
                        ("", "Bearer", "Bearer x", "Basic eDp5", f"Bearer cx_{'a' * 16}_{'b' * 43}", "x" * 5_000),
                    ),
                    ("Idempotency-Key", ("", " ", "k", "x" * 300, "\u00e4", "a\tb")),
                    ("Accept", ("text/html", "x", "")),
                    ("X-Request-Id", ("", "x" * 300, "\u00e4", "{}")),
                    ("X-Forwarded-For", ("", "x", "1.2.3.4, 999.1.1.1")),
                    ("traceparent", ("00-0-0-0", "00-" + "f" * 32 + "-" + "f" * 16 + "-01", "x")),
                    ("Expect", ("100-continue", "x")),
                    ("X-Long", ("x" * 9_000,)),
                )
            )
            headers[name] = self._pick(values)
        return BadRequest(good.method, good.path, headers, body)

    def _damaged(self, body: bytes) -> bytes:
        at = self._random.randrange(len(body) + 1)
        return bytes(
            self._pick(
                (
                    body[:at],
                    body[:at] + self._random.randbytes(3) + body[at:],
                    body[:at]
                    + self._pick((b"{", b"[", b'"', b",", b"\\u0000", b"\\ud800", b"\xff", b"\0"))
                    + body[at:],
                    b"[" * 40 + body + b"]" * 40,
                    body[:-1] + b"," + body[1:],  # every key is repeated
                    body.decode(errors="replace").encode(self._pick(CHARSETS), errors="replace"),
                    body + b" " * 300_000,
                )
            )
        )


def _encoded(body: object) -> bytes:
    """JSON, with the raw numbers written out."""
    text = json.dumps(body)
    for raw in RAW_NUMBERS:
        text = text.replace(f'"{raw}"', raw.removeprefix(RAW))
    return text.encode()
