"""What both jobs are told, and where they keep what is theirs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from contract import fields, hosts
from contract.checks import integer, optional, prose
from contract.dataclass import dataclass
from contract.fields import key, part
from contract.forms import DOMAIN, HOST
from contract.services.certificate import AT_WITNESS, Certificate, Terms
from contract.sites import A_SITE, SITES

from ...frame.desired import Envelope
from ...frame.layout import Layout
from ...frame.own import read_back

FILE = "certificate.json"  # in /etc/dr, for everybody to read
CAS = "certificate-cas.pem"  # beside it: whom lego trusts with the directory, where that is no public root
# Of lego, which takes each from a file: root's, and handed to the job by systemd.
KEYS = ("application_key", "application_secret", "consumer_key")
STATE = "/var/lib/dr-certificate"


@dataclass(frozen=True, kw_only=True)
class Job:
    """Whose job it is, and about which name."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    site: str = key(A_SITE, "of this host")
    host: str = key(HOST, "its name")
    shop: str = key(DOMAIN, "the shop's public name")
    ca: str | None = key(optional(prose), "PEM of the CAs that are trusted with it; null: the public roots")
    order: Terms | None = part(Terms, "of a bastion", optional=True)

    @classmethod
    def wanted(cls, envelope: Envelope, it: Certificate | None) -> Job | None:
        """From what the host is told."""
        if it is None:
            return None
        order = it.order and Terms(**{name: getattr(it.order, name) for name in fields.keys(Terms)})
        return cls(site=envelope.site, host=envelope.host, shop=it.shop, ca=it.ca, order=order)

    @classmethod
    def of_host(cls, layout: Layout) -> Job:
        """Raises Failed."""
        return read_back(
            cls,
            layout.etc / FILE,
            wanted="what this host has to do with the shop's certificate",
            consequence="it is neither ordered nor taken here",
            remedy="run `pulumi up` for this site",
        )

    @property
    def text(self) -> str:
        return json.dumps(fields.write(self), sort_keys=True, indent=1) + "\n"


def objects() -> dict[str, str]:
    """Names at the witness, by the site whose bastion puts them."""
    return {site: AT_WITNESS.format(site=site) for site in SITES}


def signer(site: str) -> str:
    """The name in the certificate of the host that signs what lies there."""
    return hosts.fqdn_of(hosts.first(hosts.CONTROL), site)


def given(layout: Layout, name: str) -> Path:
    """A file of /etc/dr, or the copy of it that systemd has handed to this job."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) / name if folder else layout.etc / name


def state(layout: Layout) -> Path:
    """The job's own folder."""
    return Path(os.environ.get("STATE_DIRECTORY") or layout.at(STATE))
