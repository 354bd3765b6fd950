"""As whom a copier works that root has started."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.assets import hands

OWNERS = {"/var/lib/dr/assets": 990, "/var/lib/dr/assets/state": 990, "/people/alice": 1000, "/srv/link": 0}
LINKS = {"/srv/link": "/people/alice", "/var/lib/dr/assets/state": "/etc"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders and to whom they belong, all others root's; a link that the copier's user has planted, and one of root's."""

    def resolved(path: Path) -> Path:
        for link, target in LINKS.items():
            if path.is_relative_to(link):
                return Path(target) / path.relative_to(link)
        return path

    monkeypatch.setattr(
        os.path,
        "lexists",
        lambda path: str(path) in {"/", "/etc", "/srv", "/var", "/var/lib", "/var/lib/dr", "/people", *OWNERS},
    )
    monkeypatch.setattr(Path, "lstat", lambda path: SimpleNamespace(st_uid=OWNERS.get(str(path), 0)))
    monkeypatch.setattr(Path, "resolve", resolved)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("folder", "user"),
    [
        ("/var/lib/dr/assets", 990),
        ("/var/lib/dr/assets/new/one", 990),  # yet to be made
        ("/var/lib/dr/assets/state", 990),  # whoever planted the link does the work, not who owns what it leads to
        ("/people/alice/state", 1000),
        ("/srv/link/state", 1000),
        ("/srv/state", 0),
        ("/etc/state", 0),
    ],
)
def test_the_work_is_that_users_who_has_a_part_of_the_way(folder: str, user: int) -> None:
    assert hands.holder(Path(folder)) == user


@pytest.mark.usefixtures("machine")
def test_root_becomes_that_user_for_good_and_everybody_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[object] = []
    system = SimpleNamespace(
        path=os.path,
        geteuid=lambda: 0,
        setgroups=became.append,
        setresgid=lambda *ids: became.append(ids),
        setresuid=lambda *ids: became.append(ids),
    )
    monkeypatch.setattr(hands, "os", system)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_gid=uid + 1))
    hands.become_holder(Path("/srv/state"))
    assert became == []
    hands.become_holder(Path("/var/lib/dr/assets/state"))
    assert became == [[], (991,) * 3, (990,) * 3], "groups first: who is not root cannot change them"
    system.geteuid = lambda: 1000
    hands.become_holder(Path("/var/lib/dr/assets/state"))
    assert len(became) == 3
