"""The rule of the metadata service goes by who asks: tried with the kernel of this machine, in a namespace of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.machines.shell import add_netns, drop_netns, ip, nft
from lab.namespace import NETNS, inside
from scripts.host.host.hardening import METADATA, NFT
from tests.lab.machines.bench import wait_for

pytestmark = pytest.mark.lab

NOBODY = 65534
SERVER = """
import http.server, socket
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(("::", 80), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """With both addresses of the service, and another one, where somebody answers."""
    name = f"drmeta{os.getpid()}"
    add_netns("tests", name)
    ip(
        "tests",
        [
            f"address add {METADATA[0]}/32 dev lo",
            f"address add {METADATA[1]}/128 dev lo",
            "address add 192.0.2.1/32 dev lo",
        ],
        name,
    )
    process = subprocess.Popen(
        inside(NETNS / name, ["python3", "-c", SERVER]),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for("metadata service", lambda: answers(name, "192.0.2.1", 0))
    yield name
    process.terminate()
    process.wait()
    drop_netns("tests", name)


def answers(name: str, address: str, user: int) -> bool:
    target = f"[{address}%lo]" if ":" in address else address
    line = [
        "setpriv",
        f"--reuid={user}",
        "--clear-groups",
        "curl",
        "-sg",
        "-o",
        "/dev/null",
        "--max-time",
        "2",
        f"http://{target}/",
    ]
    return subprocess.run(inside(NETNS / name, line), check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("address", METADATA)
def test_root_alone_asks_it(host: str, address: str) -> None:
    assert answers(host, address, NOBODY) and answers(host, address, 0)
    for _ in range(2):  # once more changes nothing
        nft("tests", NFT, host)
        assert not answers(host, address, NOBODY)
        assert answers(host, address, 0)
    assert answers(host, "192.0.2.1", NOBODY), "nothing else is touched"
