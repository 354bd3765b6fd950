"""Users of Redmine: a browser's session, programs that read and write issues at a rate, and what each was answered."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from lab.client.arrivals import Arrivals
from scripts.host.frame.wait import until

PASSWORD, API_KEY, PROJECT = "of-the-rehearsal", "f" * 40, "shop"
# One request: method, path, body, headers; its status, headers and body. Status 0: no answer, or half of one.
Door = Callable[[str, str, str | bytes | None, Mapping[str, str]], tuple[int, http.client.HTTPMessage, bytes]]
# What an administrator does by hand in a new Redmine, in Ruby; nothing in one that has it.
BEGIN = f"""
exit if Project.exists?(identifier: "{PROJECT}")
Redmine::DefaultData::Loader.load("en")
Setting.rest_api_enabled = "1"
Setting.notified_events = %w[issue_added]
admin = User.find_by!(login: "admin")
admin.update!(password: "{PASSWORD}", password_confirmation: "{PASSWORD}", must_change_passwd: false, mail_notification: "all")
admin.pref.update!(no_self_notified: false)
Token.create!(user: admin, action: "api").update_column(:value, "{API_KEY}")
Project.create!(name: "Shop", identifier: "{PROJECT}", trackers: Tracker.all, enabled_module_names: %w[issue_tracking])
"""


class Programs:
    """What programs ask by its API, as its administrator."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def call(self, method: str, path: str, value: object = None) -> tuple[int, str]:
        """Status and body."""
        headers = {"X-Redmine-API-Key": API_KEY, "Content-Type": "application/json"}
        status, _, data = self._door(method, path, None if value is None else json.dumps(value), headers)
        return status, data.decode(errors="replace")

    def write(self, subject: str) -> int:
        """An issue; returns the status, 201 where it was made."""
        return self.call(
            "POST", "/issues.json", {"issue": {"project_id": PROJECT, "subject": subject, "tracker_id": 1}}
        )[0]

    def subjects(self) -> list[str]:
        """Of every issue there is. Raises RuntimeError for another answer than 200."""
        found: list[str] = []
        while True:
            status, text = self.call("GET", f"/issues.json?limit=100&offset={len(found)}&status_id=*&sort=id")
            if status != 200:
                raise RuntimeError(f"issues: found status {status}, wanted 200: {text[:500]}")
            told = json.loads(text)
            found += [it["subject"] for it in told["issues"]]
            if not told["issues"] or len(found) >= told["total_count"]:
                return found


class Browser:
    """As much of one as a session needs: cookies, and the token of each form. Raises RuntimeError for a page that is not the one wanted."""

    def __init__(self, door: Door) -> None:
        self._door, self.cookies, self._file = door, SimpleCookie(), ""

    def open(self, method: str, path: str, **form: str) -> tuple[int, str]:
        status, _told, data = self.send(
            method, path, urlencode(form) if form else None, "application/x-www-form-urlencoded"
        )
        return status, data.decode(errors="replace")

    def send(
        self, method: str, path: str, body: str | bytes | None, kind: str, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """`kind`: what the body is."""
        its = {"Cookie": "; ".join(f"{name}={it.value}" for name, it in self.cookies.items()), **headers}
        status, told, data = self._door(method, path, body, its if body is None else {**its, "Content-Type": kind})
        for line in told.get_all("Set-Cookie", []):
            self.cookies.load(line)
        return status, told, data

    def sign_in(self) -> None:
        form = {"authenticity_token": token(self.open("GET", "/login")[1]), "username": "admin", "password": PASSWORD}
        _wanted("sign in", self.open("POST", "/login", **form), 302)

    def who(self) -> str | None:
        """As whom it is signed in."""
        found = re.search(r'<div id="loggedas">.*?>([^<>]+)</a></div>', self.open("GET", f"/projects/{PROJECT}")[1])
        return found[1] if found else None

    def write(self, subject: str, file: bytes | None = None) -> None:
        """An issue by its form, with a file that was uploaded before, as the page's script does it."""
        page = self.open("GET", f"/projects/{PROJECT}/issues/new")[1]
        form = {"authenticity_token": token(page), "issue[tracker_id]": "1", "issue[subject]": subject}
        form |= {"issue[priority_id]": "2", "issue[status_id]": "1"}
        if file is not None:
            headers = {"X-CSRF-Token": _one(r'name="csrf-token" content="([^"]+)"', page), "Accept": "application/js"}
            _, _, told = self.send(
                "POST", "/uploads.js?attachment_id=1&filename=note.txt", file, "application/octet-stream", **headers
            )
            key = _one(r"\.val\('([^']+)'\)", told.decode(errors="replace"))
            form |= {"attachments[1][filename]": "note.txt", "attachments[1][token]": key}
        kind = "application/x-www-form-urlencoded"
        status, answered, data = self.send("POST", f"/projects/{PROJECT}/issues", urlencode(form), kind)
        _wanted("new issue", (status, data.decode(errors="replace")), 302)
        if file is not None:
            its = self.open("GET", urlsplit(answered["Location"]).path)[1]
            self._file = _one(r'href="(/attachments/download/\d+/note\.txt)"', its)

    def file(self) -> tuple[int, bytes]:
        """The last one that was uploaded: status and content."""
        status, _, data = self.send("GET", self._file, None, "")
        return status, data


def token(page: str) -> str:
    return _one(r'name="authenticity_token" value="([^"]+)"', page)


def _one(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"page of Redmine: found nothing like {pattern}: {text[:1500]}")
    return found[1]


def _wanted(what: str, answer: tuple[int, str], status: int) -> None:
    if answer[0] != status:
        raise RuntimeError(f"{what}: found status {answer[0]}, wanted {status}: {answer[1][:1500]}")


@dataclass(frozen=True)
class Answer:
    """`at`, `took`: seconds, the first of the monotonic clock, when it came; `subject`: of what was written."""

    status: int
    at: float
    took: float
    subject: str | None

    @property
    def good(self) -> bool:
        return self.status in (200, 201)


class Crowd(Arrivals):
    """Programs that read issues and write some in turn, each request once, whatever comes of it."""

    def __init__(self, door: Door, per_s: float) -> None:
        super().__init__(per_s)
        self._programs = Programs(door)
        self.answers: list[Answer] = []

    def __enter__(self) -> Crowd:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _ask(self, number: int) -> None:
        begun, subject = time.monotonic(), str(uuid.uuid4()) if number % 2 else None
        status = self._programs.write(subject) if subject else self._programs.call("GET", "/issues.json?limit=5")[0]
        now = time.monotonic()
        with self._one:
            self.answers.append(Answer(status, now, now - begun, subject))

    def wait(self, more: int) -> bool:
        """Until so many more have come."""
        wanted = self.come + more
        return until(lambda: self.come >= wanted, 60)

    def served(self, more: int, limit_s: float = 60) -> bool:
        """Wait until so many more were served."""
        wanted = len(self.good) + more
        return until(lambda: len(self.good) >= wanted, limit_s)

    @property
    def good(self) -> list[Answer]:
        with self._one:
            return [it for it in self.answers if it.good]

    @property
    def failed(self) -> list[Answer]:
        with self._one:
            return [it for it in self.answers if not it.good]

    @property
    def written(self) -> list[str]:
        """Subjects of the issues that were acknowledged."""
        return [it.subject for it in self.good if it.subject]

    @property
    def gap_s(self) -> float:
        """The longest time without an issue that was acknowledged."""
        times = sorted(it.at for it in self.good if it.subject)
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def told(self) -> str:
        longest_s = max(it.took for it in self.answers)
        return f"{len(self.answers)} requests, {len(self.failed)} failed, the longest took {longest_s:.2f} s, {self.gap_s:.2f} s without an issue"
