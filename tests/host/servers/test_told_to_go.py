"""What the gem `shop_dr` relies on: a session that PostgreSQL tells to go in place of an answer has committed nothing."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from contract.services.postgres import APP_ROLE
from lab.pairs.postgres import Pair, caught_up
from scripts.host.frame.wait import until
from scripts.host.postgres.layout import OWNER_ROLE

pytestmark = pytest.mark.lab

SESSIONS = 8
# One snapshot of the sessions each round: by itself a transaction sees the first one for ever.
END_SESSIONS = f"""
do $$ begin
  for round in 1..200 loop
    perform pg_stat_clear_snapshot();
    perform pg_terminate_backend(pid) from pg_stat_activity where usename = '{APP_ROLE}' and random() < 0.3;
    perform pg_sleep(0.004);
  end loop;
end $$
"""


class Writers:
    """Sessions that commit a key each, over and over: half of them by a COMMIT, half by prepared statements that are transactions of their own."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self.failed: list[tuple[str, str, str]] = []  # key, at its statement or its COMMIT, what was said
        self.kept: set[str] = set()
        self._over, self._one = threading.Event(), threading.Lock()
        for name, text in pair.a.clients[APP_ROLE].items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        self._where = {
            "host": "127.0.0.1", "port": pair.a.ports["a"], "user": APP_ROLE, "password": pair.a.passwords["app"], "dbname": "shop",
            "sslcert": str(folder / "cert"), "sslkey": str(folder / "key"), "sslmode": "require",
        }  # fmt: skip
        self._threads = [
            threading.Thread(target=self._work, args=(number % 2 == 0,), daemon=True) for number in range(SESSIONS)
        ]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def tally(self, there: set[str]) -> Counter[tuple[str, str, bool]]:
        """How many ended at what, with which words, and whether their key is there all the same."""
        with self._one:
            return Counter((at, told, key in there) for key, at, told in self.failed)

    def _work(self, outright: bool) -> None:
        while not self._over.is_set():
            try:
                session = psycopg.connect(**self._where, autocommit=outright, prepare_threshold=0)  # type: ignore[arg-type]
            except psycopg.Error:
                continue
            self._commit(session, outright)

    def _commit(self, session: psycopg.Connection, outright: bool) -> None:
        key, at = "", ""
        try:
            while not self._over.is_set():
                key, at = str(uuid.uuid4()), "outright" if outright else "insert"
                session.execute("insert into kept values (%s)", (key,))
                at = "commit"
                session.commit()
                with self._one:
                    self.kept.add(key)
        except psycopg.Error as error:
            told = error.sqlstate or (
                "57P01" if "FATAL:  terminating connection due to administrator" in str(error) else "cut"
            )
            with self._one:
                self.failed.append((key, at, told))
        finally:
            session.close()


@pytest.mark.parametrize("synchronous", [False, True])
def test_who_is_told_to_go_in_place_of_an_answer_has_committed_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, synchronous: bool
) -> None:
    with Pair() as pair:
        pair.up()
        pair.a.sql(f"set role {OWNER_ROLE}; create table kept (key uuid primary key)", "shop")
        caught_up(pair.a, pair.b)
        if synchronous:
            pair.a.sql("alter system set synchronous_standby_names to '*'")
            pair.a.sql("select pg_reload_conf()")
            assert until(lambda: pair.a.sql("select sync_state from pg_stat_replication") == "sync", 20)

        def enough() -> bool:
            """Of both ways; and, of those that wait for a standby, some that have committed and were cut: the counter-proof."""
            pair.a.sql(END_SESSIONS)
            tally = writers.tally(set(pair.a.sql("select key from kept", "shop").split()))
            told = min(tally[at, "57P01", False] for at in ("outright", "commit"))
            cut = sum(count for (_, told, kept), count in tally.items() if told == "cut" and kept)
            return told > 20 and (cut > 0) == synchronous

        with Writers(pair, tmp_path) as writers:
            assert until(enough, 60), writers.tally(set())
        there = set(pair.a.sql("select key from kept", "shop").split())
    tally = writers.tally(there)
    with capsys.disabled():
        print(
            "",
            *(
                f"{at:9} {told:5} {'there' if kept else 'not there'}: {n}"
                for (at, told, kept), n in sorted(tally.items())
            ),
            sep="\n",
        )
    assert writers.kept <= there, "what was acknowledged is there"
    assert not [each for each in tally if each[1:] == ("57P01", True)]
