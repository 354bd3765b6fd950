"""Load balancers: one HAProxy each, in a namespace on the front network that has the VIP.

A change of configuration is a reload in which the old process hands its sockets over and finishes its connections; what was known of the
members' health goes along.
"""

from __future__ import annotations

import csv
import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from lab.child import Child, ChildError
from lab.cloud.backend import BackendError, BalancerSpec
from lab.machines.haproxy import config
from lab.machines.networks import Networks
from lab.machines.routers import DARK, LIGHT
from lab.machines.shell import LIMIT_S, add_netns, drop_netns, ip, mac_of, nft, run, short, sysctl
from lab.namespace import NETNS, inside

log = logging.getLogger("lab.machines")
INTERFACE = "vip"
POLL_S = 0.05
# Pings to a VIP are not answered; members' own errors still pass.
NO_PING = """table ip lab_vip
delete table ip lab_vip
table ip lab_vip {
  chain input {
    type filter hook input priority 0; policy accept;
    icmp type echo-request drop
  }
}
"""


@dataclass
class Balancer:
    """One load balancer. Calls come one at a time."""

    netns: str
    folder: Path
    networks: Networks
    spec: BalancerSpec | None = None
    dark: bool = False
    _child: Child | None = None
    _generation: int = 0

    def ensure(self, spec: BalancerSpec) -> None:
        what = f"load balancer {spec.balancer_id}"
        if self.spec is None or self.spec.vip != spec.vip or self.spec.network_id != spec.network_id:
            self._wire(what, spec)
        self.spec = spec
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh, current = self.folder / "new.cfg", self.folder / "haproxy.cfg"
        fresh.write_text(config(spec, self.folder))
        if (
            self._child is not None
            and self._child.running
            and current.exists()
            and current.read_text() == fresh.read_text()
        ):
            return
        run(what, ["haproxy", "-c", "-q", "-f", str(fresh)])
        fresh.replace(current)
        self._load(what)
        self.set_dark(self.dark)

    def _wire(self, what: str, spec: BalancerSpec) -> None:
        self.delete()
        add_netns(what, self.netns)
        sysctl(what, ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.conf.all.arp_notify=1"], self.netns)
        outer = "l" + short(self.netns)
        self.networks.plug(
            what,
            self.networks.bridge(spec.network_id),
            self.netns,
            INTERFACE,
            outer=outer,
            mac=mac_of(spec.region, spec.network_id, spec.vip),
        )
        lines = [f"address add {spec.vip}/{spec.prefix_length} dev {INTERFACE}", f"link set {INTERFACE} up"]
        if spec.gateway is not None:
            lines.append(f"route add default via {spec.gateway}")
        ip(what, lines, self.netns)
        nft(what, NO_PING, self.netns)

    def _load(self, what: str) -> None:
        if self._child is not None and self._child.running:
            self._reload(what)
            return
        argv = inside(
            NETNS / self.netns,
            ["haproxy", "-W", "-db", "-f", str(self.folder / "haproxy.cfg")],
        )
        self._child = Child(what, argv, self.folder / "haproxy.log", self.folder / "haproxy.pid")
        try:
            self._child.start(self._ready)
        except ChildError as error:
            raise BackendError(str(error)) from error

    def _reload(self, what: str) -> None:
        """The master starts a new worker with the new file; it is there once it answers at the socket, or the old one stays in place."""
        states = self._ask("show servers state")
        (self.folder / "servers.state").write_text(states or "")
        before = self._worker()
        os.kill(int((self.folder / "haproxy.pid").read_text()), signal.SIGUSR2)
        deadline = time.monotonic() + LIMIT_S
        while self._worker() in (before, None):
            if time.monotonic() > deadline or self._child is None or not self._child.running:
                raise BackendError(
                    f"{what}: no new HAProxy worker {LIMIT_S:g} s after a reload; see {self.folder / 'haproxy.log'}"
                )
            time.sleep(POLL_S)

    def _worker(self) -> str | None:
        """Pid of the worker that takes connections. Asked of the worker: the master's own socket may stay silent after a reload."""
        lines = (self._ask("show info") or "").splitlines()
        return next((line.partition(": ")[2] for line in lines if line.startswith("Pid: ")), None)

    def _ready(self) -> bool:
        return self._worker() is not None

    def health(self) -> dict[str, str]:
        """By member id, members with a health check only."""
        text = self._ask("show stat")
        if text is None:
            return {}
        rows = csv.DictReader(text.lstrip("# ").splitlines())
        known = {row["svname"]: row["status"] for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")}
        return {
            name: "ONLINE" if status.startswith("UP") else "ERROR"
            for name, status in known.items()
            if status.startswith(("UP", "DOWN"))
        }

    def _ask(self, command: str) -> str | None:
        """An answer of the worker's socket, None when it does not answer."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self.folder / "stats.sock"))
                connection.sendall(f"{command}\n".encode())
                return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except OSError as error:
            log.debug("%s: %s", self.folder, error)
            return None

    def set_dark(self, dark: bool) -> None:
        self.dark = dark
        if self.spec is not None:
            nft(self.netns, DARK if dark else LIGHT, self.netns)

    def delete(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None
        drop_netns(self.netns, self.netns)
        self.spec = None
        for file in (self.folder / "haproxy.cfg", self.folder / "servers.state"):
            file.unlink(missing_ok=True)
