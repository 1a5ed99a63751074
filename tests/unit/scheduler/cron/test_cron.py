"""Every rule of docs/schedules.md about times, a table each: what fires, what is refused, what is said of it."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim

from services.scheduler.cron.cron import Note, parse
from services.scheduler.cron.expression import ALIASES, CronError
from services.scheduler.cron.preview import upcoming

PARIS = "Europe/Paris"


def fires(expression: str, timezone: str, after: str, until: str) -> list[str]:
    """Fires in a zone between two instants (ISO with offset), as local time with offset."""
    cron = parse(expression, timezone)
    between = cron.fires_between(datetime.fromisoformat(after), datetime.fromisoformat(until))
    return [at.astimezone(cron.zone).isoformat(timespec="minutes") for at in between]


def on(date: str, expression: str, timezone: str = PARIS) -> list[str]:
    """Fires whose local date is `date`, as local time with offset."""
    start = datetime.fromisoformat(f"{date}T00:00Z")
    day = timedelta(days=1, hours=2)
    return [at for at in fires(expression, timezone, str(start - day), str(start + day)) if at.startswith(date)]


def times(date: str, expression: str, timezone: str = PARIS) -> list[str]:
    return [at[11:] for at in on(date, expression, timezone)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Fixed times inside the gap: once, at its end.
        ("30 2 * * *", ["03:00+02:00"]),
        ("0 2 * * *", ["03:00+02:00"]),
        ("59 2 * * *", ["03:00+02:00"]),
        ("30 2 29 3 *", ["03:00+02:00"]),
        ("30 2 * * SUN", ["03:00+02:00"]),
        ("30 2 * * SUNL", ["03:00+02:00"]),
        # Several fixed times that fall together: once.
        ("0 2,3 * * *", ["03:00+02:00"]),
        ("0,30 2 * * *", ["03:00+02:00"]),
        ("0-59 2 * * *", ["03:00+02:00"]),
        ("0 1-3 * * *", ["01:00+01:00", "03:00+02:00"]),
        ("15 2,3 * * *", ["03:00+02:00", "03:15+02:00"]),
        # A wildcard: the instants that exist.
        ("30 * * * *", [f"{h:02}:30+0{1 + (h > 2)}:00" for h in range(24) if h != 2]),
        ("* 2 * * *", []),
        ("*,5 2 * * *", []),
        ("* 2,3 * * *", [f"03:{m:02}+02:00" for m in range(60)]),
        ("0,*/30 * * * *", [f"{h:02}:{m}+0{1 + (h > 2)}:00" for h in range(24) if h != 2 for m in ("00", "30")]),
        # A step: once at the end of the gap, if the date would lose every match.
        ("*/20 2 * * *", ["03:00+02:00"]),
        ("*/1 2 * * *", ["03:00+02:00"]),
        ("10-50/20 2 * * *", ["03:00+02:00"]),
        ("5/20 2 * * *", ["03:00+02:00"]),
        ("30 2/22 * * *", ["03:00+02:00"]),
        ("*/20 2,4 * * *", ["04:00+02:00", "04:20+02:00", "04:40+02:00"]),
        ("30 */12 * * *", ["00:30+01:00", "12:30+02:00"]),
        ("30 2-3/1 * * *", ["03:30+02:00"]),
        # Times outside the gap are not touched.
        ("59 1 * * *", ["01:59+01:00"]),
        ("0 3 * * *", ["03:00+02:00"]),
        ("0 9 * * *", ["09:00+02:00"]),
    ],
)
def test_when_the_clock_goes_forward(expression: str, expected: list[str]) -> None:
    assert times("2026-03-29", expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Fixed times inside the overlap: the first occurrence only.
        ("30 2 * * *", ["02:30+02:00"]),
        ("0 2 * * *", ["02:00+02:00"]),
        ("0,30 2,3 * * *", ["02:00+02:00", "02:30+02:00", "03:00+01:00", "03:30+01:00"]),
        ("30 1-3 * * *", ["01:30+02:00", "02:30+02:00", "03:30+01:00"]),
        ("58-59 2 * * *", ["02:58+02:00", "02:59+02:00"]),
        # A wildcard or a step: both passes.
        ("30 * * * *", ["00:30+02:00", "01:30+02:00", "02:30+02:00", *(f"{h:02}:30+01:00" for h in range(2, 24))]),
        ("* 2 * * *", [f"02:{m:02}+0{o}:00" for o in (2, 1) for m in range(60)]),
        ("*/20 2 * * *", [f"02:{m}+0{o}:00" for o in (2, 1) for m in ("00", "20", "40")]),
        ("0-59/30 2 * * *", [f"02:{m}+0{o}:00" for o in (2, 1) for m in ("00", "30")]),
        ("15 */2 * * *", ["00:15+02:00", "02:15+02:00", *(f"{h:02}:15+01:00" for h in range(2, 24, 2))]),
        # Times outside the overlap come once.
        ("59 1 * * *", ["01:59+02:00"]),
        ("0 3 * * *", ["03:00+01:00"]),
    ],
)
def test_when_the_clock_goes_back(expression: str, expected: list[str]) -> None:
    assert times("2026-10-25", expression) == expected


@pytest.mark.parametrize(
    ("date", "expression", "timezone", "expected"),
    [
        # Lord Howe moves half an hour: 02:00 to 02:30, and back from 02:00 to 01:30.
        ("2026-10-04", "15 2 * * *", "Australia/Lord_Howe", ["02:30+11:00"]),
        ("2026-10-04", "15,30 2 * * *", "Australia/Lord_Howe", ["02:30+11:00"]),
        ("2026-10-04", "45 2 * * *", "Australia/Lord_Howe", ["02:45+11:00"]),
        ("2026-10-04", "*/20 2 * * *", "Australia/Lord_Howe", ["02:40+11:00"]),
        ("2026-10-04", "0-20/10 2 * * *", "Australia/Lord_Howe", ["02:30+11:00"]),
        ("2026-04-05", "45 1 * * *", "Australia/Lord_Howe", ["01:45+11:00"]),
        ("2026-04-05", "15 1 * * *", "Australia/Lord_Howe", ["01:15+11:00"]),
        (
            "2026-04-05",
            "*/20 1 * * *",
            "Australia/Lord_Howe",
            ["01:00+11:00", "01:20+11:00", "01:40+11:00", "01:40+10:30"],
        ),
        # Apia went from the 29th to the 31st of December 2011.
        ("2011-12-31", "30 9 30 12 *", "Pacific/Apia", ["00:00+14:00"]),
        ("2011-12-31", "30 9 * * *", "Pacific/Apia", ["00:00+14:00", "09:30+14:00"]),
        ("2011-12-31", "0 0 * * *", "Pacific/Apia", ["00:00+14:00"]),
        ("2011-12-31", "*/20 2 30 * *", "Pacific/Apia", ["00:00+14:00"]),
        ("2011-12-31", "30 */12 * * *", "Pacific/Apia", ["00:00+14:00", "00:30+14:00", "12:30+14:00"]),
        ("2011-12-31", "0 * 30 * *", "Pacific/Apia", []),
        ("2011-12-30", "* * * * *", "Pacific/Apia", []),
        # A gap that begins at midnight, one that ends there, and one of two hours.
        ("2026-03-29", "@daily", "Asia/Beirut", ["01:00+03:00"]),
        ("2026-03-29", "30 23 28 3 *", "America/Nuuk", ["00:00-01:00"]),
        ("2026-03-29", "*/20 23 * * *", "America/Nuuk", ["00:00-01:00", "23:00-01:00", "23:20-01:00", "23:40-01:00"]),
        ("2026-03-29", "0 1,2 * * *", "Antarctica/Troll", ["03:00+02:00"]),
        # The last change that the zone's file lists changed nothing; zoneinfo sees an hour twice there.
        ("2023-10-28", "1 23 * * *", "America/Nuuk", ["23:01-02:00"]),
        ("2023-10-28", "*/30 23 * * *", "America/Nuuk", ["23:00-02:00", "23:30-02:00"]),
        # Zones without changes, with odd offsets, and with the whole year turned round.
        ("2026-03-29", "30 2 * * *", "UTC", ["02:30+00:00"]),
        ("2026-03-29", "0 9 * * *", "Asia/Kathmandu", ["09:00+05:45"]),
        ("2026-10-25", "30 1 * * *", "Europe/Dublin", ["01:30+01:00"]),
    ],
)
def test_other_changes_of_clocks_follow_the_same_rules(
    date: str, expression: str, timezone: str, expected: list[str]
) -> None:
    assert times(date, expression, timezone) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 13 * FRI", ["2026-03-06", "2026-03-13", "2026-03-20", "2026-03-27"]),
        ("0 9 1 * MON", ["2026-03-01", "2026-03-02", "2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30"]),
        ("0 9 * * MON", ["2026-03-02", "2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30"]),
        ("0 9 1 * *", ["2026-03-01"]),
        # As cron has it, a field that begins with a star does not count as set: both must hold.
        ("0 9 */2 * MON", ["2026-03-09", "2026-03-23"]),
        ("0 9 L * *", ["2026-03-31"]),
        ("0 9 LW 5 *", []),
        ("0 9 LW * *", ["2026-03-31"]),
        ("0 9 * * FRIL", ["2026-03-27"]),
        ("0 9 * * 5L", ["2026-03-27"]),
        ("0 9 * * MON#2", ["2026-03-09"]),
        ("0 9 * * 1#2,1#4", ["2026-03-09", "2026-03-23"]),
        ("0 9 * * FRI-SUN", [f"2026-03-{d:02}" for d in (1, 6, 7, 8, 13, 14, 15, 20, 21, 22, 27, 28, 29)]),
        ("0 9 * * 7", ["2026-03-01", "2026-03-08", "2026-03-15", "2026-03-22", "2026-03-29"]),
        ("0 9 * mar sun", ["2026-03-01", "2026-03-08", "2026-03-15", "2026-03-22", "2026-03-29"]),
        ("0 9 10-12 JAN-MAR/2 *", ["2026-03-10", "2026-03-11", "2026-03-12"]),
        ("0 9 5-5/2 * *", ["2026-03-05"]),
        ("0 9 28/2 * *", ["2026-03-28", "2026-03-30"]),
        ("0 9 10 FEB *", []),
    ],
)
def test_days_are_those_a_person_reads(expression: str, expected: list[str]) -> None:
    march = fires(expression, PARIS, "2026-03-01T00:00+01:00", "2026-04-01T00:00+02:00")
    assert [at[:10] for at in march] == expected


@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        ("@hourly", "2026-01-15T11:00+01:00"),
        ("@daily", "2026-01-16T00:00+01:00"),
        ("@midnight", "2026-01-16T00:00+01:00"),
        ("@weekly", "2026-01-18T00:00+01:00"),
        ("@monthly", "2026-02-01T00:00+01:00"),
        ("@yearly", "2027-01-01T00:00+01:00"),
        ("@Annually", "2027-01-01T00:00+01:00"),
    ],
)
def test_an_alias_stands_for_its_expression(alias: str, expected: str) -> None:
    found = parse(alias, PARIS).next_fire(datetime.fromisoformat("2026-01-15T10:30+01:00"))
    assert found == datetime.fromisoformat(expected)
    assert alias.lower() in ALIASES


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("61 * * * *", "minute: 61 is not between 0 and 59"),
        ("0 24 * * *", "hour: 24 is not between 0 and 23"),
        ("0 0 0 * *", "day-of-month: 0 is not between 1 and 31"),
        ("0 0 1 13 *", "month: 13 is not between 1 and 12"),
        ("0 0 * * 8", "day-of-week: 8 is not between 0 and 7"),
        ("0 0 30 2 *", "day-of-month: 30 in month 2 (day-of-week *) is not a date in any year, so it would never run"),
        ("0 0 31 4,6,9,11 *", "day-of-month: 31 in month 4,6,9,11"),
        ("0 0 */30 2 MON#5", "is not a date in any year"),
        ("* 2 * 3 SUNL", "its times never exist in Europe/Paris"),
        (
            "* * * * * * *",
            "7 fields where five are needed: minute hour day-of-month month day-of-week; seconds and years",
        ),
        ("0 0 9 * * *", "6 fields where five are needed"),
        ("0 9 * *", "4 fields where five are needed: minute hour day-of-month month day-of-week"),
        ("", "0 fields where five are needed"),
        ("   ", "0 fields where five are needed"),
        ("0 0 * * MOM", "day-of-week: 'MOM' is unknown; did you mean MON?"),
        ("0 0 * * monday", "day-of-week: 'MONDAY' is unknown; did you mean MON?"),
        ("0 0 * SEPT *", "month: 'SEPT' is unknown; did you mean SEP?"),
        ("0 0 * MON *", "month: 'MON' is no"),
        ("0 0 * * XYZ", "day-of-week: 'XYZ' is not a number from 0 to 7 or SUN to SAT"),
        ("0 JAN * * *", "hour: 'JAN' is not a number from 0 to 23"),
        ("30-10 * * * *", "minute: the range 30-10 runs backwards; write 10-30, or 30-59,0-10"),
        ("0 22-6 * * *", "hour: the range 22-6 runs backwards; write 6-22, or 22-23,0-6"),
        ("0 0 * * FRI-MON", "day-of-week: the range FRI-MON runs backwards"),
        ("*/0 * * * *", "minute: a step of 0 is not between 1 and 60"),
        ("5-5/0 * * * *", "minute: a step of 0 is not between 1 and 60"),
        ("*/90 * * * *", "minute: a step of 90 is not between 1 and 60"),
        ("0 */25 * * *", "hour: a step of 25 is not between 1 and 24"),
        ("*/ * * * *", "minute: the step '' is not a number"),
        ("*/5/5 * * * *", "minute: the step '5/5' is not a number"),
        ("/5 * * * *", "minute: '/5' has no value before the slash"),
        ("1,,2 * * * *", "minute: a value is missing, or there is an extra comma"),
        ("-5 * * * *", "minute: a value is missing beside a dash"),
        ("5- * * * *", "minute: a value is missing beside a dash"),
        ("1.5 * * * *", "minute: '1.5' is not a number"),
        ("٣ * * * *", "minute: '٣' is not a number"),
        ("0 0 ? * *", "day-of-month: '?' is not supported; use * for any value"),
        ("0 0 L/2 * *", "day-of-month: 'L/2': L cannot have a step"),
        ("0 0 L-3 * *", "day-of-month: 'L' is not a number"),
        ("0 0 15W * *", "day-of-month: '15W' is not a number"),
        ("0 0 * * L", "day-of-week: L needs a day before it"),
        ("0 0 * * 5#6", "day-of-week: '5#6': the number after # must be 1 to 5"),
        ("0 0 * * #2", "day-of-week: a value is missing"),
        ("0 0 * * 1-3#2", "day-of-week: '1-3' is no"),
        ("@dayly", "@dayly is unknown; did you mean @daily?"),
        ("@reboot", "@reboot is unknown; known are @hourly"),
        ("1," * 200 + "1 * * * *", "at most 256 are allowed"),
    ],
)
def test_a_wrong_expression_is_refused_with_the_part_and_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(CronError) as refused:
        parse(expression, PARIS)
    assert refused.value.field == "cron_expression"
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    ("timezone", "reason"),
    [
        ("Mars/Base", "'Mars/Base' is not an IANA time zone; use an IANA name such as Europe/Paris"),
        ("europe/paris", "did you mean Europe/Paris?"),
        ("Paris", "did you mean Europe/Paris?"),
        ("Amerika/New_York", "did you mean America/New_York?"),
        ("", "'' is not an IANA time zone"),
        ("Europe", "'Europe' is not an IANA time zone"),
        ("../../etc/passwd", "'../../etc/passwd' is not an IANA time zone"),
        ("x" * 1000, "is not an IANA time zone"),
    ],
)
def test_an_unknown_time_zone_is_refused_with_near_names(timezone: str, reason: str) -> None:
    with pytest.raises(CronError) as refused:
        parse("@daily", timezone)
    assert refused.value.field == "timezone"
    assert reason in refused.value.reason
    assert len(refused.value.reason) < 200


def test_the_next_fire_is_later_than_the_given_instant_and_a_whole_minute_in_utc() -> None:
    cron = parse("* * * * *", PARIS)
    assert cron.next_fire(datetime(2026, 1, 1, 12, tzinfo=UTC)) == datetime(2026, 1, 1, 12, 1, tzinfo=UTC)
    almost = datetime(2026, 1, 1, 11, 59, 59, 999_999, tzinfo=UTC)
    assert cron.next_fire(almost) == datetime(2026, 1, 1, 12, tzinfo=UTC)
    found = cron.next_fire(datetime.fromisoformat("2026-01-01T12:00:30+05:45"))
    assert found is not None
    assert found.isoformat() == "2026-01-01T06:16:00+00:00"


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 2,3 * * *", "*/20 2 * * *", "* * * * *", "30 */2 * * *"])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_the_next_fire_after_any_instant_around_a_change_is_the_first_of_all_that_follow(
    expression: str, day: str
) -> None:
    cron = parse(expression, PARIS)
    midnight = datetime.fromisoformat(f"{day}T00:00Z")
    all_fires = list(cron.fires_between(midnight, midnight + timedelta(days=3)))
    for seconds in range(0, 4 * 3600, 90):
        after = midnight + timedelta(seconds=seconds)
        assert cron.next_fire(after) == next(at for at in all_fires if at > after)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 0 29 2 *", "2026-01-01T00:00Z", "2028-02-29T00:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00Z", "2104-02-29T00:00Z"),
        ("0 0 */28 2 MON#5", "2072-03-01T00:00Z", "2112-02-29T00:00Z"),
        ("0 0 L 2 *", "2027-03-01T00:00Z", "2028-02-29T00:00Z"),
        ("0 0 * 2 SUN#5", "2026-01-01T00:00Z", "2032-02-29T00:00Z"),
    ],
)
def test_rare_dates_are_found_however_far_they_are(expression: str, after: str, expected: str) -> None:
    assert parse(expression, "UTC").next_fire(datetime.fromisoformat(after)) == datetime.fromisoformat(expected)


def test_summer_time_is_followed_beyond_the_years_that_zone_files_list() -> None:
    assert times("2060-03-28", "30 2 * * *") == ["03:00+02:00"]


def test_cronsim_alone_would_lose_the_date_of_a_step_inside_a_gap() -> None:
    """Why our rules stand above it; when this fails, the module's docstring is out of date."""
    start = datetime(2026, 3, 28, 12, tzinfo=parse("@daily", PARIS).zone)
    assert next(CronSim("*/20 2 * * *", start)).isoformat() == "2026-03-30T02:00:00+02:00"


def test_an_expression_is_read_once_and_an_alias_equals_what_it_stands_for() -> None:
    assert parse("0 9 * * *", PARIS) is parse("0 9 * * *", PARIS)
    assert parse("@daily", PARIS) == parse("0 0 * * *", PARIS)
    assert parse("@daily", PARIS) != parse("0 0 * * *", "UTC")
    assert parse("0 9 * * mon", PARIS) == parse("0 9 * * 1", PARIS)


def notes(expression: str, after: str, count: int, timezone: str = PARIS) -> list[tuple[str, Note | None, str]]:
    cron = parse(expression, timezone)
    found = upcoming(cron, datetime.fromisoformat(after), count)
    return [(each.local.isoformat(timespec="minutes"), each.note, each.words) for each in found]


def test_a_preview_says_that_a_time_was_moved() -> None:
    assert notes("30 2 * * *", "2026-03-28T12:00Z", 2) == [
        ("2026-03-29T03:00+02:00", Note.MOVED, "Moved to the end of the gap: 2026-03-29 02:30 does not exist."),
        ("2026-03-30T02:30+02:00", None, ""),
    ]


def test_a_preview_says_that_times_fall_together() -> None:
    [(local, note, words)] = notes("0 2,3 * * *", "2026-03-28T12:00Z", 1)
    assert (local, note) == ("2026-03-29T03:00+02:00", Note.MERGED)
    assert words == "Runs once, also for times that the clock skips: 2026-03-29 02:00 does not exist."


def test_a_preview_says_that_a_time_comes_twice_and_which_one_this_is() -> None:
    assert notes("30 2 * * *", "2026-10-24T12:00Z", 2) == [
        (
            "2026-10-25T02:30+02:00",
            Note.FIRST_OF_REPEATED,
            "02:30 occurs twice on 2026-10-25; this is the first time and the only one that runs.",
        ),
        ("2026-10-26T02:30+01:00", None, ""),
    ]
    assert notes("30 * * * *", "2026-10-25T00:00Z", 3) == [
        (
            "2026-10-25T02:30+02:00",
            Note.FIRST_OF_REPEATED,
            "02:30 occurs twice on 2026-10-25; this is the first time.",
        ),
        ("2026-10-25T02:30+01:00", Note.REPEATED, "02:30 occurs twice on 2026-10-25; this is the second time."),
        ("2026-10-25T03:30+01:00", None, ""),
    ]


def test_a_preview_says_what_was_skipped_before_a_time() -> None:
    assert notes("30 * * * *", "2026-03-29T00:00Z", 3) == [
        ("2026-03-29T01:30+01:00", None, ""),
        ("2026-03-29T03:30+02:00", Note.SKIPPED, "Skipped before it: 2026-03-29 02:30 does not exist."),
        ("2026-03-29T04:30+02:00", None, ""),
    ]
    [(_, note, words)] = notes("* * * * *", "2026-03-29T00:59Z", 1)
    assert note is Note.SKIPPED
    assert words.endswith("2026-03-29 02:00, 2026-03-29 02:01, 2026-03-29 02:02 and 57 more do not exist.")


def test_a_preview_keeps_both_notes_where_two_changes_meet() -> None:
    [(local, note, words)] = notes("* 2 * 3,10 SUNL", "2026-03-29T00:00Z", 1)
    assert (local, note) == ("2026-10-25T02:00+02:00", Note.FIRST_OF_REPEATED)
    assert "this is the first time." in words
    assert "Skipped before it: 2026-03-29 02:00" in words


def test_a_preview_counts_fires_and_not_what_is_skipped() -> None:
    assert len(notes("30 * * * *", "2026-03-28T20:00Z", 10)) == 10
    assert notes("30 * * * *", "2026-03-28T20:00Z", 0) == []


@pytest.mark.parametrize(("expression", "count"), [("0 0 29 2 */7", 2), ("0 0 * 2 MON#5", 2), ("@yearly", 50)])
def test_a_preview_searches_fifty_years_in_total(expression: str, count: int) -> None:
    """Not fifty years per fire time, which would be 2,800 years for a hundred of the first expression."""
    assert len(notes(expression, "2026-03-28T12:00Z", 100, "UTC")) == count


def test_fires_are_strictly_increasing_through_years_of_changes() -> None:
    cron = parse("0,30 0-4 * * *", "America/Nuuk")
    found = [fire.at for fire in itertools.islice(cron.fires(datetime(2020, 1, 1, tzinfo=UTC)), 20_000)]
    assert all(earlier < later for earlier, later in itertools.pairwise(found))
