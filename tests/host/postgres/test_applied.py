"""Managed files brought into force, where the server's own user may put something else in their places."""

from __future__ import annotations

import getpass
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import Failed
from scripts.host.frame.due import Due
from scripts.host.frame.files import ManagedFile
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.postgres import applied
from scripts.host.postgres.applied import Applied
from scripts.host.postgres.layout import PostgresLayout

SECRET = "of root alone\n"


@pytest.fixture
def layout(tmp_path: Path) -> PostgresLayout:
    made = PostgresLayout(Layout(tmp_path), 17, getpass.getuser())
    (made.conf / "conf.d").mkdir(parents=True)
    (tmp_path / "secret").write_text(SECRET)
    return made


def of_host(layout: PostgresLayout, server: Any) -> Applied:
    return Applied(SimpleNamespace(), layout, server, SimpleNamespace(), Log(io.StringIO(), "postgres"))  # type: ignore[arg-type]


def files(layout: PostgresLayout) -> list[str]:
    return [path.read_text() for path in layout.conf.rglob("*") if path.is_file() and not path.is_symlink()]


@pytest.mark.parametrize("way", ["file", "folder"])
def test_what_a_link_leads_to_is_not_copied_for_the_servers_user(
    layout: PostgresLayout, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A server that runs and has no proven file yet: root makes that user a copy of the one in force."""
    monkeypatch.setattr(applied, "managed_files", lambda *_: [])
    if way == "file":
        (layout.conf / "conf.d/dr.conf").symlink_to(layout.base.root / "secret")
    else:
        elsewhere = layout.base.root / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "dr.conf").write_text(SECRET)
        (layout.conf / "conf.d").rmdir()
        (layout.conf / "conf.d").symlink_to(elsewhere)
        layout.conf.chmod(0o777)  # whoever may write here may have placed it
    of_host(layout, SimpleNamespace(pid=lambda: 7)).write({})
    assert files(layout) == []


def test_a_guard_of_which_a_busy_service_manager_has_not_heard_is_told_to_it_again(
    layout: PostgresLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would start without it, and the file is as wanted."""
    guard = ManagedFile(path=layout.base.units / "postgresql@17-main.service.d/dr-guard.conf", content="[Service]\n")
    monkeypatch.setattr(applied, "managed_files", lambda *_: [guard])
    heard = list[str]()

    def busy() -> None:
        heard.append("asked")
        if len(heard) == 1:
            raise Failed("program systemctl: no end within 60 s")

    one = of_host(layout, SimpleNamespace(pid=lambda: None))
    one.units = SimpleNamespace(daemon_reload=busy)
    with pytest.raises(Failed):
        one.write({})
    assert Due(layout.base, "postgres").stale([guard]) == [str(guard.path)] and not guard.differs()
    one.write({})
    assert len(heard) == 2 and Due(layout.base, "postgres").stale([guard]) == []


def test_what_a_link_leads_to_is_neither_told_nor_started_with(layout: PostgresLayout) -> None:
    """A server that does not start: what was proven comes back, and the names that differ are told."""

    def start() -> None:
        raise Failed("unit postgresql@17-main.service: failed")

    (layout.conf / "conf.d/dr.conf").write_text("port = 5432\n")
    (layout.conf / "dr.conf.proven").symlink_to(layout.base.root / "secret")
    with pytest.raises(Failed, match="failed") as told:
        of_host(layout, SimpleNamespace(start=start)).start()
    assert "of root" not in str(told.value) and files(layout) == ["port = 5432\n"]


def test_what_the_server_started_with_last_comes_back(layout: PostgresLayout) -> None:
    good, bad = "port = 5432\nshared_buffers = '1GB'\n", "port = 5432\nshared_buffers = '900GB'\n"
    (layout.conf / "conf.d/dr.conf").write_text(good)
    of_host(layout, SimpleNamespace(start=lambda: None)).start()
    (layout.conf / "conf.d/dr.conf").write_text(bad)

    def start() -> None:
        if "900GB" in (layout.conf / "conf.d/dr.conf").read_text():
            raise Failed("unit postgresql@17-main.service: failed")

    with pytest.raises(Failed, match=r"parameters shared_buffers: found a server that does not start with them"):
        of_host(layout, SimpleNamespace(start=start)).start()
    assert files(layout) == [good, good]
