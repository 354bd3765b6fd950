"""What the kernel's tables say of who listens where, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.host.redis.wire import Server
from scripts.host.redis.writers import _is_shops, _listening

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
OWN = Server("cache-1.b", "10.100.0.121", 6379, "", "", "")


def line(address: str, state: str, inode: int) -> str:
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1\n"


@pytest.mark.parametrize(
    ("table", "address", "place", "shops"),
    [
        ("tcp", "7900640A:18EB", ("10.100.0.121", 6379), True),
        ("tcp", "00000000:18EB", ("0.0.0.0", 6379), True),
        ("tcp", "0100007F:18EB", ("127.0.0.1", 6379), False),
        ("tcp", "7900640A:18EC", ("10.100.0.121", 6380), False),
        ("tcp6", "00000000000000000000000000000000:18EB", ("::", 6379), True),
        ("tcp6", "0000000000000000FFFF00007900640A:18EB", ("10.100.0.121", 6379), True),
        ("tcp6", "00000000000000000000000001000000:18EB", ("::1", 6379), False),
    ],
)
def test_where_a_socket_listens(tmp_path: Path, table: str, address: str, place: tuple[str, int], shops: bool) -> None:
    (tmp_path / "self/net").mkdir(parents=True)
    (tmp_path / "self/net" / table).write_text(HEAD + line(address, "0A", 42) + line(address, "01", 43))
    assert _listening(tmp_path) == {"42": place}
    assert _is_shops(place, OWN) is shops
