"""Real servers and real clients with libpq's two hosts: who of which site gets into the database of a site that has taken over."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from contract.services.postgres import APP_ROLE, WORKER_ROLE
from lab.pairs.loopback import seen_from
from lab.pairs.postgres import Node, Pair, caught_up
from scripts.host.postgres.layout import OWNER_ROLE
from scripts.host.postgres.text import conninfo
from scripts.host.postgres.verbs import stop_server

APPS = {"a": "127.0.0.41", "b": "127.0.0.141"}  # the app host of each site
ORDER = "insert into orders default values returning current_user, session_user"


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as made:
        for node in (made.a, made.b):
            converge(node, 1, "a")
        assert ask(made, "a", APP_ROLE, "create table orders (id serial)").stderr == ""
        caught_up(made.a, made.b)
        yield made


def converge(node: Node, epoch: int, active: str, **facts: Any) -> list[str]:
    """With the two sites' app hosts at addresses of their own."""
    clients: dict[str, Any] = {
        "app_clients": [f"{address}/32" for address in APPS.values()],
        "worker_clients": [f"{APPS[node.site]}/32"],
    }
    return node.converge(epoch, active, **clients, **facts).actions


def ask(pair: Pair, site: str, user: str, script: str = ORDER) -> subprocess.CompletedProcess[str]:
    """SQL as libpq of an app host brings it: both databases, the own site's first, the first that takes writes."""
    nodes = sorted((pair.a, pair.b), key=lambda node: node.site != site)
    with ExitStack() as stack:
        target = {
            "host": ",".join(f"db-1.{node.site}.dr.internal" for node in nodes),
            "hostaddr": "127.0.0.1,127.0.0.1",
            "port": ",".join(str(_port(node, site, stack)) for node in nodes),
            "user": user,
            "dbname": "shop",
            "target_session_attrs": "read-write",
            "sslmode": "verify-full",
            "sslrootcert": str(nodes[0].layout.papers.ca),
            **nodes[0].shown(user),
        }
        argv = [nodes[0].layout.program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", conninfo(target)]
        environment = {**os.environ, "PGPASSWORD": nodes[0].passwords["app"]}
        return subprocess.run(
            argv, input=script, env=environment, capture_output=True, text=True, timeout=30, check=False
        )


def _port(node: Node, site: str, stack: ExitStack) -> int:
    """Of a server that is down its own, at which nobody listens."""
    port = node.ports[node.site]
    return port if node.server.pid() is None else stack.enter_context(seen_from(APPS[site], port))


def move(pair: Pair, epoch: int, to: str) -> None:
    """A planned move. The old site's app hosts hear nothing of it."""
    old, new = (pair.a, pair.b) if to == "b" else (pair.b, pair.a)
    stopped = stop_server(old.call({}, "stop"), old.server).facts["checkpoint"]
    new.server.wait_replayed(stopped["lsn"], stopped["timeline"], 10)
    converge(new, epoch, to, planned=True, previous=old.site, checkpoint=stopped)


def refused(done: subprocess.CompletedProcess[str], site: str) -> bool:
    said = f'pg_hba.conf rejects connection for host "{APPS[site]}", user "{WORKER_ROLE}"'
    return done.returncode != 0 and said in done.stderr


def test_workers_of_the_site_that_was_left_are_refused_by_name_and_its_pumas_are_not(pair: Pair) -> None:
    assert ask(pair, "a", WORKER_ROLE).stdout == f"{OWNER_ROLE}|{WORKER_ROLE}\n"
    move(pair, 2, "b")
    assert refused(ask(pair, "a", WORKER_ROLE), "a"), "a worker that nobody could stop works on in the other region"
    assert ask(pair, "a", APP_ROLE).stdout == f"{OWNER_ROLE}|{APP_ROLE}\n", (
        "a warm Puma of the old site has no database"
    )
    assert ask(pair, "b", WORKER_ROLE).stdout == f"{OWNER_ROLE}|{WORKER_ROLE}\n"
    assert pair.b.sql("select count(*) from orders", "shop") == "3"

    converge(pair.a, 2, "b")
    assert refused(ask(pair, "a", WORKER_ROLE), "a"), "following is no reason to let them work: they are to be off"
    caught_up(pair.b, pair.a)
    move(pair, 3, "a")
    assert refused(ask(pair, "b", WORKER_ROLE), "b")
    assert ask(pair, "a", WORKER_ROLE).returncode == 0, "back home they are shut out"


def test_a_standby_has_no_session_of_the_other_sites_workers_that_its_promotion_would_have_to_end(pair: Pair) -> None:
    pair.a.server.stop()
    assert refused(ask(pair, "a", WORKER_ROLE, "select 1"), "a")


def test_what_a_worker_makes_is_the_shops_also_after_its_pool_has_reset_the_session(pair: Pair) -> None:
    script = "discard all; create table jobs (id int); reset role; set session authorization default; create table runs (id int)"
    assert ask(pair, "a", WORKER_ROLE, script).stderr == ""
    assert ask(pair, "a", APP_ROLE, "alter table jobs add done boolean; drop table runs").stderr == ""


CHANGES = (
    f"drop role {WORKER_ROLE}",
    f"alter role {WORKER_ROLE} nologin",
    f"alter role {WORKER_ROLE} reset role",
    f"revoke {OWNER_ROLE} from {WORKER_ROLE}",
    f"alter role {WORKER_ROLE} password 'another'",
    f"alter role {WORKER_ROLE} superuser",
)


def test_a_pair_of_before_there_was_such_a_role_and_one_that_somebody_changed_get_it_with_their_next_run(
    pair: Pair,
) -> None:
    for before in CHANGES:
        pair.a.sql(before)
        assert converge(pair.a, 1, "a") == [f"role-in-database {WORKER_ROLE}"], before
        assert converge(pair.a, 1, "a") == [], before
    assert ask(pair, "a", WORKER_ROLE).stdout == f"{OWNER_ROLE}|{WORKER_ROLE}\n"
