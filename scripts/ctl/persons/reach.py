"""A person at a host, by its name: through the bastion that leads there, the host's key verified, by a certificate of an hour in that person's name.

The key of it is made for this one call and is in memory alone; the hosts' logs and the audit trail say whose it was. Where the set of secrets has no CA
of ssh, the program's own key opens, and the logs say that.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from components.render import documents
from components.render.links import ssh
from components.settings import Settings
from contract import access
from contract.dataclass import dataclass
from contract.errors import DrError, Failed, Usage
from contract.plain import shown
from contract.sites import SITES
from scripts.clients.hosts import Hosts, Unreachable
from scripts.clients.ssh_certificate import Wanted, sign
from scripts.clients.witness import Witness
from scripts.ctl.persons import certificates
from scripts.ctl.persons.bastions import remember, remembered

HOURS = 1
ANSWER_S, TRY_S, CONNECT_S = 3.0, 5, 4


@dataclass(frozen=True)
class Way:
    """To one host, tried."""

    hosts: Hosts
    host: str
    via: str

    def attach(self, line: str, *, terminal: bool) -> int:
        """As of `Hosts.attach`."""
        return self.hosts.attach(self.host, self.via, line, terminal=terminal)

    def show(self, line: str, row: Callable[[str], None] = lambda _: None) -> int:
        """As of `Hosts.show`."""
        return self.hosts.show(self.host, self.via, line, row)

    def asked(self, line: str, limit_s: int) -> str:
        """What a shell line says there. Raises Unreachable."""
        return self.hosts.execute(self.host, self.via, line, b"", limit_s).stdout.decode(errors="replace")


@contextmanager
def way(settings: Settings, host: str, person: str) -> Iterator[Way]:
    """To `host` ("db-1.b"). Raises Usage for a name that is none of the configuration, Failed where no way leads there, with every reason."""
    if host not in settings.hosts:
        raise Usage(
            f"host {shown(host)}: is none of this shop's, wanted one of {', '.join(settings.hosts)}; nothing was done"
        )
    told, certificate = _identity(settings, person, ssh(settings, bastions(settings)))
    with Hosts(told, certificate) as hosts:
        yield Way(hosts, host, _via(hosts, host))


def _via(hosts: Hosts, host: str) -> str:
    """Its own region's bastion, or the other one's where that leads nowhere."""
    reasons = []
    for via in reversed(hosts.routes(host)):
        try:
            hosts.execute(host, via, "true", b"", TRY_S, connect_s=CONNECT_S)
        except Unreachable as error:
            reasons.append(str(error))
        else:
            return via
    raise Failed(
        f"{'; '.join(reasons) or f'host {host}: no bastion is known'}; wanted a session; see `drctl status`, and the host's console at the platform"
    )


def bastions(settings: Settings) -> dict[str, str]:
    """Those that the witness knows, or has known last. Raises DrError where it says nothing and never has."""
    place, found = documents.witness(settings), dict[str, str]()
    witness = Witness(place, answer_s=ANSWER_S, attempts=1)
    try:
        for site in SITES:
            if address := witness.addresses(site).get("bastion"):
                found[site] = address
    except DrError as error:
        found = remembered(place)
        if not found:
            raise
        print(f"WARNING {error}; the bastions are reached by the addresses of before", file=sys.stderr)
    remember(place, found)
    return found


def _identity(settings: Settings, person: str, told: access.Ssh) -> tuple[access.Ssh, str]:
    """The way to the hosts with the key that opens, and its certificate; empty where the program's own key does."""
    if settings.secrets.ssh_ca is None:
        print(
            "WARNING dr:secrets has no ssh.ca: the hosts' logs will name the program, and not who you are",
            file=sys.stderr,
        )
        return told, ""
    private = ed25519.Ed25519PrivateKey.generate()
    public = (
        private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    )
    wanted = Wanted(key=public, person=certificates.named(person), hours=HOURS, at=datetime.datetime.now(datetime.UTC))
    certificate = sign(wanted, certificates.authority(settings, public))
    if lost := certificates.note(settings, wanted):
        print(f"WARNING {lost}", file=sys.stderr)
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    return access.Ssh(private_key=text, hosts=told.hosts, bastions=told.bastions), certificate
