"""Dates of answers, against the parser of the standard library's mail package."""

from __future__ import annotations

import email.utils
import random

import pytest

from contract.wire import dates

MOMENT = 784111777.0  # RFC 9110's own example


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_forms(text: str) -> None:
    assert dates.seconds(text) == MOMENT


def test_the_same_as_the_mail_parser_says() -> None:
    moments = [0, 951782399, 951782400, 4107542399, 4107542400, *(random.randrange(1 << 32) for _ in range(2000))]
    for moment in moments:
        text = email.utils.formatdate(moment, usegmt=True)
        assert dates.seconds(text) == moment == email.utils.parsedate_to_datetime(text).timestamp()


def test_a_leap_second_and_a_year_of_two_digits() -> None:
    assert dates.seconds("Sat, 31 Dec 2016 23:59:60 GMT") == dates.seconds("Sun, 01 Jan 2017 00:00:00 GMT")
    assert dates.seconds("Thursday, 01-Jan-26 00:00:00 GMT") == dates.seconds("Thu, 01 Jan 2026 00:00:00 GMT")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "now",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:-7 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 30 Feb 2024 00:00:00 GMT",
        "Sat, 29 Feb 2025 00:00:00 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 19941 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
        "x" * 100_000,
        "9" * 5000 + " Nov 1994",
        "Sun, 06 Nov 1994 08:49:" + "9" * 5000 + " GMT",
    ],
)
def test_what_does_not_say_when(text: str | None) -> None:
    assert dates.seconds(text) is None
