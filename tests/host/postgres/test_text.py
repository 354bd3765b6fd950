"""Texts of PostgreSQL: recorded output read, hostile values written."""

from __future__ import annotations

import pytest

from scripts.host.postgres import scram
from scripts.host.postgres import text as pg_text

CONTROL = """\
pg_control version number:            1300
Database system identifier:           7711968669134443323
Database cluster state:               shut down in recovery
pg_control last modified:             Wed 25 Nov 2026 04:57:02 AM UTC
Latest checkpoint location:           0/3000E48
Latest checkpoint's REDO location:    0/3000E10
Latest checkpoint's REDO WAL file:    000000010000000000000003
Latest checkpoint's TimeLineID:       1
Latest checkpoint's PrevTimeLineID:   1
Minimum recovery ending location:     0/3000EC0
Min recovery ending loc's timeline:   2
Backup start location:                0/0
"""


def test_control_data_is_read() -> None:
    found = pg_text.control_data(CONTROL)
    assert found == pg_text.ControlData("7711968669134443323", "shut down in recovery", "0/3000E48", 1, "0/3000EC0", 2)
    assert pg_text.control_data(CONTROL.replace("Latest checkpoint location", "Latest")) is None


def test_a_history_of_two_failovers_is_read() -> None:
    text = "1\t0/3000EC0\tno recovery target specified\n\n# a comment\n2\t1A/B0000D8\tno recovery target specified\n"
    assert pg_text.history(text) == [(1, "0/3000EC0"), (2, "1A/B0000D8")]


def test_positions_are_compared_as_numbers_not_as_text() -> None:
    assert pg_text.lsn("0/9000000") < pg_text.lsn("0/10000000") < pg_text.lsn("1/0") < pg_text.lsn("A/0")


@pytest.mark.parametrize(
    ("value", "quoted"),
    [("plain", "k='plain'"), ("it's", r"k='it\'s'"), ("a\\b", r"k='a\\b'"), ("sp ace %@é", "k='sp ace %@é'")],
)
def test_a_connection_string_quotes_each_value(value: str, quoted: str) -> None:
    assert pg_text.conninfo({"k": value}) == quoted


def test_a_connection_string_inside_a_setting_is_escaped_for_both_readers() -> None:
    assert pg_text.setting(pg_text.conninfo({"passfile": "/x'\\"})) == r"""'passfile=''/x\\''\\\\'''"""
    with pytest.raises(ValueError, match="several lines"):
        pg_text.setting("a\nb")


def test_a_password_file_escapes_colons_and_backslashes() -> None:
    assert pg_text.passfile_line("h", 5432, "u", "a:b\\c'é") == "h:5432:*:u:a\\:b\\\\c'é\n"


def test_a_verifier_is_recognised_and_no_other_password_is() -> None:
    # The example of RFC 7677: user "user", password "pencil", this salt, 4096 rounds.
    salt = b"[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81"
    stored = scram.verifier("pencil", salt)
    assert stored.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    assert scram.matches("pencil", stored)
    assert not scram.matches("pencils", stored)
    assert not scram.matches("pencil", None) and not scram.matches("pencil", "md5abc")


def test_passwords_are_prepared_as_the_client_prepares_them() -> None:
    assert scram.prepared("I\u00adX") == "IX"
    assert scram.prepared("\u2168") == "IX"
    assert scram.prepared("a\u00a0b") == "a b"
    assert scram.prepared("\x07") == "\x07", "what the preparation forbids is used as it is"


def test_names_in_the_access_rules_are_names() -> None:
    assert pg_text.hba_word("all") == '"all"' and pg_text.hba_word('a"b') == '"a""b"'


@pytest.mark.parametrize(
    ("own", "timeline", "other", "newer", "found"),
    [
        ([], 1, [(1, "0/3000EC0")], 2, (1, "0/3000EC0")),
        ([(1, "0/3000000")], 2, [(1, "0/3000000"), (2, "0/9000000")], 3, (2, "0/9000000")),
        ([(1, "0/3000000"), (2, "0/10000000")], 3, [(1, "0/3000000"), (2, "0/9000000")], 4, (2, "0/9000000")),
        ([(1, "0/3000000")], 2, [(1, "0/2000000")], 2, (1, "0/2000000")),
        ([(1, "0/3000000")], 2, [(7, "0/3000000")], 8, None),
        ([], 1, [], 1, None),
    ],
    ids=["first", "second", "both-left-one", "same-number-twice", "strangers", "the-same"],
)
def test_where_two_histories_part(own: list, timeline: int, other: list, newer: int, found: tuple | None) -> None:  # type: ignore[type-arg]
    assert pg_text.fork(own, timeline, other, newer) == found


def test_the_file_of_a_position_is_named_as_the_server_names_it() -> None:
    assert pg_text.segment_name(1, pg_text.lsn("0/3000EC0"), 16 << 20) == "000000010000000000000003"
    assert pg_text.segment_name(0x1A, pg_text.lsn("2A/FF000000"), 16 << 20) == "0000001A0000002A000000FF"
    assert pg_text.segment_name(1, pg_text.lsn("2/80000000"), 1 << 30) == "000000010000000200000002"


def test_what_decides_about_a_rewind_is_read_from_control_data() -> None:
    more = "wal_log_hints setting:                off\nmax_connections setting:              20\nmax_prepared_xacts setting:           3\n"
    for line, rewindable in (
        ("Data page checksum version:           1\n", True),
        ("Data page checksum version:           0\n", False),
    ):
        found = pg_text.control_data(CONTROL + more + line)
        assert found is not None and found.rewindable is rewindable
        assert found.limits == {"max_connections": 20, "max_prepared_transactions": 3}
