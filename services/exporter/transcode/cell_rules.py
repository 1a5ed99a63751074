"""Makes the cells of a row from the fields of a document, as the columns of a request describe them.

Defines the result; `native/cell_rules.pxi` does the same for common values. The rules are in docs/columns.md.
"""

import decimal
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import Decimal128, Int64

from services.exporter.catalogue.output_columns import (
    Case,
    CellRules,
    DateFormat,
    IfMissing,
    NumberFormat,
    OutputColumn,
    OutputColumns,
)
from services.exporter.transcode.cell_checks import refusal, rules_of
from services.exporter.transcode.findings import Findings, Reason
from services.exporter.transcode.html_text import html_text
from services.exporter.transcode.values import NUMBERS_AND_DATES, TEXT, FormattedNumber, as_object, json_text

MAX_NAMED = 200
"""Characters of an id or a header in a message."""
_EXACT = decimal.Context(prec=7_000, rounding=decimal.ROUND_HALF_UP, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_BREAKS = " \t\n\r"
_EMPTY_VALUES: Mapping[type, tuple[Any, ...]] = {str: ("",), list: ([],), dict: ({},)}

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

DIRECTIVES: Mapping[str, Callable[[datetime], str]] = {
    "%": lambda _: "%",
    "A": lambda at: _DAYS[at.weekday()],
    "B": lambda at: _MONTHS[at.month - 1],
    "H": lambda at: f"{at.hour:02}",
    "I": lambda at: f"{(at.hour + 11) % 12 + 1:02}",
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "Y": lambda at: f"{at.year:04}",
    "a": lambda at: _DAYS[at.weekday()][:3],
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "d": lambda at: f"{at.day:02}",
    "j": lambda at: f"{at.timetuple().tm_yday:03}",
    "m": lambda at: f"{at.month:02}",
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "y": lambda at: f"{at.year % 100:02}",
    "z": lambda at: at.strftime("%z"),
}
"""What each directive of a date's pattern writes: the portable part of strftime, with names in English."""
_DIRECTIVE = re.compile("%(.)", re.DOTALL)


class MissingCell(Exception):
    """A cell that must have a value has none, so the export fails. Long names are cut, for messages."""

    def __init__(self, row: str, column: str) -> None:
        self.row, self.column = row[:MAX_NAMED], column[:MAX_NAMED]
        super().__init__(f"{self.row}: {self.column}")


class CellWriter:
    """Makes the cells of documents.

    Args:
        findings: receives the rows that are skipped and the texts that are cut.
    """

    def __init__(self, output: OutputColumns, findings: Findings) -> None:
        places = {name: at for at, name in enumerate(output.sources)}
        self._findings = findings
        self._columns = [
            (
                column,
                [p if isinstance(p, str) else [places[name] for name in p] for p in column.pieces],
                _steps(column.rules),
            )
            for column in output.columns
        ]
        self._groups = output.one_of
        self._checks = [(at, column.header, column.check) for at, column in enumerate(output.columns) if column.check]
        for _, header, check in self._checks:
            findings.rules.update({(header, reason): rule for reason, rule in rules_of(check).items()})
        for group in self._groups:
            headers = [output.columns[at].header for at in group]
            findings.rules[(headers[0], Reason.MISSING_VALUE)] = f"every row needs one of: {', '.join(headers)}"

    def cells(self, values: Sequence[Any], document: Mapping[str, Any]) -> list[Any] | None:
        """The cells of a row, None where there is no value; None if the row is skipped.

        Args:
            values: of the fields in `OutputColumns.sources`; None: missing.

        Raises:
            MissingCell: the export fails.
        """
        row = []
        cuts = []
        for column, pieces, steps in self._columns:
            value = column.constant if not pieces else _value(column, pieces, values)
            for step in steps:
                if not is_missing(value):
                    value = step(value)
            limit = column.rules.max_length
            if limit is not None and not is_missing(value):
                value = _as_text(value)
                if value.__class__ is str and len(value) > limit:
                    value = shortened(value, limit)
                    cuts.append(column.header)
            if is_missing(value):
                value = None
                if column.rules.if_missing is IfMissing.FAIL:
                    raise MissingCell(row_id(document), column.header)
                if column.rules.if_missing is IfMissing.SKIP_ROW:
                    self._findings.add(Reason.SKIPPED_ROW, row_id(document), column.header)
                    return None
            row.append(value)
        for header in cuts:
            self._findings.add(Reason.CUT_TEXT, row_id(document), header)
        if self._checks:
            self._report_refused(row, document)
        return row

    def _report_refused(self, row: Sequence[Any], document: Mapping[str, Any]) -> None:
        for at, header, check in self._checks:
            reason = refusal(check, row[at])
            if reason is not None:
                self._findings.add(reason, row_id(document), header)
        for group in self._groups:
            if all(row[at] is None for at in group):
                self._findings.add(Reason.MISSING_VALUE, row_id(document), self._columns[group[0]][0].header)


def row_id(document: Mapping[str, Any]) -> str:
    """The id of a product, as exported in the column `id`."""
    value = document.get("id", document.get("_id"))
    return json_text(value) if as_object(value) is not None else TEXT[value.__class__](value)


def is_missing(value: Any) -> bool:
    """Whether a cell or a field counts as missing: absent, null, or empty text, list or object."""
    return value is None or value in _EMPTY_VALUES.get(value.__class__, ())


def _value(column: OutputColumn, pieces: Sequence[str | Sequence[int]], values: Sequence[Any]) -> Any:
    if not column.is_template:
        return _first(pieces[0], values)
    texts = []
    found = False
    for piece in pieces:
        if isinstance(piece, str):
            texts.append(piece)
            continue
        value = _first(piece, values)
        if not is_missing(value):
            found = True
            texts.append(TEXT[value.__class__](value))
    # A link or a name that consists of its fixed parts only would be useless.
    return "".join(texts) if found or not column.fields else None


def _first(places: str | Sequence[int], values: Sequence[Any]) -> Any:
    return next((values[at] for at in places if isinstance(at, int) and not is_missing(values[at])), None)


Step = Callable[[Any], Any]


def _steps(rules: CellRules) -> list[Step]:
    """Everything except the cut and the check for missing values, in the order of the rules."""
    steps: list[Step] = []
    if rules.texts is not None:
        steps.append(_mapped(rules.texts, rules.default_text))
    if rules.strip_html:
        steps.append(lambda value: html_text(value) if value.__class__ is str else value)
    if rules.join is not None:
        steps.append(_joined(rules.join))
    if rules.number is not None:
        steps.append(_numbered(rules.number))
    if rules.date is not None:
        steps.append(_dated(rules.date))
    if rules.true_false is not None:
        true, false = rules.true_false
        steps.append(lambda value: (true if value else false) if value.__class__ is bool else value)
    if rules.case is not None:
        steps.append(_cased(rules.case))
    return steps


def _as_text(value: Any) -> Any:
    """Values that have no type of their own in a spreadsheet as text; numbers, dates and formatted numbers stay."""
    kind = value.__class__
    return value if kind is str or kind in NUMBERS_AND_DATES else TEXT[kind](value)


def _mapped(texts: Mapping[str, str], default: str | None) -> Step:
    def step(value: Any) -> Any:
        found = texts.get(TEXT[value.__class__](value), default)
        return value if found is None else found

    return step


def _joined(separator: str) -> Step:
    def step(value: Any) -> Any:
        if value.__class__ is not list:
            return value
        return separator.join(TEXT[item.__class__](item) for item in value)

    return step


def _numbered(rule: NumberFormat) -> Step:
    def step(value: Any) -> Any:
        number = _exact(value)
        return value if number is None else FormattedNumber(_number_text(number, rule))

    return step


def _exact(value: Any) -> decimal.Decimal | None:
    """The exact value of a number, or of text that is one; None for anything else."""
    kind = value.__class__
    if kind is int or kind is Int64:
        return decimal.Decimal(value)
    if kind is float or kind is Decimal128:
        exact = decimal.Decimal(repr(value)) if kind is float else value.to_decimal()
        return exact if exact.is_finite() else None
    if kind is str and _NUMBER.fullmatch(value):
        return decimal.Decimal(value)
    return None


def _number_text(number: decimal.Decimal, rule: NumberFormat) -> str:
    if rule.decimals is not None:
        number = number.quantize(decimal.Decimal(1).scaleb(-rule.decimals), context=_EXACT)
    whole, _, fraction = format(number.copy_abs(), "f").partition(".")
    if rule.decimals is None and not fraction.strip("0"):
        fraction = ""
    if rule.thousands:
        first = len(whole) % 3
        groups = [whole[:first]] if first else []
        whole = rule.thousands.join([*groups, *(whole[at : at + 3] for at in range(first, len(whole), 3))])
    sign = "-" if number.is_signed() and number else ""
    mark = rule.decimal_mark if fraction else ""
    return f"{rule.prefix}{sign}{whole}{mark}{fraction}{rule.suffix}"


def _dated(rule: DateFormat) -> Step:
    def step(value: Any) -> Any:
        at = _moment(value)
        if at is None:
            return value
        try:
            local = at.astimezone(rule.timezone)
        except OverflowError:  # at the beginning of year 1 or at the end of 9999
            return value
        return _DIRECTIVE.sub(lambda found: DIRECTIVES[found[1]](local), rule.pattern)

    return step


def _moment(value: Any) -> datetime | None:
    """A date, or text that is an ISO 8601 date; without an offset it is in UTC."""
    if value.__class__ is datetime:
        at: datetime = value
    elif value.__class__ is str and value[:1].isdigit() and 10 <= len(value) <= 35:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return None
    else:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _cased(case: Case) -> Step:
    change: Callable[[str], str]
    if case is Case.UPPER:
        change = str.upper
    elif case is Case.LOWER:
        change = str.lower
    else:

        def change(text: str) -> str:
            return text[:1].upper() + text[1:]

    def step(value: Any) -> Any:
        shown = _as_text(value)
        return change(shown) if shown.__class__ is str else shown

    return step


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, cut after the last whole word that fits; a longer word is cut itself."""
    if len(text) <= limit:
        return text
    end = limit
    while end > 0 and text[end] not in _BREAKS:
        end -= 1
    return text[:end].rstrip(_BREAKS) or text[:limit]
