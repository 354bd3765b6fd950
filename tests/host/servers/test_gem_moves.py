"""An application of a page with the gem `shop_dr`, under load, while its real writer moves; and the same one without the gem.

Ruby runs in the guests' image, with Debian's Rails and Puma.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from contract.hosts import DATABASE, first, fqdn_of
from contract.services.postgres import APP_ROLE
from lab.client.arrivals import Arrivals
from lab.machines import image
from lab.pairs.loopback import free_port
from lab.pairs.postgres import Node, Pair, caught_up
from scripts.host.frame.wait import until
from scripts.host.postgres.layout import OWNER_ROLE
from scripts.host.postgres.verbs import stop_server
from tests.host.servers.test_shop_cart import INSIDE, ROOT

pytestmark = pytest.mark.lab

GEM = ROOT / "gems/shop_dr"
THREADS = 8
AR_TRIES_S = 0.5  # Active Record itself tries again sooner than that
TABLE = f"""
set role {OWNER_ROLE};
create table orders (id bigserial primary key, key uuid not null, kind text not null, unique (key, kind));
"""


def url(pair: Pair, folder: Path) -> str:
    """`DATABASE_URL` as a host gives it, but for `hostaddr`: nobody here knows the hosts' names."""
    names = ",".join(fqdn_of(first(DATABASE), site) for site in "ab")
    told = {
        "host": names, "hostaddr": "127.0.0.1,127.0.0.1", "port": ",".join(str(pair.a.ports[site]) for site in "ab"), "user": APP_ROLE,
        "password": pair.a.passwords["app"], "target_session_attrs": "read-write", "sslmode": "verify-full", "sslrootcert": "/mnt/test/ca.pem",
        "connect_timeout": "2", "pool": str(THREADS),
    }  # fmt: skip
    (folder / "ca.pem").write_text("".join(node.tls["ca"] for node in (pair.a, pair.b)))
    for name, text in pair.a.clients[APP_ROLE].items():
        (folder / f"shop.{name}").write_text(text)
        (folder / f"shop.{name}").chmod(0o600)
    return "postgresql:///shop?" + urlencode(told, quote_via=quote, safe="")


class App:
    """One process of Puma."""

    def __init__(self, pair: Pair, folder: Path, **env: str) -> None:
        self.port = free_port()
        self.log = folder / "app.log"
        told = {
            "DATABASE_URL": url(pair, folder), "PGSSLCERT": "/mnt/test/shop.cert", "PGSSLKEY": "/mnt/test/shop.key", "RAILS_ENV": "production",
            "RAILS_MAX_THREADS": str(THREADS), "HOME": "/root", "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **env,
        }  # fmt: skip
        puma = [
            "env",
            "-C",
            "/mnt/shop/test/app",
            "puma",
            "-b",
            f"tcp://127.0.0.1:{self.port}",
            "-t",
            f"{THREADS}:{THREADS}",
            "config.ru",
        ]
        with self.log.open("w") as out:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", str(image.ensure()), str(GEM), str(folder), *puma],
                stdout=out, stderr=out, env=told, cwd="/",
            )  # fmt: skip

    def ask(self, method: str, path: str, **form: str) -> tuple[int, bytes]:
        """Status and body; 0 where the connection broke."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            body = urlencode(form) if form else None
            connection.request(
                method, path, body, {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def away_s(self) -> float:
        """For how long it has known of no writer; 0 while it knows one."""
        return float(json.loads(self.ask("GET", "/health")[1])["away_s"] or 0)

    def up(self) -> None:
        assert until(lambda: self._process.poll() is not None or self.ask("GET", "/orders")[0] == 200, 60)
        assert self._process.poll() is None, self.log.read_text()[-4000:]

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


class Customers(Arrivals):
    """A few who ask and order, at a given rate together, until told to go. Each answer is kept."""

    def __init__(self, app: App, per_s: float) -> None:
        super().__init__(per_s)
        self.app = app
        self.answers: list[tuple[int, float, str | None]] = []  # status, seconds, key of an order

    def __enter__(self) -> Customers:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _ask(self, number: int) -> None:
        begun, key = time.monotonic(), None if number % 2 else str(uuid.uuid4())
        status, _ = self.app.ask("POST", "/orders", key=key) if key else self.app.ask("GET", "/orders")
        with self._one:
            self.answers.append((status, time.monotonic() - begun, key))

    def served(self, more: int) -> bool:
        """Wait until so many more were served."""
        wanted = self._good() + more
        return until(lambda: self._good() >= wanted, 30)

    def _good(self) -> int:
        with self._one:
            return sum(status in (200, 201) for status, *_ in self.answers)

    @property
    def failed(self) -> list[int]:
        with self._one:
            return [status for status, *_ in self.answers if status not in (200, 201)]

    def told(self) -> str:
        """The figures, in words."""
        longest_s = max(seconds for _, seconds, _ in self.answers)
        return f"{len(self.answers)} requests, {len(self.failed)} failed, the longest took {longest_s:.2f} s"

    @property
    def ordered(self) -> list[str]:
        return [key for status, _, key in self.answers if key and status == 201]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as made:
        made.up()
        made.a.sql(TABLE, "shop")
        caught_up(made.a, made.b)
        yield made


@contextmanager
def running(pair: Pair, folder: Path, **env: str) -> Iterator[App]:
    app = App(pair, folder, **env)
    try:
        app.up()
        yield app
    finally:
        app.close()


def move(old: Node, new: Node, epoch: int, meanwhile: Callable[[], object] = lambda: None) -> float:
    """A planned move of the database, with `meanwhile` while nobody writes; returns for how many seconds at most nobody wrote.

    That is the time of the commands, from the stop to the promoted one's settling.
    """
    begun = time.monotonic()
    facts = stop_server(old.call({}, "stop"), old.server).facts
    new.server.wait_replayed(facts["checkpoint"]["lsn"], facts["checkpoint"]["timeline"], 10)
    meanwhile()
    told = {"planned": True, "previous": old.site, "checkpoint": facts["checkpoint"]}
    new.converge(epoch, new.site, **told)
    gap = time.monotonic() - begun
    old.converge(epoch, new.site, **told)
    return gap


def kept_of(node: Node) -> dict[str, list[str]]:
    """Kinds of what is kept, by key."""
    lines = node.sql(
        "select key || ' ' || string_agg(kind, ',' order by kind) from orders group by key", "shop"
    ).splitlines()
    return {line.split()[0]: line.split()[1].split(",") for line in lines}


def test_no_request_fails_while_the_writer_moves_there_and_back(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(pair, tmp_path) as app:
        with Customers(app, 50) as customers:
            assert customers.served(50)
            there = move(pair.a, pair.b, 2)
            assert customers.served(100)
            back = move(pair.b, pair.a, 3)
            assert customers.served(100)
        health = json.loads(app.ask("GET", "/health/deep")[1])
    with capsys.disabled():
        print(f"\nwith the gem: {customers.told()}; moves of {there:.2f} and {back:.2f} s")
    assert customers.failed == [], app.log.read_text()[-6000:]
    kept = kept_of(pair.a)
    assert set(customers.ordered) == set(kept) and all(kinds == ["first", "second"] for kinds in kept.values())
    assert health["ok"] is True and health["database"]["role"] == "primary" and health["counters"]["writer_lost"] >= 2
    assert health["counters"]["held"] > 0 and health["counters"]["held_now"] == 0
    held = [line for line in app.log.read_text().splitlines() if "shop_dr: held" in line]
    assert len(held) == health["counters"]["held"], "one line each"


def test_without_the_gem_requests_fail(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(pair, tmp_path, WITHOUT="1") as app, Customers(app, 50) as customers:
        assert customers.served(50)
        # A move of some tenths of a second may pass between two tries of Active Record's own: this one lasts until a request has failed.
        there = move(pair.a, pair.b, 2, lambda: until(lambda: bool(customers.failed), 20))
        assert customers.served(100)
    with capsys.disabled():
        print(f"\nwithout it: {customers.told()}; a move of {there:.2f} s")
    assert customers.failed


def test_a_writer_that_dies_loses_no_acknowledged_order_and_none_is_there_twice(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What may have been committed when the line was cut is the one kind of request that may fail, and is then not run again."""
    with running(pair, tmp_path) as app:
        with Customers(app, 50) as customers:
            assert customers.served(50)
            pair.a.kill()
            pair.b.converge(2, "b")
            assert customers.served(100)
        counters = json.loads(app.ask("GET", "/health/deep")[1])["counters"]
    with capsys.disabled():
        print(f"\na dead writer: {customers.told()}")
    assert len(customers.failed) <= counters["not_retried"], app.log.read_text()[-6000:]
    assert all(kinds == ["first", "second"] for kinds in kept_of(pair.b).values())


def test_a_request_in_the_midst_of_its_transaction_begins_anew_and_writes_once(pair: Pair, tmp_path: Path) -> None:
    key, answers = str(uuid.uuid4()), list[int]()
    with running(pair, tmp_path) as app:
        thread = threading.Thread(target=lambda: answers.append(app.ask("POST", "/orders", key=key, slowly="1")[0]))
        thread.start()
        assert until(
            lambda: pair.a.sql("select count(*) from pg_stat_activity where state = 'idle in transaction'") == "1", 10
        )
        move(pair.a, pair.b, 2)
        thread.join(60)
    assert answers == [201] and kept_of(pair.b) == {key: ["first", "second"]}
    assert "POST /orders" in app.log.read_text() and "ran 2 times" in app.log.read_text()


def test_a_request_that_has_committed_something_is_never_run_again(pair: Pair, tmp_path: Path) -> None:
    key, answers = str(uuid.uuid4()), list[int]()
    with running(pair, tmp_path) as app:
        thread = threading.Thread(target=lambda: answers.append(app.ask("GET", f"/after?key={key}&slowly=2")[0]))
        thread.start()
        assert until(lambda: kept_of(pair.a) == {key: ["kept"]}, 10)
        pair.a.kill()
        thread.join(60)
        assert json.loads(app.ask("GET", "/health")[1])["ok"] is True
    assert answers == [500]
    assert app.log.read_text().count('Started GET "/after') == 1


@pytest.mark.parametrize(("behind", "kinds"), [("", ["kept", "lost"]), ("&reads=1", ["kept"])])
def test_what_comes_behind_a_commit_waits_in_its_place(
    pair: Pair, tmp_path: Path, behind: str, kinds: list[str]
) -> None:
    """The request itself is not run again: a statement that only reads is, and one that was not sent yet."""
    key, answers = str(uuid.uuid4()), list[int]()
    with running(pair, tmp_path) as app:
        thread = threading.Thread(
            target=lambda: answers.append(app.ask("GET", f"/after?key={key}&slowly=1{behind}")[0])
        )
        thread.start()
        assert until(lambda: kept_of(pair.a) == {key: ["kept"]}, 10)
        facts = stop_server(pair.a.call({}, "stop"), pair.a.server).facts
        assert until(lambda: app.away_s() > AR_TRIES_S, 10)
        pair.b.server.wait_replayed(facts["checkpoint"]["lsn"], facts["checkpoint"]["timeline"], 10)
        pair.b.converge(2, "b", planned=True, previous="a", checkpoint=facts["checkpoint"])
        thread.join(60)
        counters = json.loads(app.ask("GET", "/health/deep")[1])["counters"]
    assert answers == [200] and kept_of(pair.b) == {key: kinds}, app.log.read_text()[-4000:]
    assert app.log.read_text().count('Started GET "/after') == 1 and counters["held_behind"] >= 1


@pytest.mark.parametrize(("env", "status"), [({}, 201), ({"WITHOUT": "1"}, 500)])
def test_a_connection_that_is_read_only_by_now_is_dropped_and_nobody_notices(
    pair: Pair, tmp_path: Path, env: dict[str, str], status: int
) -> None:
    with running(pair, tmp_path, **env) as app:
        assert app.ask("GET", "/read-only")[0] == 200
        assert app.ask("POST", "/orders", key=str(uuid.uuid4()))[0] == status
        if not env:
            found = json.loads(app.ask("GET", "/health/deep")[1])["counters"]
            assert (found["writer_lost"], found["connections_dropped"], found["retried"]) == (1, 1, 1)


def test_a_process_without_a_writer_is_well_holds_so_long_and_sends_away_who_is_too_many(
    pair: Pair, tmp_path: Path
) -> None:
    settings = "config.shop_dr.max_wait = 2; config.shop_dr.max_held = 1"
    with running(pair, tmp_path, SETTINGS=settings) as app:
        pair.a.kill()
        begun, answers = time.monotonic(), list[tuple[int, float]]()

        def ask() -> None:
            answers.append((app.ask("POST", "/orders", key=str(uuid.uuid4()))[0], time.monotonic() - begun))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        health = until(
            lambda: (found := json.loads(app.ask("GET", "/health")[1]))["writer"] == "away" and found["held"] == 1, 5
        )
        for thread in threads:
            thread.join(60)
    assert health, "answered while all were held"
    assert [status for status, _ in answers] == [503, 503, 503]
    assert sum(seconds > 1.9 for _, seconds in answers) == 1 and max(seconds for _, seconds in answers) < 5


def test_a_job_waits_for_the_writer_and_runs_once(pair: Pair, tmp_path: Path) -> None:
    key = str(uuid.uuid4())
    with running(pair, tmp_path) as app:
        facts = stop_server(pair.a.call({}, "stop"), pair.a.server).facts
        assert app.ask("POST", "/jobs", key=key)[0] == 202, "it needs no database itself"
        assert until(lambda: app.away_s() > AR_TRIES_S, 10)
        pair.b.server.wait_replayed(facts["checkpoint"]["lsn"], facts["checkpoint"]["timeline"], 10)
        pair.b.converge(2, "b", planned=True, previous="a", checkpoint=facts["checkpoint"])
        assert until(lambda: kept_of(pair.b) == {key: ["job"]}, 20), app.log.read_text()[-4000:]
        assert "held Confirm for" in app.log.read_text()
