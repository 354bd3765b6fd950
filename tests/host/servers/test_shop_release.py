"""What the shop is told of its databases, as Rails, the pg gem and psql take it, and the lock of its process `release`.

The servers are real; Ruby runs in the guests' image.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.services.environment import database_url
from contract.services.postgres import APP_ROLE
from contract.services.processes import shell
from lab.machines import image
from lab.pairs.postgres import Pair, caught_up
from scripts.host.app.lock import KEY, TEXT
from tests.host.servers.test_shop_cart import INSIDE, ROOT

pytestmark = pytest.mark.lab


class Inside:
    """A root of a guest with the shop's certificates and environment. Its databases are named as on a host of site b: the standby first."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self.pair, self.folder = pair, folder
        client = pair.a.clients[APP_ROLE]
        for name, text in {
            "app.crt": client["cert"],
            "app.key": client["key"],
            "ca.pem": pair.a.tls["ca"],
            "release.rb": TEXT,
        }.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        self.url, self.replica = (self._url(sites) for sites in ("ba", "b"))

    def _url(self, sites: str) -> str:
        names = [f"db-1.{site}.dr.internal" for site in sites]
        made = database_url(
            names, 5432, "shop", APP_ROLE, self.pair.a.passwords["app"], ca="/mnt/test/ca.pem", writer=len(sites) > 1
        )
        ports = ",".join(str(getattr(self.pair, site).ports[site]) for site in sites)
        # Names that no resolver knows here: they are what the certificates are checked for.
        return made.replace(
            f"port={','.join(['5432'] * len(sites))}", f"port={ports}&hostaddr={','.join(['127.0.0.1'] * len(sites))}"
        )

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        told = {
            "DATABASE_URL": self.url,
            "PGSSLCERT": "/mnt/test/app.crt",
            "PGSSLKEY": "/mnt/test/app.key",
            **environment,
        }
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", str(image.ensure()), str(ROOT / "examples/shop"), str(self.folder), *command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | told | {"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip

    def said(self, *command: str, **environment: str) -> str:
        out, err = self.start(*command, **environment).communicate(timeout=60)
        return out.strip() or err

    def release(self, command: str, **environment: str) -> subprocess.Popen[str]:
        return self.start("ruby", "/mnt/test/release.rb", shell(command), **environment)


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with Pair() as pair:
        pair.up()
        caught_up(pair.a, pair.b)
        yield Inside(pair, tmp_path_factory.mktemp("shop"))


ASKED = "select pg_is_in_recovery()"
CLIENTS: dict[str, Sequence[str]] = {
    "Rails": (
        "ruby", "-e",
        'require "active_record"; ActiveRecord::Base.establish_connection(ENV["DATABASE_URL"]); '
        f'print ActiveRecord::Base.connection.select_value("{ASKED}")',
    ),
    "pg": ("ruby", "-e", f'require "pg"; print PG.connect(ENV["DATABASE_URL"]).exec("{ASKED}").getvalue(0, 0) == "t"'),
    "psql": ("sh", "-c", f'psql -XAtq "$DATABASE_URL" -c "{ASKED}" | sed "s/^f$/false/; s/^t$/true/"'),
}  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
def test_whoever_takes_the_url_is_led_to_the_writer_wherever_it_is_named(inside: Inside, client: str) -> None:
    assert inside.said(*CLIENTS[client]) == "false"
    assert inside.said(*CLIENTS[client], DATABASE_URL=inside.replica) == "true"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_database_of_another_name_is_no_database_of_the_shops(inside: Inside, client: str) -> None:
    assert "does not match host name" in inside.said(
        *CLIENTS[client], DATABASE_URL=inside.url.replace("db-1.", "db-2.")
    )


def test_two_releases_never_work_at_the_same_time(inside: Inside) -> None:
    log = inside.folder / "log"
    both = [
        inside.release(f"sh -c 'echo begin {number} >> /mnt/test/log; sleep 1; echo end {number} >> /mnt/test/log'")
        for number in (1, 2)
    ]
    assert [it.wait(60) for it in both] == [0, 0]
    lines = log.read_text().split()
    assert lines[::2] == ["begin", "end", "begin", "end"] and lines[1] == lines[3] and lines[5] == lines[7]
    held = inside.pair.a.sql(f"select count(*) from pg_locks where locktype = 'advisory' and objid = {KEY}")
    assert held == "0", "it goes with the session"


def test_a_release_ends_as_its_command_does_and_without_a_writer_it_does_not_begin(inside: Inside) -> None:
    assert inside.release("sh -c 'exit 7'").wait(60) == 7
    assert inside.release("sh -c 'kill -9 $$'").wait(60) == 1
    unwritable: Any = inside.release(
        "touch /mnt/test/begun", DATABASE_URL=inside.replica.replace("=any", "=read-write")
    )
    _, err = unwritable.communicate(timeout=60)
    assert unwritable.returncode == 1 and err.startswith("ERROR release: found no database that writes")
    assert not (inside.folder / "begun").exists()
