"""Which drills share a pair of regions, and how the one of Redmine counts."""

from __future__ import annotations

from lab.rehearsal.drill import pairs
from lab.rehearsal.drills import DRILLS, Drill
from lab.rehearsal.drills.redmine_moved import jobs, mails
from lab.rehearsal.stage import Record, Stage


def play(_: Stage, __: Record) -> None:
    raise AssertionError("nobody plays it here")


def test_drills_that_are_configured_alike_share_a_pair() -> None:
    one, other = (Drill(name, "", play) for name in ("one", "other"))
    own, its = (Drill(name, "", play, configured=dict) for name in ("own", "its"))
    third = Drill("third", "", play, configured=lambda: {})
    assert list(pairs([one, other, own, its, third, one])) == [[one, other], [own, its], [third], [one]]
    assert list(pairs([own])) == [[own]] and list(pairs([])) == []


def test_those_of_the_application_that_nobody_here_wrote_are_configured_otherwise() -> None:
    assert {name for name, it in DRILLS.items() if it.configured} == {
        "redmine-moved",
        "redmine-moved-without-the-gem",
        "redmine-in-a-browser",
    }


MAILED = """Date: Mon, 30 Nov 2026 14:00:00 +0000\r
From: Redmine <redmine@example.net>\r
Subject: [Shop - Bug #7] (New) {0}\r
X-Redmine-Issue-Id: 7\r
\r
Issue #7 has been reported by Redmine Admin.\r
Bug #7: {0}\r
Subject of none: [Shop - Bug #8] (New) no header\r
\r
\r
"""


def test_a_mail_tells_of_one_issue() -> None:
    assert mails(MAILED.format("one") + MAILED.format("after the moves")) == ["one", "after the moves"]
    assert mails("") == []


def test_jobs_are_counted_by_issue() -> None:
    found = jobs({"one", "two", "three", "failed"}, ["one", "two", "two", "lost", "lost"], {"one", "two", "three"})
    assert found == {
        "issues": 4,
        "mailed_once": 1,
        "not_mailed": 2,
        "acknowledged_not_mailed": 1,
        "mailed_twice": 1,
        "mailed_of_lost_issues": 1,
    }
