"""An ACME CA on loopback for lego: pebble, whose questions go to name servers that the rehearsal's OVHcloud API fills. Root: name servers listen on port 53.

pebble refuses one nonce in twenty and sends answers late and in another order on purpose (its own words: to keep clients honest), unless it is told not to.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.consumer_key import challenge
from lab.child import Child
from lab.cloud.ovh import OvhConfig, OvhService, service
from lab.cloud.ovh.config import StorageBackend
from lab.cloud.web import Server
from lab.dns.servers import Address, Dns
from lab.pairs.loopback import free_port
from scripts.ctl.stacks.secrets import Authority

PEBBLE = "pebble"
ZONE, DELEGATED = "shop.example", "acme.example"
LIFE_S = 90 * 86_400
KEYS = {"application_key": "acme-application", "application_secret": "acme-secret", "consumer_key": "acme-consumer"}


@dataclass(frozen=True)
class Ca:
    """`directory`: its URL; `cas`: PEM of what its own TLS and its certificates go back to; `endpoint`: of the OVHcloud API."""

    directory: str
    cas: str
    endpoint: str
    api: OvhService
    dns: Dns


@contextmanager
def authority(run: Path, storage: StorageBackend, net: int, *, zone: str = ZONE) -> Iterator[Ca]:
    """`net`: addresses are 127.66.<net>.0/24. `zone`: in which its keys may answer a challenge."""
    address = f"127.66.{net}"
    with ExitStack() as stack:
        servers = [Address(f"{address}.21"), Address(f"{address}.22")]
        dns = Dns(run, servers, Address(f"{address}.53"), (ZONE, DELEGATED))
        dns.start()
        stack.callback(dns.stop)
        config = OvhConfig(
            application_key=KEYS["application_key"],
            application_secret=KEYS["application_secret"],
            consumer_key=KEYS["consumer_key"],
            service_name="project",
            auth_url="http://127.0.0.1:1",
            zones=(ZONE, DELEGATED),
            name_servers=dns.names,
            granted=tuple(challenge(zone)),
        )
        api = service(config, storage, dns)
        for name in config.zones:
            dns.publish(name, api.zones[name].published(), api.zones[name].next_serial())
        served = Server(api, "127.0.0.1").start()
        stack.callback(served.stop)
        directory, cas = stack.enter_context(pebble(run, f"{address}.53:53"))
        yield Ca(directory, cas, f"http://127.0.0.1:{served.port}/1.0", api, dns)


@contextmanager
def pebble(run: Path, resolver: str, address: str = "127.0.0.1") -> Iterator[tuple[str, str]]:
    """It listens at `address` and asks `resolver`. URL of its directory, and PEM of what its own TLS and its certificates go back to."""
    port, management = free_port(), free_port()
    own = Authority("pebble's own")
    process = Child(
        PEBBLE,
        [PEBBLE, "-config", str(_config(run, own, address, port, management)), "-dnsserver", resolver],
        run / "pebble.log",
        run / "pebble.pid",
        {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"},
    )
    context = ssl.create_default_context(cadata=own.certificate_pem)

    def ask(at: int, path: str) -> str:
        link = http.client.HTTPSConnection(address, at, timeout=2, context=context)
        try:
            link.request("GET", path)
            return link.getresponse().read().decode()
        finally:
            link.close()

    def ready() -> bool:
        try:
            return bool(ask(port, "/dir"))
        except OSError:
            return False

    process.start(ready)
    try:
        yield f"https://{address}:{port}/dir", own.certificate_pem + ask(management, "/roots/0")
    finally:
        process.stop()


def _config(run: Path, own: Authority, address: str, port: int, management: int) -> Path:
    pair = own.issue([address, "localhost"])
    for name, text in pair.items():
        (run / f"pebble.{name}").write_text(text)
    told = {
        "listenAddress": f"{address}:{port}",
        "managementListenAddress": f"{address}:{management}",
        "certificate": str(run / "pebble.cert"),
        "privateKey": str(run / "pebble.key"),
        "httpPort": 5002,
        "tlsPort": 5001,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": LIFE_S,
        "domainBlocklist": [f"www.blocked.{ZONE}"],
    }
    path = run / "pebble.json"
    path.write_text(json.dumps({"pebble": told}))
    return path
