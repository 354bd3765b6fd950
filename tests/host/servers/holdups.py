"""What holds up a server's stop, really made: each is a context manager for a primary that runs, and says whether asking alone ends it."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg

from lab.pairs.postgres import Node, Pair
from scripts.host.frame.processes import process
from scripts.host.frame.wait import until

MANY = 500


def run_with(node: Node, *lines: str) -> None:
    """As if it had been converged with these: what `alter system` sets of a host's own parameters does not outlive a start."""
    with (node.layout.conf / "conf.d" / "dr.conf").open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))
    node.server.stop()
    node.server.start()


@contextmanager
def held(pid: int) -> Iterator[None]:
    """A process that gets no turn, as one that waits for a disk."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if process(pid) is not None:
            os.kill(pid, signal.SIGCONT)


def checkpointer(node: Node) -> int:
    return int(node.sql("select pid from pg_stat_activity where backend_type = 'checkpointer'"))


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """A server that goes by who is at the other end of its socket sees this user."""
    before = os.geteuid()
    os.seteuid(pwd.getpwnam(name).pw_uid)
    try:
        yield
    finally:
        os.seteuid(before)


@contextmanager
def open_transactions(node: Node, count: int = MANY) -> Iterator[None]:
    """Each has written a row into `orders` of the shop, which must be there, and not committed it."""
    run_with(node, f"max_connections = {count + 20}")
    where = f"host={node.layout.sockets} port={node.ports[node.site]} user=postgres dbname=shop"
    with ExitStack() as stack:
        with acting_as(node.layout.user):
            clients = [stack.enter_context(closing(psycopg.connect(where))) for _ in range(count)]
        for client in clients:
            client.execute("insert into public.orders values (666)")
        assert node.sql("select count(*) from pg_stat_activity where state = 'idle in transaction'") == f"{count}"
        yield


@contextmanager
def hanging_archiver(node: Node, folder: Path) -> Iterator[None]:
    """Its command has begun and does not end by itself."""
    mark = folder / "archiving"
    folder.chmod(0o777)
    for each in folder.parents:
        each.chmod(each.stat().st_mode | 0o011)
    run_with(node, "archive_mode = on", f"archive_command = 'echo $$ > {mark}; exec sleep 600'")
    node.sql("select pg_switch_wal()")
    assert until(lambda: mark.exists() and mark.read_text().strip() != "", 20), "it archives"
    try:
        yield
    finally:
        if process(int(mark.read_text())) is not None:
            os.kill(int(mark.read_text()), signal.SIGKILL)


@contextmanager
def hanging_checkpoint(node: Node) -> Iterator[None]:
    """In the middle of one that is spread over minutes, its disk stops answering."""
    node.sql("create table fill as select n, repeat('x', 900) from generate_series(1, 5000) n", "shop")
    begun = node.layout.log.read_text().count("checkpoint starting")
    spread = subprocess.Popen(
        node.psql("-c", "select pg_backup_start('x', false), pg_sleep(600)"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=node.layout.user,
        cwd="/",
    )
    try:
        assert until(lambda: node.layout.log.read_text().count("checkpoint starting") > begun, 20)
        with held(checkpointer(node)):
            yield
    finally:
        spread.kill()
        spread.wait()


@contextmanager
def dead_link(pair: Pair) -> Iterator[None]:
    """A standby that streams and takes nothing more, with more to send than what the connection holds."""
    pid = int(pair.b.sql("select pid from pg_stat_wal_receiver"))
    with held(pid):
        pair.a.sql("select pg_logical_emit_message(false, 'fill', repeat('x', 12000000))")
        yield
