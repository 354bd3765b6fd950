"""Servers on loopback that several folders of tests need: free ports, S3 gateways, clients that come from an address of their own."""

from __future__ import annotations

import datetime
import os
import random
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.hosts import PORTS
from lab.s3.gateway import Storage
from lab.toolchain import tools

FIRST, LAST = 10_000, 32_000  # below what Linux gives to whoever connects: such a one would have it a moment later
_GIVEN = {*PORTS.values()}  # hosts that are played listen on those


def free_port() -> int:
    """A TCP port that nobody listened at a moment ago, and that nobody is given who asks the system for any, or this process a second time."""
    while True:
        port = random.randrange(FIRST, LAST)
        if port in _GIVEN:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _GIVEN.add(port)
            return port


@contextmanager
def seen_from(address: str, port: int) -> Iterator[int]:
    """A port that leads to `port`, whose server sees its clients come from `address` of 127.0.0.0/8."""
    with socket.create_server(("127.0.0.1", 0)) as entrance:
        threading.Thread(target=_admit, args=(entrance, address, port), daemon=True).start()
        yield int(entrance.getsockname()[1])
        entrance.shutdown(socket.SHUT_RDWR)  # a close alone leaves a thread in `accept`


def _admit(entrance: socket.socket, address: str, port: int) -> None:
    while True:
        try:
            client = entrance.accept()[0]
        except OSError:
            return
        try:
            server = socket.create_connection(("127.0.0.1", port), 5, source_address=(address, 0))
        except OSError:
            client.close()
            continue
        for pair in ((client, server), (server, client)):
            threading.Thread(target=_carry, args=pair, daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    """All that comes, and its end."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def versitygw() -> Path:
    """The program: `DRLAB_VERSITYGW`, else the toolchain's."""
    named = os.environ.get("DRLAB_VERSITYGW")
    return Path(named) if named else tools.VERSITYGW.build()


@contextmanager
def storage(folder: Path, regions: Iterable[str], tls: Iterable[str] = ()) -> Iterator[Storage]:
    """The lab's object storage with one gateway a region, and a second one over TLS for the regions in `tls`."""
    plain, secure = ({region: ("127.0.0.1", free_port()) for region in names} for names in (regions, tls))
    made = Storage(folder, versitygw(), plain, secure)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def refuses(amz_date: str, ahead_s: float) -> bool:
    """Whether an S3 server whose clock is `ahead_s` ahead of ours says RequestTimeTooSkewed to a request signed at `amz_date`."""
    signed = datetime.datetime.strptime(amz_date, "%Y%m%dT%H%M%S%z")
    return abs((datetime.datetime.now(datetime.UTC) - signed).total_seconds() + ahead_s) > 900
