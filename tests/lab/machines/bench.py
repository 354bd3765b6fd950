"""Two regions with a host each, on real machinery, and ways to look at them: what the tests of `lab.machines` stand on."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.cloud.backend import Nic, RouterInterface, RouterSpec, Rule, ServerSpec
from lab.machines.backend import Machines
from lab.machines.networks import ExtNet
from lab.machines.shell import add_netns
from lab.namespace import Places, cgroup_mount

GRA, SBG = "GRA11", "SBG5"
EXTERNAL = {
    GRA: ExtNet("203.0.113.1/24", ("203.0.113.2", "203.0.113.3")),
    SBG: ExtNet("198.51.100.1/24", ("198.51.100.2", "198.51.100.3")),
}
PREFIX = {GRA: "203.0.113", SBG: "198.51.100"}
SITE = {GRA: 1, SBG: 2}
OPEN = (Rule(direction="egress"), Rule(direction="ingress"))
VLAN = 100


def wait_for(what: str, condition: Callable[[], bool], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {limit_s:g} s"
        time.sleep(0.1)


def make_places(name: str, folder: Path) -> Places:
    return Places(name, folder / "run", folder / "disks", cgroup_mount() / name)


@dataclass
class Bench:
    """`floating` of a region leads to its host, `vrack` is the host's address on the stretched VLAN."""

    machines: Machines
    key: Path
    servers: dict[str, ServerSpec] = field(default_factory=dict)

    @staticmethod
    def floating(region: str) -> str:
        return f"{PREFIX[region]}.50"

    @staticmethod
    def vrack(region: str) -> str:
        return f"10.100.0.{31 if region == GRA else 131}"

    @staticmethod
    def front(region: str) -> str:
        return f"10.{SITE[region]}.0.31"

    def router_spec(self, region: str, *, floating: tuple[tuple[str, str], ...] | None = None) -> RouterSpec:
        gateway = RouterInterface(
            network_id=f"front-{region}",
            address=f"10.{SITE[region]}.0.1",
            prefix_length=24,
            mac=f"fa:16:3e:00:00:0{SITE[region]}",
        )
        own = ((self.floating(region), self.front(region)),)
        return RouterSpec(
            region=region,
            router_id=f"router-{region}",
            external_address=f"{PREFIX[region]}.10",
            interfaces=(gateway,),
            floating=own if floating is None else floating,
        )

    def spec(self, region: str, user_data: str = "") -> ServerSpec:
        site = SITE[region]
        front = Nic(
            port_id=f"front-{region}", network_id=f"front-{region}", mac=f"fa:16:3e:01:00:0{site}", address=self.front(region),
            prefix_length=24, gateway=f"10.{site}.0.1", dns=("192.0.2.53",),
        )  # fmt: skip
        vrack = Nic(
            port_id=f"vrack-{region}", network_id=f"vrack-{region}", mac=f"fa:16:3e:02:00:0{site}", address=self.vrack(region),
            prefix_length=24, gateway=None,
        )  # fmt: skip
        public = self.key.with_suffix(".pub").read_text().strip()
        server_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, region))
        return ServerSpec(
            region=region,
            server_id=server_id,
            name=f"host-{region.lower()}",
            nics=(front, vrack),
            user_data=user_data,
            key=public,
        )

    def build(self, user_data: str) -> None:
        """Networks, routers, open ports, and both hosts up to their sshd."""
        for region in (GRA, SBG):
            self.machines.ensure_network(region, f"front-{region}", None, 1500)
            self.machines.ensure_network(region, f"vrack-{region}", VLAN, 1500)
            self.machines.ensure_router(self.router_spec(region))
            for port in ("front", "vrack"):
                self.machines.set_port_rules(region, f"{port}-{region}", OPEN)
            self.servers[region] = self.spec(region, user_data)
            self.machines.boot_server(self.servers[region])
        for region in (GRA, SBG):
            self.await_ssh(region)

    def await_ssh(self, region: str) -> None:
        wait_for(f"sshd of {region}", lambda: self.try_ssh(region, "true").returncode == 0, 60)

    def try_ssh(self, region: str, line: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._ssh(region, line), input=given, capture_output=True, text=True, check=False, timeout=60
        )

    def _ssh(self, region: str, line: str) -> list[str]:
        options = (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "ConnectTimeout=2",
            "LogLevel=ERROR",
            "BatchMode=yes",
        )
        flags = [part for option in options for part in ("-o", option)]
        return ["ssh", "-i", str(self.key), *flags, f"debian@{self.floating(region)}", line]

    def send(self, region: str, content: bytes, line: str) -> None:
        """Run a line with this on its stdin; it must succeed."""
        subprocess.run(self._ssh(region, line), input=content, capture_output=True, check=True, timeout=60)

    def ssh(self, region: str, line: str, given: str = "") -> str:
        """Run a line on the region's host, with this on its stdin; it must succeed."""
        done = self.try_ssh(region, line, given)
        assert done.returncode == 0, f"{line!r} on the host of {region} ended with {done.returncode}: {done.stderr}"
        return done.stdout.strip()

    def pings(self, region: str, address: str) -> bool:
        """From the region's host, one packet, one second."""
        return self.try_ssh(region, f"ping -c 1 -W 1 {address}").returncode == 0

    def addresses(self, region: str) -> dict[str, list[str]]:
        rows = json.loads(self.ssh(region, "ip -j -4 address"))
        return {row["ifname"]: [item["local"] for item in row["addr_info"]] for row in rows if row["ifname"] != "lo"}


def make_bench(places: Places, image: Path) -> Bench:
    """To be called inside the namespace `places.name`, which must exist."""
    machines = Machines(places, image, EXTERNAL)
    machines.prepare()
    key = places.disks / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return Bench(machines, key)


def make_namespace(places: Places) -> None:
    places.run.mkdir(parents=True)
    places.disks.mkdir(parents=True)
    add_netns("tests", places.name)
