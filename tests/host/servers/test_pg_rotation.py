"""The shop's logins are rotated on a real pair: customers' sessions and new ones go on through every stage, and the old ones open nothing afterwards."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from contract.rotation import Stage
from contract.services.postgres import REPLICATION_ROLE, Logins
from lab.pairs.postgres import Node, Pair, caught_up
from scripts.ctl.stacks.secrets import CLIENT, Authority
from scripts.host.frame.wait import until
from scripts.host.postgres.layout import OWNER_ROLE
from scripts.host.postgres.text import conninfo
from scripts.host.postgres.verbs import open_logins, stop_server

OLD, NEW = Logins.pair(1), Logins.pair(2)
NEXT = "a-password-of-the-other-pair"
ORDER = "insert into orders default values returning current_user, session_user"
AT_REST = "rest"


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as made:
        given(made)
        for node in (made.a, made.b):
            stage(node, AT_REST, 1, "a")
        assert ask(made.a, OLD.app, "create table orders (id serial)").stderr == ""
        caught_up(made.a, made.b)
        yield made


def given(pair: Pair) -> None:
    """Certificates of the other pair, of another CA, as `drctl rotate` makes them."""
    authority = Authority("database")
    made: dict[str, Any] = {
        role: authority.issue([role], purposes=(CLIENT,)) for role in (NEW.app, NEW.worker, REPLICATION_ROLE)
    }
    made["ca"] = authority.certificate_pem
    for node in (pair.a, pair.b):
        node.clients = {**node.clients, "next": made, NEW.app: made[NEW.app], NEW.worker: made[NEW.worker]}


def stage(node: Node, which: str, epoch: int, active: str, **changes: Any) -> list[str]:
    """A converge of one host with what this stage tells it. Returns its steps."""
    old, new, first = node.clients, node.clients["next"], node.passwords
    both = f"{old['ca']}\n{new['ca']}"
    told: dict[str, tuple[int, str, str | None, str, Any]] = {
        AT_REST: (1, first["app"], None, old["ca"], old[REPLICATION_ROLE]),
        Stage.BESIDE: (1, first["app"], NEXT, both, old[REPLICATION_ROLE]),
        Stage.TURNED: (2, NEXT, first["app"], both, new[REPLICATION_ROLE]),
        Stage.ENDED: (2, NEXT, None, new["ca"], new[REPLICATION_ROLE]),
    }
    login, app, beside, ca, shown = told[which]
    words = {"replication": first["replication"], "app": app, "beside": beside}
    return node.converge(epoch, active, login=login, passwords=words, tls={"ca": ca, **shown}, **changes).actions


def connection(node: Node, user: str, shown: dict[str, str] | None = None) -> list[str]:
    """The command line of a client that signs in as the shop does."""
    target = {
        "host": f"db-1.{node.site}.dr.internal",
        "hostaddr": "127.0.0.1",
        "port": str(node.ports[node.site]),
        "user": user,
        "dbname": "shop",
        "sslmode": "verify-full",
        "sslrootcert": str(node.layout.papers.ca),
        **(shown or node.shown(user)),
    }
    return [node.layout.program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", conninfo(target)]


def ask(node: Node, user: str, script: str = ORDER, password: str | None = None) -> subprocess.CompletedProcess[str]:
    word = password or (NEXT if user in (NEW.app, NEW.worker) else node.passwords["app"])
    environment = {**os.environ, "PGPASSWORD": word}
    argv = connection(node, user)
    return subprocess.run(argv, input=script, env=environment, capture_output=True, text=True, timeout=30, check=False)


@dataclass
class Customers:
    """They come one after the other, each with a session of its own, as `user`; what went wrong is kept."""

    node: Node
    user: str = OLD.app
    served: int = 0
    errors: list[str] = field(default_factory=list)

    @contextmanager
    def coming(self) -> Iterator[None]:
        over = threading.Event()

        def come() -> None:
            while not over.is_set():
                done = ask(self.node, self.user)
                if done.returncode == 0:
                    self.served += 1
                else:
                    self.errors.append(done.stderr)

        thread = threading.Thread(target=come)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def some(self) -> None:
        """Until a few more were here."""
        before = self.served + len(self.errors)
        assert until(lambda: self.served + len(self.errors) > before + 3, 20)


@contextmanager
def session(node: Node, user: str) -> Iterator[subprocess.Popen[str]]:
    """One that stays, as a pool's."""
    environment = {**os.environ, "PGPASSWORD": node.passwords["app"]}
    with subprocess.Popen(
        connection(node, user), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            says(process)
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str]) -> None:
    """It still answers."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{ORDER};\n")
    process.stdin.flush()
    assert process.stdout.readline().startswith(OWNER_ROLE)


def sender(node: Node) -> str:
    """The process that streams to the standby."""
    return node.sql(
        "select pid from pg_stat_replication where application_name ~ '^dr_[a-z]+$' and state = 'streaming'"
    )


def streams_anew(node: Node, before: str) -> bool:
    return sender(node) not in ("", before)


def test_nobody_is_refused_while_the_logins_are_rotated_and_the_old_ones_open_nothing_afterwards(pair: Pair) -> None:
    customers, stream = Customers(pair.a), sender(pair.a)
    assert stream
    with session(pair.a, OLD.app) as pool, customers.coming():
        for node in (pair.b, pair.a):
            stage(node, Stage.BESIDE, 1, "a")
            says(pool)
        customers.some()
        assert ask(pair.a, NEW.worker).stdout == f"{OWNER_ROLE}|{NEW.worker}\n"
        for node in (pair.b, pair.a):
            stage(node, Stage.TURNED, 1, "a")
            customers.some()  # hosts of the shop that have not heard of it yet
            says(pool)
        customers.user = NEW.app
        customers.some()
        assert open_logins(pair.a.server)["logins"][OLD.app] >= 1, "the pool's"
        for node in (pair.b, pair.a):
            assert not [it for it in stage(node, Stage.ENDED, 1, "a") if it == f"shut-out {OLD.app}"]
            says(pool)
        customers.some()
        assert f"{OLD.app} (1 sessions)" in pair.a.log.getvalue()
    assert customers.errors == [] and customers.served > 10
    assert sender(pair.a) == stream, "the standby's stream was never cut"

    assert until(lambda: open_logins(pair.a.server)["logins"][OLD.app] == 0, 10)
    assert stage(pair.a, Stage.ENDED, 1, "a") == [f"shut-out {OLD.app}"]
    assert stage(pair.a, Stage.ENDED, 1, "a") == []
    assert set(open_logins(pair.a.server)["logins"]) == {NEW.app, NEW.worker}
    assert (
        pair.a.sql(
            "select count(*) from pg_authid where rolname in ('shop', 'shop_worker') and rolpassword is not null"
        )
        == "0"
    )
    for user in (OLD.app, OLD.worker):
        assert ask(pair.a, user).returncode != 0, "what was in the hands of a host that was taken still opens the shop"
    assert ask(pair.a, NEW.app, password=pair.a.passwords["app"]).returncode != 0
    caught_up(pair.a, pair.b)


def test_a_certificate_of_the_old_ca_is_shown_in_vain_and_the_standby_comes_back_by_the_new_one(pair: Pair) -> None:
    for which in (Stage.BESIDE, Stage.TURNED, Stage.ENDED):
        for node in (pair.b, pair.a):
            stage(node, which, 1, "a")
    old = pair.authority.issue([NEW.app], purposes=(CLIENT,))
    pair.a.clients[NEW.app], kept = old, pair.a.clients[NEW.app]
    assert "unknown ca" in ask(pair.a, NEW.app).stderr
    pair.a.clients[NEW.app] = kept
    assert ask(pair.a, NEW.app).returncode == 0
    pair.b.server.stop()
    stage(pair.b, Stage.ENDED, 1, "a")
    assert until(lambda: sender(pair.a) != "", 20)


@pytest.mark.parametrize(
    ("here", "there"),
    [(Stage.BESIDE, AT_REST), (Stage.TURNED, Stage.BESIDE), (Stage.BESIDE, Stage.TURNED), (Stage.TURNED, Stage.ENDED)],
)
def test_a_planned_move_between_any_two_neighbouring_stages_leaves_the_shop_a_way_in(
    pair: Pair, here: str, there: str
) -> None:
    """`here`: what the region that is left was told last, `there` the one that takes over."""
    before = {AT_REST: 0, Stage.BESIDE: 1, Stage.TURNED: 2, Stage.ENDED: 3}
    for which in (AT_REST, Stage.BESIDE, Stage.TURNED, Stage.ENDED):
        for node, last in ((pair.b, there), (pair.a, here)):
            if before[which] <= before[last]:
                stage(node, which, 1, "a")
    caught_up(pair.a, pair.b)
    stopped = stop_server(pair.a.call({}, "stop"), pair.a.server).facts["checkpoint"]
    pair.b.server.wait_replayed(stopped["lsn"], stopped["timeline"], 10)
    stage(pair.b, there, 2, "b", planned=True, previous="a", checkpoint=stopped)
    for who in (here, there):  # hosts of both regions, as they have been told
        user = OLD.app if before[who] < before[Stage.TURNED] else NEW.app
        assert ask(pair.b, user).stdout == f"{OWNER_ROLE}|{user}\n"
    stage(pair.a, here, 2, "b")
    assert until(lambda: sender(pair.b) != "", 20), "the region that was left does not follow"
    for node in (pair.b, pair.a):  # and the rotation goes on from there
        stage(node, Stage.TURNED, 2, "b")
    for node in (pair.b, pair.a):
        stage(node, Stage.ENDED, 2, "b")
    assert ask(pair.b, NEW.app).returncode == 0 and ask(pair.b, OLD.app).returncode != 0


def test_a_role_of_somebody_elses_that_bears_such_a_name_is_left_alone(pair: Pair) -> None:
    pair.a.sql(f"create role {NEW.app} login password 'theirs'")
    assert stage(pair.a, AT_REST, 1, "a") == []
    assert pair.a.sql(f"select rolcanlogin from pg_roles where rolname = '{NEW.app}'") == "t"


def test_a_third_rotation_goes_back_to_the_first_names_with_another_password(pair: Pair) -> None:
    for which in (Stage.BESIDE, Stage.TURNED, Stage.ENDED):
        stage(pair.a, which, 1, "a")
    first = pair.a.passwords["app"]
    pair.a.passwords["app"] = "a-third-password-of-the-shop"
    stage(pair.a, Stage.TURNED, 1, "a")
    assert ask(pair.a, OLD.app).returncode == 0 and ask(pair.a, OLD.app, password=first).returncode != 0


def test_another_password_of_the_standbys_role_cuts_no_stream_and_the_standby_comes_back_by_it(pair: Pair) -> None:
    """As docs/rotation.md has it done by hand: the active region's run, then the standby's."""
    stream = sender(pair.a)
    for node in (pair.a, pair.b):
        node.passwords["replication"] = "another-password-of-the-standbys-role"
        stage(node, AT_REST, 1, "a")
        assert sender(pair.a) == stream
    pair.b.server.stop()
    stage(pair.b, AT_REST, 1, "a")
    assert sender(pair.a) not in ("", stream)


def test_a_databases_own_certificate_is_of_another_ca_afterwards_and_the_stream_is_cut_at_no_stage(pair: Pair) -> None:
    old, authority = {node.site: dict(node.tls) for node in (pair.a, pair.b)}, Authority("hosts")
    new = {site: {"ca": authority.certificate_pem, **authority.issue([f"db-1.{site}.dr.internal"])} for site in "ab"}
    customers, stream = Customers(pair.a), sender(pair.a)
    with customers.coming():
        for which in (Stage.BESIDE, Stage.TURNED, Stage.ENDED):
            for node in (pair.b, pair.a):
                shown = old[node.site] if which == Stage.BESIDE else new[node.site]
                both = f"{old[node.site]['ca']}\n{authority.certificate_pem}"
                node.tls = {**shown, "ca": authority.certificate_pem if which == Stage.ENDED else both}
                assert "reload" in stage(node, AT_REST, 1, "a")
                customers.some()
            assert sender(pair.a) == stream, "the standby's stream was cut"
            pair.a.sql(f"select pg_terminate_backend({stream})")
            assert until(partial(streams_anew, pair.a, stream), 20), f"{which}: it does not come back"
            stream = sender(pair.a)
    assert customers.errors == [] and customers.served > 10
    for node in (pair.a, pair.b):
        other = node.root / "old-ca.pem"
        other.write_text(old[node.site]["ca"])
        argv = [it.replace(str(node.layout.papers.ca), str(other)) for it in connection(node, OLD.app)]
        word = {**os.environ, "PGPASSWORD": node.passwords["app"]}
        done = subprocess.run(argv, input="select 1", env=word, capture_output=True, text=True, timeout=30, check=False)
        assert "certificate verify failed" in done.stderr, "whoever has the old key could still be the database"


def test_the_standbys_password_is_another_afterwards_and_it_comes_back_at_each_step(pair: Pair) -> None:
    old, stream = pair.a.passwords["replication"], sender(pair.a)
    for which in (Stage.BESIDE, Stage.TURNED, Stage.ENDED):
        for node in (pair.b, pair.a):
            word, asked = old if which == Stage.BESIDE else NEXT, which == Stage.ENDED
            words = {**node.passwords, "replication": word, "replication_rotated": not asked}
            node.converge(
                1, "a", passwords=words, login=1, tls={"ca": node.clients["ca"], **node.clients[REPLICATION_ROLE]}
            )
            assert sender(pair.a) == stream, f"{which}: the stream was cut"
            pair.a.sql(f"select pg_terminate_backend({stream})")
            assert until(partial(streams_anew, pair.a, stream), 20), f"{which}, {node.site}: it does not come back"
            stream = sender(pair.a)
    caught_up(pair.a, pair.b)
    target = [it.replace("dbname='shop'", "dbname='postgres'") for it in connection(pair.a, REPLICATION_ROLE)]
    for word, code in ((old, 2), (NEXT, 0)):
        environment = {**os.environ, "PGPASSWORD": word}
        done = subprocess.run(
            target, input="select 1", env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == code, done.stderr
