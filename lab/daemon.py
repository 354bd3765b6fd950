"""The lab's one process: machines, APIs, storage and DNS, from inside the lab's network namespace. Started by `lab up`.

What it starts (hosts, balancers, storage, DNS) shares the lab's control group with it, so that `lab down` finds all of it even when this
process is dead. It holds nothing that is worth an orderly end: `lab down` kills it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import assembly, looking
from lab.child import ChildError
from lab.cloud import openstack, ovh
from lab.cloud.backend import BackendError
from lab.cloud.web import Server, Service
from lab.control import Server as Control
from lab.dns.servers import Dns
from lab.faults import Faults
from lab.machines import snapshots
from lab.machines.backend import Machines
from lab.namespace import LabError, Places, places
from lab.replication import Replication
from lab.s3.gateway import Storage

log = logging.getLogger("lab")


class Lab:
    """Everything of one running lab."""

    def __init__(self, where: Places, image: Path, versitygw: Path) -> None:
        self.places, self.began = where, time.time()
        self.credentials = assembly.Credentials()
        self.config = assembly.cloud_config(self.credentials)
        self.machines = Machines(where, image, {plan.region: plan.external for plan in assembly.REGIONS})
        self.storage = Storage(where.disks, versitygw, assembly.STORAGE, assembly.TLS_STORAGE)
        self.dns = Dns(where.run, assembly.NAME_SERVERS, assembly.RESOLVER, names=ovh.OvhConfig.name_servers)
        self.openstack = openstack.build(self.config, self.machines)
        self.ovh = ovh.service(assembly.ovh_config(self.credentials), self.storage, self.dns)
        self.replication = Replication(self.ovh, self.storage)
        self.services = self._by_name()
        sites = {plan.site: plan.as_site for plan in assembly.REGIONS}
        self.faults = Faults(
            sites, self.machines, services=self.services, storage=self.storage, ovh=self.ovh, dns=self.dns
        )
        self.servers: list[Server] = []

    def _by_name(self) -> dict[str, Service]:
        """Services as faults and `lab status` call them: `compute@a`, `identity`, `ovh`."""
        sites = self._site_names()
        named = {
            f"{kind}@{sites[region]}" if region else kind: service
            for (kind, region), service in self.openstack.services.items()
        }
        return {**named, "ovh": self.ovh}

    def start(self) -> None:
        """Everything up and answering, then the description is written."""
        self.machines.prepare()
        self.machines.networks.add_addresses(assembly.GLOBAL_ADDRESSES)
        self.storage.start()
        self.dns.start()
        self._serve(self.services["identity"], assembly.KEYSTONE)
        self._serve(self.ovh, assembly.OVH)
        for plan in assembly.REGIONS:
            for kind, port in assembly.PORTS.items():
                self._serve(self.services[f"{kind}@{plan.site}"], (plan.api, port))
        self.replication.start()
        keys = (self.storage.root_access_key, self.storage.root_secret_key)
        Control(self.places.socket, self.operations()).start()
        write_private(
            self.places.description,
            json.dumps(assembly.description(self.config, self.credentials, keys, self.storage.ca), indent=1) + "\n",
        )

    def _serve(self, service: Service, address: tuple[str, int]) -> None:
        self.servers.append(Server(service, *address).start())

    def operations(self) -> dict[str, Callable[..., Any]]:
        """What the control socket offers."""
        faults = self.faults
        return {
            "status": self.status,
            "hosts": lambda: looking.told(self.machines.hosts, self._site_names()),
            "kill": faults.kill,
            "return": faults.restore,
            "return-all": faults.restore_all,
            "faults": faults.active,
            "all": self.openstack.cloud.all,
            "snapshot": lambda target: self._snapshot(target, snapshots.take),
            "rollback": lambda target: self._snapshot(target, snapshots.put_back),
        }

    def _snapshot(self, target: str, do: Callable[..., None]) -> dict[str, str]:
        """Of a server by its name, while it has no power."""
        for (region, server_id), host in self.machines.hosts.items():
            if host.spec.name == target:
                do(host, self.machines.volumes, region, self.places.disks / "snapshots" / server_id)
                return {"target": target}
        raise LabError(f"server: found none that is called {target!r}; `lab status` lists all", 2)

    @staticmethod
    def _site_names() -> dict[str, str]:
        return {plan.region: plan.site for plan in assembly.REGIONS}

    def status(self) -> dict[str, Any]:
        """For people and scripts; no secrets."""
        sites = self._site_names()
        hosts = [
            {
                "name": host.spec.name,
                "site": sites[region],
                "id": server_id,
                "running": host.running,
                "addresses": [nic.address for nic in host.spec.nics],
            }
            for (region, server_id), host in sorted(self.machines.hosts.items())
        ]
        balancers = [
            {
                "id": balancer_id,
                "site": sites[region],
                "vip": balancer.spec.vip if balancer.spec else None,
                "members": balancer.health(),
            }
            for (region, balancer_id), balancer in sorted(self.machines.balancers.items())
        ]
        apis = {
            name: {"requests": len(service.requests), "unknown": [row[:2] for row in service.requests if row[2] == 501]}
            for name, service in sorted(self.services.items())
        }
        storage = {region: self.storage.alive(region) for region in self.storage.addresses}
        return {
            "name": self.places.name, "pid": os.getpid(), "up_s": round(time.time() - self.began), "hosts": hosts, "balancers": balancers,
            "apis": apis, "storage": storage, "faults": self.faults.active(),
        }  # fmt: skip


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and for root's eyes only."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)


def main(arguments: list[str]) -> int:
    """`python -m lab.daemon IMAGE VERSITYGW`: runs until it is killed. What it has to say stands on the last line of its log."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    where = places()
    image, versitygw = (Path(argument) for argument in arguments)
    try:
        Lab(where, image, versitygw).start()
    except (BackendError, ChildError, LabError, OSError) as error:
        log.critical("%s", error)
        return 1
    log.info("lab %s is up", where.name)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


if __name__ == "__main__":
    # No orderly end: threads of the APIs may be in the middle of anything, and `lab down` removes what they made.
    sys.stdout.flush()
    os._exit(main(sys.argv[1:]))
