"""schemathesis, all phases and all checks on every route, finds nothing that is not explained here.

With `SCHEMATHESIS_SEED=2` and so on, it tries other requests.
"""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateways import gateway
from tests.system import System

EXAMPLES = 30
SECONDS = 800


@dataclass(frozen=True)
class Explained:
    """Why a finding is none; `pattern` fits its code, operation, message, status and body."""

    pattern: str
    reason: str


EXPLAINED = (
    Explained(
        r"ST202 .* 422 .*cursor: is not a cursor",
        "A cursor is opaque: `next_cursor` of a page. No pattern can tell one from other text.",
    ),
    Explained(
        r"ST202 .* 422 .*idempotency_key_reused",
        "schemathesis sends an Idempotency-Key again with another body. 422 is what the IETF's draft of this header"
        " asks for, but schemathesis does not count it as such.",
    ),
    Explained(
        r"ST202 .* 422 .*(no product has|cannot be compared|only exists can be used|a filter is a field and a value"
        r"|names that begin with \$|is not a field name|is not an operator|more than once|a backslash in a key"
        r"|MongoDB has no path|cannot be filtered|takes a number, text or a date|are allowed|invalid Unicode"
        r"|a number has at most|which is not among locales|give columns, or)",
        "Names of fields must be in the catalogue, and values must fit what the fields hold."
        " The rules of names (docs/values.md) are more than a pattern can say.",
    ),
    Explained(
        r"ST202 .* 422 .*\"field\":\"(options\.)?platform_ids?(\[\d+\])?\","
        r"\"message\":\"(does not exist|is not active)",
        "A schedule, a profile or an export names a platform that does not exist; ids of schemathesis are random.",
    ),
    Explained(
        r"ST202 .* 422 .*\"field\":\"(options\.)?(columns\[|locale_fallback|locales|currencies)",
        "Templates, patterns of dates, time zones and names of fields have a grammar; some members of a column exclude"
        " or need each other; each locale and currency is named once.",
    ),
    Explained(
        r"ST202 .* 422 .*\"field\":\"(options\.)?(root|row|namespaces|cdata)",
        "Names of elements and the prefixes of namespaces have a grammar, and a prefix must be declared.",
    ),
    Explained(
        r"ST202 .* 422 .*(with the template|, which \w+ requires|requires one of them|has no column|is not for \w+; "
        r"|RSS 2\.0)",
        "A feed template requires columns and options, and RSS a channel; both depend on the template.",
    ),
    Explained(
        r"ST202 .* 422 .*(key has|key names a field|in key and in volatile_fields|deletions cannot be"
        r"|with explode, a product may|is below a field of include_fields|cannot be volatile)",
        "The fields of a key must be columns of the file; what keeps a manifest has one row for each product.",
    ),
    Explained(
        r"ST202 .* 422 .*(cron_expression|timezone): ",
        "Cron expressions and names of time zones have a grammar; the pattern only counts the fields.",
    ),
    Explained(
        r"ST202 .* 422 .*\"field\":\"(options\.)?(config\.\w+|config|file_name|name|schedule_name)\"",
        "Configs, templates and names have rules that a schema cannot say (URLs, PEM, private keys, credentials, one of"
        " two fields, printable text); the message says which one.",
    ),
    Explained(
        r"ST202 POST \S+/replay .* 422 .*\"field\":\"(event_id|since|until|webhook_id|body)\"",
        "Either one event or a time range is replayed, and only to an active webhook.",
    ),
    Explained(
        r"ST202 (POST|PATCH) \S+/webhooks\S* .* 422 .*\"field\":\"url\"",
        "The URL of a webhook must be one of a server that may be called; `format: uri` allows others.",
    ),
    Explained(
        r"ST202 (PATCH \S+/schedules/|PATCH \S+/profiles/|POST \S+/profiles/\S+/(run|preflight))\S* .* 422 "
        r".*is not an option of this format",
        "A change, or a run of a profile, does not name the format, and the schedule or profile has another one than"
        " the options that were generated.",
    ),
    Explained(
        r"ST202 (PATCH|POST) \S+/schedules\S* .* 422 .*\"field\":\"(profile_id|format)\"",
        "A schedule has a profile, which must exist and schemathesis does not know, or a format with options.",
    ),
    Explained(
        r"ST202 POST \S+/from-header .* 422 .*\"field\":\"(body|name)\"",
        "A file must have a header that can be read; for OpenAPI, it is bytes.",
    ),
    Explained(
        r"ST202 PATCH \S+/platforms/\S+ .* 422 ",
        "A change of a config does not name the type, and its members must fit the platform that is changed"
        " (secrets are sent again with a new host, required members cannot be removed).",
    ),
    Explained(
        r"ST202 (GET|HEAD) \S+/download .* 416 ",
        "Whether a range can be satisfied depends on the size of the file; one range per request is supported.",
    ),
    Explained(
        r"ST20[12] .* 412 \{.*precondition_failed",
        "An ETag in If-Match that schemathesis has made up is not that of the resource; 412 says so before the body is"
        " looked at, and schemathesis does not count it.",
    ),
    Explained(
        r"ST201 .* 413 ",
        "The body is larger than the gateway receives, so it is rejected before it is read; schemathesis does not count"
        " 413 as a rejection.",
    ),
    Explained(
        r"ST201 .* (200|201|202) .*value: null$",
        "null stands for what is absent, as earlier documents said. The document does not say so, because clients would"
        " get types with null everywhere.",
    ),
    Explained(
        r"ST204 POST \S+/(schedules/preview|profiles/from-header) Unsupported method \w+ returned"
        r" (404|200|401|403|422)",
        "`preview` and `from-header` also fit the id of a schedule or profile, which has other methods and parameters;"
        " none has this id.",
    ),
    Explained(
        r"ST108 GET \S+/download .*not of type \"string\"",
        "The download of a JSON file is described as bytes, like all files, for clients to save it as it is;"
        " schemathesis parses it.",
    ),
)


def findings(report: Path) -> Iterator[str]:
    """Code, operation, message, status, body and the value that the message names, of each finding in a report."""
    for line in report.read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for case, checks in recorder.get("checks", {}).items():
            exchange = recorder["interactions"].get(case, {})
            response = exchange.get("response") or {}
            body = content(response.get("content"))
            for check in checks:
                if check["status"] != "success":
                    found = check["failure_info"]["failure"]
                    sent = named_value(found["message"], content(exchange.get("request", {}).get("body")))
                    parts = (found["code"], found["operation"], found["message"], response.get("status_code"), body)
                    yield f"{' '.join(map(str, parts))} value: {sent}".replace("\n", " ")


def content(recorded: dict[str, str] | None) -> str:
    return base64.b64decode((recorded or {}).get("$base64", "")).decode(errors="replace")


def named_value(message: str, sent: str) -> str:
    """The JSON value in a request's body at the place that a message names; empty if it names none."""
    place = re.search(r"Invalid component: in body - ([^:]+): ", message)
    if place is None:
        return ""
    value = json.loads(sent)
    for name in place[1].split(" -> "):
        value = value.get(name) if isinstance(value, dict) else None
    return json.dumps(value)


@pytest.mark.full
@pytest.mark.timeout(SECONDS + 60)
def test_schemathesis_finds_nothing_that_is_not_explained(system: System, tmp_path: Path) -> None:
    product = {"sku": "MH01", "price": 52.0, "attributes": {"color": "Black"}, "tags": ["a"], "is_active": True}
    system.fill("schemathesis", [{"_id": str(n), **product} for n in range(3)])
    report, chosen = tmp_path / "report.ndjson", int(os.environ.get("SCHEMATHESIS_SEED", "1"))
    limits = {"RATE_LIMIT": "10000000", "ATTEMPT_LIMIT": "10000000"}
    with gateway(system, "gateway-schemathesis", **limits) as front:
        command = [
            *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{front.url}/api/v1/openapi.json"),
            *("--url", front.url, "--header", f"Authorization: Bearer {system.key('schemathesis')}"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--checks", "all"),
            *("--max-examples", str(EXAMPLES), "--seed", str(chosen), "--no-color"),
            *("--report", "ndjson", "--report-ndjson-path", str(report)),
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    numbers = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", done.stdout)
    assert numbers, done.stdout
    assert len(set(numbers.groups())) == 1, "every operation is tested"
    assert int(numbers[1]) > 25
    unexplained = [one[:1_500] for one in findings(report) if not any(re.match(e.pattern, one) for e in EXPLAINED)]
    assert not unexplained, f"--seed {chosen}\n" + "\n\n".join(unexplained)
