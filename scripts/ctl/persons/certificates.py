"""What stands behind every certificate that is made for a person: the name in it, the CA, the entry in the audit trail."""

from __future__ import annotations

import base64
import hashlib
import os

from components.render import documents
from components.settings import Settings
from contract.checks import Unwanted
from contract.errors import Refused, Usage
from contract.plain import shown
from contract.ssh_keys import PERSON, body
from scripts.clients.ssh_certificate import Wanted
from scripts.clients.trail import Note, person

NOTED_S = 5.0


def named(name: str) -> str:
    """Whose certificate it is: by default who the audit trail says this is. Raises Usage."""
    name = name or person(os.environ)
    try:
        return PERSON(name)
    except Unwanted as error:
        raise Usage(f"person {shown(name)}: wanted {error}; nothing was made; name the person with --person") from None


def authority(settings: Settings, key: str) -> str:
    """The CA's private key. Raises Refused where there is none, or where its certificate for this key would say what is not so."""
    secrets = settings.secrets
    if secrets.ssh_ca is None:
        raise Refused(
            "dr:secrets: found no ssh.ca, wanted a CA of ssh, which sets of before have not; nothing was made; add it as `The ssh CA is renewed` in "
            "docs/failover.md says"
        )
    for whose, other in (("the program", secrets.operator), ("the CA itself", secrets.ssh_ca)):
        if other.public.split()[1] == key.split()[1]:
            raise Refused(
                f"key: is that of {whose}, wanted a person's own; nothing was made; `ssh-keygen -t ed25519` makes one"
            )
    if key in settings.revoked:
        raise Refused(
            "key: is shut out by dr:ssh.revoked, so a certificate would open nothing; nothing was made; use another key"
        )
    return secrets.ssh_ca.private


def note(settings: Settings, wanted: Wanted) -> str:
    """Into the audit trail, behind what it is about, with what `dr:ssh.revoked` needs. A sentence when it is not written."""
    print_of = base64.b64encode(hashlib.sha256(body(wanted.key)).digest()).decode().rstrip("=")
    until = f"{wanted.until:%Y-%m-%dT%H:%M:%SZ}"
    facts = {"id": wanted.identity, "serial": str(wanted.serial), "until": until, "key": wanted.key}
    said = f"id:{wanted.identity}, serial:{wanted.serial}, until {until}, key SHA256:{print_of}"
    entry = Note(
        documents.witness(settings), "certificate", settings.site, why=settings.why or "", said=said, facts=facts
    )
    return entry.lost(NOTED_S)
