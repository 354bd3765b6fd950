"""Networks carry what they should and nothing else: vRack, links, security groups, floating IPs, a dark region."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from components import config
from components.render import firewall
from lab.cloud.backend import Rule
from lab.machines.power import region_dark
from lab.machines.shell import add_netns, drop_netns, link_exists
from tests.components import stack
from tests.lab.machines.bench import GRA, OPEN, SBG, Bench, wait_for

pytestmark = pytest.mark.lab


@pytest.fixture
def web(bench: Bench) -> Iterator[Bench]:
    """The host of GRA serves HTTP on 8000 and 8001."""
    for port in (8000, 8001):
        bench.ssh(GRA, f"sudo systemd-run -q --unit=web{port} python3 -m http.server {port}")
    for port in (8000, 8001):
        wait_for(f"port {port}", lambda port=port: connects(bench, bench.vrack(GRA), port))  # type: ignore[misc]
    yield bench
    bench.machines.set_port_rules(GRA, f"vrack-{GRA}", OPEN)
    bench.ssh(GRA, "sudo systemctl stop web8000 web8001")


def connects(bench: Bench, address: str, port: int) -> bool:
    """From the host of SBG."""
    return bench.try_ssh(SBG, f"timeout 1 bash -c 'exec 3<>/dev/tcp/{address}/{port}'").returncode == 0


def from_outside(address: str, port: int) -> bool:
    return (
        subprocess.run(
            ["timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"], capture_output=True, check=False
        ).returncode
        == 0
    )


def test_the_vrack_joins_both_regions_with_whole_frames(bench: Bench) -> None:
    assert bench.pings(GRA, bench.vrack(SBG))
    assert bench.try_ssh(GRA, f"ping -c 1 -W 1 -M do -s 1472 {bench.vrack(SBG)}").returncode == 0


def test_front_networks_of_the_regions_do_not_meet(bench: Bench) -> None:
    assert not bench.pings(GRA, bench.front(SBG))


def test_a_security_group_drops_what_it_does_not_name(web: Bench) -> None:
    one = Rule(direction="ingress", protocol="tcp", port_min=8000, port_max=8000, remote="10.100.0.128/25")
    web.machines.set_port_rules(GRA, f"vrack-{GRA}", (Rule(direction="egress"), one))
    assert connects(web, web.vrack(GRA), 8000)
    assert not connects(web, web.vrack(GRA), 8001)
    assert not web.pings(SBG, web.vrack(GRA)), "no rule names ICMP"
    elsewhere = Rule(direction="ingress", protocol="tcp", remote="10.100.0.0/25")
    web.machines.set_port_rules(GRA, f"vrack-{GRA}", (Rule(direction="egress"), elsewhere))
    assert not connects(web, web.vrack(GRA), 8000), "the prefix is not the caller's"
    web.machines.set_port_rules(GRA, f"vrack-{GRA}", None)
    assert connects(web, web.vrack(GRA), 8001), "without port security everything passes"


def test_answers_of_connections_pass_where_nothing_may_come_in(web: Bench) -> None:
    web.machines.set_port_rules(SBG, f"vrack-{SBG}", (Rule(direction="egress"),))
    try:
        assert connects(web, web.vrack(GRA), 8000)
        assert not web.pings(GRA, web.vrack(SBG))
    finally:
        web.machines.set_port_rules(SBG, f"vrack-{SBG}", OPEN)


def test_security_groups_hold_from_the_first_packet_of_a_boot(web: Bench) -> None:
    web.machines.set_port_rules(GRA, f"vrack-{GRA}", (Rule(direction="egress"),))
    web.machines.reboot_server(GRA, web.servers[GRA].server_id, True)
    web.await_ssh(GRA)
    assert not web.pings(SBG, web.vrack(GRA))
    for port in (8000, 8001):
        web.ssh(GRA, f"sudo systemd-run -q --unit=web{port} python3 -m http.server {port}")


def test_a_floating_ip_leads_in_and_out_and_ends_when_it_is_withdrawn(web: Bench) -> None:
    assert from_outside(web.floating(GRA), 8000)
    seen = web.ssh(GRA, "echo $SSH_CONNECTION").split()[0]
    assert seen == "192.0.2.100", "the caller's address arrives as it is"
    assert connects(web, web.floating(GRA), 8000), "from the other region, over the internet"
    web.machines.ensure_router(web.router_spec(GRA, floating=()))
    assert not from_outside(web.floating(GRA), 8000)
    web.machines.ensure_router(web.router_spec(GRA, floating=((f"{web.floating(GRA)[:-2]}60", web.front(GRA)),)))
    assert from_outside(f"{web.floating(GRA)[:-2]}60", 8000)
    web.machines.ensure_router(web.router_spec(GRA))
    assert from_outside(web.floating(GRA), 8000)


def test_from_outside_only_floating_ips_lead_in(bench: Bench) -> None:
    subprocess.run(["ip", "route", "add", "10.1.0.0/24", "via", "203.0.113.10"], check=True)
    try:
        assert not from_outside(bench.front(GRA), 22)
    finally:
        subprocess.run(["ip", "route", "delete", "10.1.0.0/24"], check=True)


@pytest.fixture
def confined(bench: Bench) -> Iterator[Bench]:
    """The host of GRA has the rules of a database host; that of SBG serves on some ports and lets everything in."""
    ports = (25, 80, 5432, 6379)
    for port in ports:
        bench.ssh(SBG, f"sudo systemd-run -q --unit=all{port} python3 -m http.server {port}")
    for port in ports:
        wait_for(f"port {port}", lambda port=port: opens(bench, bench.vrack(SBG), port))  # type: ignore[misc]
    for side in ("front", "vrack"):
        bench.machines.set_port_rules(GRA, f"{side}-{GRA}", confinement("db"))
    # Its own bastion is not here: the way in for this test.
    way_in = Rule(direction="ingress", protocol="tcp", port_min=22, port_max=22)
    bench.machines.set_port_rules(GRA, f"front-{GRA}", (*confinement("db"), way_in))
    yield bench
    for side in ("front", "vrack"):
        bench.machines.set_port_rules(GRA, f"{side}-{GRA}", OPEN)
    bench.ssh(SBG, f"sudo systemctl stop {' '.join(f'all{port}' for port in ports)}")


def confinement(kind: str) -> tuple[Rule, ...]:
    """The product's rules of a kind of host, as the platform would hold a port to them."""
    told = firewall.rules(config.parse(stack.configuration("a")), kind)
    return tuple(
        Rule(
            direction=it.direction,
            protocol=it.protocol,
            port_min=it.port,
            port_max=it.port,
            remote=None if it.prefix == "0.0.0.0/0" else it.prefix,
        )
        for it in told
    )


def opens(bench: Bench, address: str, port: int) -> bool:
    """From the host of GRA."""
    return bench.try_ssh(GRA, f"timeout 1 bash -c 'exec 3<>/dev/tcp/{address}/{port}'").returncode == 0


def test_a_database_host_opens_what_it_needs_and_nothing_else(confined: Bench) -> None:
    vrack, world = confined.vrack(SBG), confined.floating(SBG)
    assert opens(confined, vrack, 5432) and opens(confined, world, 80)
    assert not opens(confined, vrack, 6379), "a cache is not its business"
    assert not opens(confined, vrack, 25) and not opens(confined, world, 25)
    assert not opens(confined, world, 5432), "another database than one on the vRack"
    assert not opens(confined, vrack, 22), "ssh is the bastions'"
    assert not confined.pings(GRA, world)


def test_no_ipv6_passes_in_either_direction(confined: Bench) -> None:
    for region, address in ((GRA, "fd00::a"), (SBG, "fd00::b")):
        confined.ssh(region, "sudo sysctl -q -w net.ipv6.conf.ens4.disable_ipv6=0")
        confined.ssh(region, f"sudo ip -6 address replace {address}/64 dev ens4 nodad")
    confined.machines.set_port_rules(GRA, f"vrack-{GRA}", None)
    wait_for(
        "IPv6 without port security", lambda: pings6(confined, GRA, "fd00::b") and pings6(confined, SBG, "fd00::a")
    )
    confined.machines.set_port_rules(GRA, f"vrack-{GRA}", confinement("db"))
    assert not pings6(confined, GRA, "fd00::b")
    assert not pings6(confined, SBG, "fd00::a")
    for region in (GRA, SBG):
        confined.ssh(region, "sudo ip -6 address flush dev ens4 && sudo sysctl -q -w net.ipv6.conf.ens4.disable_ipv6=1")


def pings6(bench: Bench, region: str, address: str) -> bool:
    return bench.try_ssh(region, f"ping -6 -c 1 -W 1 {address}").returncode == 0


def received(bench: Bench, region: str) -> int:
    return int(bench.ssh(region, "cat /sys/class/net/ens4/statistics/rx_packets"))


def arrives(bench: Bench, source: str, target: str) -> bool:
    """Do packets get through in this one direction? Answers cannot tell, they need the other one too."""
    mac = bench.servers[target].nics[1].mac
    bench.ssh(source, f"sudo ip neigh replace {bench.vrack(target)} lladdr {mac} dev ens4 nud permanent")
    before = received(bench, target)
    bench.try_ssh(source, f"ping -c 3 -i 0.2 -W 1 {bench.vrack(target)}")
    bench.ssh(source, f"sudo ip neigh delete {bench.vrack(target)} dev ens4")
    return received(bench, target) >= before + 3


def test_a_link_is_cut_in_one_direction_or_both_and_mended(bench: Bench) -> None:
    networks = bench.machines.networks
    networks.cut_links(GRA, SBG)
    try:
        assert not arrives(bench, GRA, SBG)
        assert arrives(bench, SBG, GRA), "the other direction still carries"
        networks.cut_links(SBG, GRA)
        assert not arrives(bench, SBG, GRA)
        networks.join_links(GRA, SBG)
        assert arrives(bench, GRA, SBG)
    finally:
        networks.join_links(GRA, SBG)
        networks.join_links(SBG, GRA)
    wait_for("the vRack", lambda: bench.pings(GRA, bench.vrack(SBG)))


def test_a_slow_link_carries_no_more_than_its_rate(bench: Bench) -> None:
    networks = bench.machines.networks
    networks.set_rate("1mbit")
    try:
        shape = subprocess.run(["tc", "qdisc", "show"], capture_output=True, text=True, check=True).stdout
        assert shape.count("tbf") == 2, "one for each direction"
        assert bench.pings(GRA, bench.vrack(SBG))
    finally:
        networks.set_rate(None)
    assert "tbf" not in subprocess.run(["tc", "qdisc", "show"], capture_output=True, text=True, check=True).stdout
    assert bench.pings(GRA, bench.vrack(SBG))


def test_a_dark_region_answers_nothing_and_comes_back_by_itself(bench: Bench) -> None:
    region_dark(bench.machines, SBG, True)
    assert not from_outside(bench.floating(SBG), 22)
    assert not bench.pings(GRA, bench.vrack(SBG))
    assert bench.ssh(GRA, "hostname") == "host-gra11", "the other region is not touched"
    region_dark(bench.machines, SBG, False)
    bench.await_ssh(SBG)
    wait_for("the vRack", lambda: bench.pings(GRA, bench.vrack(SBG)))


def test_a_host_that_was_off_for_a_moment_only_is_plugged_in_again(bench: Bench) -> None:
    networks, netns = bench.machines.networks, f"{bench.machines.places.name}-off"
    try:
        for _ in range(200):  # what was plugged in before goes with its namespace, at a moment of the kernel's choice
            add_netns("test", netns)
            networks.plug("test", networks.bridge(f"front-{GRA}"), netns, "ens9", outer="off9")
            assert link_exists("off9")
    finally:
        drop_netns("test", netns)
