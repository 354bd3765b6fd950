"""Load balancers move traffic by health, tell who called, and reload without dropping anybody."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
from collections.abc import Iterator

import pytest

from lab.cloud.backend import BalancerSpec, Listener, Member, Monitor, Pool
from lab.machines.power import power_off, power_on
from tests.lab.machines.bench import GRA, SBG, Bench, wait_for

pytestmark = pytest.mark.lab
VIP, PUBLIC = "10.1.0.5", "203.0.113.70"
# Says its name and the first line that it was sent, to TCP clients that have sent one (a PROXY header), and is healthy over HTTP on the next port.
TALKER = """
import http.server, socketserver, sys, threading
name, port = sys.argv[1], int(sys.argv[2])
class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        header = self.request.recv(16)
        length = int.from_bytes(header[14:16], "big")
        source = ".".join(map(str, self.request.recv(length)[:4]))
        self.wfile.write(f"{name} {source}\\n".encode())
        for line in self.rfile:
            self.wfile.write(line)
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404); self.end_headers()
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
threading.Thread(target=http.server.ThreadingHTTPServer(("", port + 1), Health).serve_forever, daemon=True).start()
Server(("", port), Talk).serve_forever()
"""

MONITOR = Monitor(
    kind="HTTP",
    delay=1,
    timeout=1,
    max_retries=1,
    max_retries_down=1,
    http_method="GET",
    url_path="/health",
    expected_codes="200",
)

MEMBER = Member(
    member_id="",
    address="10.1.0.31",
    port=0,
    weight=1,
    monitor_address=None,
    monitor_port=1,
    backup=False,
    enabled=True,
)


def spec(*ports: int, monitor: Monitor | None = None, more: tuple[Member, ...] = (), **changes: object) -> BalancerSpec:
    members = (
        tuple(
            dataclasses.replace(MEMBER, member_id=f"member-{port}", port=port, monitor_port=port + 1) for port in ports
        )
        + more
    )
    pool = Pool(
        pool_id="pool", protocol="PROXYV2", algorithm="ROUND_ROBIN", members=members, monitor=monitor or MONITOR
    )
    listener = Listener(listener_id="listener", protocol="TCP", port=7000, pool=pool)
    return BalancerSpec(
        region=GRA, balancer_id="lb", network_id=f"front-{GRA}", vip=VIP, prefix_length=24, gateway="10.1.0.1",
        listeners=(dataclasses.replace(listener, **changes),),  # type: ignore[arg-type]
    )  # fmt: skip


def start(bench: Bench, port: int) -> None:
    bench.ssh(GRA, f"sudo systemd-run -q --unit=talk{port} python3 /tmp/talker.py member-{port} {port}")


def stop(bench: Bench, port: int) -> None:
    bench.ssh(GRA, f"sudo systemctl stop talk{port} 2>/dev/null || true")


@pytest.fixture
def balanced(bench: Bench) -> Iterator[Bench]:
    """A balancer in front of two talkers, with a floating IP."""
    command = [
        "ssh",
        "-i",
        str(bench.key),
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
    ]
    subprocess.run(
        [*command, f"debian@{bench.floating(GRA)}", "cat > /tmp/talker.py"], input=TALKER.encode(), check=True
    )
    for port in (9000, 9100):
        start(bench, port)
    bench.machines.ensure_router(
        bench.router_spec(GRA, floating=((bench.floating(GRA), bench.front(GRA)), (PUBLIC, VIP)))
    )
    bench.machines.ensure_balancer(spec(9000, 9100))
    wait_for("both members", lambda: set(health(bench).values()) == {"ONLINE"} and len(health(bench)) == 2)
    yield bench
    bench.machines.delete_balancer(GRA, "lb")
    for port in (9000, 9100):
        stop(bench, port)
    bench.machines.ensure_router(bench.router_spec(GRA))


def health(bench: Bench) -> dict[str, str]:
    return bench.machines.balancer_health(GRA, "lb")


def greeting(address: str = PUBLIC) -> str:
    """What a member says first; empty when the connection was closed without a word."""
    try:
        with socket.create_connection((address, 7000), timeout=3) as connection:
            return connection.makefile().readline().strip()
    except ConnectionResetError:
        return ""


def test_traffic_goes_to_all_members_and_brings_the_callers_address(balanced: Bench) -> None:
    said = {greeting() for _ in range(6)}
    assert said == {"member-9000 192.0.2.100", "member-9100 192.0.2.100"}


def test_health_flips_and_traffic_moves_and_comes_back(balanced: Bench) -> None:
    stop(balanced, 9000)
    wait_for("the dead member's ERROR", lambda: health(balanced) == {"member-9000": "ERROR", "member-9100": "ONLINE"})
    assert {greeting().split()[0] for _ in range(6)} == {"member-9100"}
    start(balanced, 9000)
    wait_for("its return", lambda: health(balanced) == {"member-9000": "ONLINE", "member-9100": "ONLINE"})
    assert {greeting().split()[0] for _ in range(6)} == {"member-9000", "member-9100"}


def test_a_change_takes_effect_while_open_connections_go_on(balanced: Bench) -> None:
    with socket.create_connection((PUBLIC, 7000), timeout=5) as connection:
        stream = connection.makefile("rw")
        assert stream.readline().startswith("member-")
        balanced.machines.ensure_balancer(spec(9100))
        assert {greeting().split()[0] for _ in range(4)} == {"member-9100"}
        assert health(balanced) == {"member-9100": "ONLINE"}
        stream.write("still here\n")
        stream.flush()
        assert stream.readline() == "still here\n"


def test_a_member_known_as_dead_stays_dead_over_a_reload(balanced: Bench) -> None:
    # Nobody has that address: a fresh check needs seconds to fail, a fresh balancer would send callers there meanwhile.
    silent = dataclasses.replace(MEMBER, member_id="silent", address="10.1.0.77")
    balanced.machines.ensure_balancer(spec(9000, more=(silent,)))
    wait_for("the silent member's ERROR", lambda: health(balanced).get("silent") == "ERROR")
    slow = dataclasses.replace(MONITOR, delay=60, timeout=30, max_retries_down=3)
    balanced.machines.ensure_balancer(spec(9000, more=(silent,), monitor=slow))
    assert health(balanced)["silent"] == "ERROR"
    assert {greeting().split()[0] for _ in range(4)} == {"member-9000"}


def test_only_allowed_callers_get_in(balanced: Bench) -> None:
    balanced.machines.ensure_balancer(spec(9000, 9100, allowed_cidrs=("198.51.100.0/24",)))
    assert greeting() == ""
    balanced.machines.ensure_balancer(spec(9000, 9100, allowed_cidrs=("198.51.100.0/24", "192.0.2.0/24")))
    assert greeting().startswith("member-")


def test_pings_to_a_vip_are_not_answered(balanced: Bench) -> None:
    assert not balanced.pings(GRA, VIP)
    assert not balanced.pings(SBG, PUBLIC)
    assert balanced.pings(SBG, balanced.floating(GRA))
    assert balanced.pings(GRA, "10.1.0.1")


def test_members_die_with_their_host(balanced: Bench) -> None:
    host = balanced.machines.hosts[GRA, balanced.servers[GRA].server_id]
    power_off([host], "a test")
    wait_for("both members' ERROR", lambda: health(balanced) == {"member-9000": "ERROR", "member-9100": "ERROR"})
    power_on([host], "a test")
    balanced.await_ssh(GRA)
    assert balanced.ssh(SBG, "hostname") == "host-sbg5"
