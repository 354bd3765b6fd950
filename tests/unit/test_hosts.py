"""Ways to a host: each has a connection of its own, so that one may live when another dies."""

import subprocess
from dataclasses import replace

from contract.access import Ssh, SshHost
from scripts.clients.hosts import Hosts

TOLD = Ssh(
    private_key="no key",
    hosts={
        name: SshHost(vrack=f"10.100.0.{number}", front="10.1.0.1", host_key="ssh-ed25519 AAAA")
        for number, name in enumerate(("control-1.a", "db-1.a", "db-1.b"))
    },
    bastions={"a": "203.0.113.10", "b": "198.51.100.10"},
)


def said(hosts: Hosts, alias: str, option: str) -> str:
    """What ssh itself makes of its configuration."""
    done = subprocess.run(
        ["ssh", "-G", "-F", str(hosts._folder / "config"), alias], capture_output=True, text=True, check=True
    )
    return dict(line.partition(" ")[::2] for line in done.stdout.splitlines())[option]


def test_the_peers_host_is_asked_through_the_own_bastion_first():
    with Hosts(TOLD) as hosts:
        assert hosts.routes("db-1.b") == ["a", "b"]
        assert hosts.routes("db-1.a") == ["b", "a"]
    with Hosts(replace(TOLD, bastions={"a": "203.0.113.10", "b": None})) as hosts:
        assert hosts.routes("db-1.b") == ["a"]


def test_two_ways_to_a_host_share_its_address_and_no_connection():
    with Hosts(TOLD) as hosts:
        ways = [f"db-1.b.via-{site}" for site in hosts.routes("db-1.b")]
        assert {said(hosts, way, "hostname") for way in ways} == {"10.100.0.2"}
        assert len({said(hosts, way, "controlpath") for way in ways}) == len(ways)
