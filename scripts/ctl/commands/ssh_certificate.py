"""`drctl ssh-certificate`: root on the hosts for one person and some hours, by that person's own key, whose private part stays where it is.

The name in it is what the hosts' logs say, and the audit trail holds each one that was made. Whoever can open `dr:secrets` makes any of them.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import hashlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from components.render import documents
from components.settings import Settings
from contract.checks import Unwanted
from contract.errors import DrError, ExitCode, Refused, Usage
from contract.hosts import CONTROL
from contract.plain import shown
from contract.ssh_keys import MOST_HOURS, PERSON, body
from scripts.clients.ssh_certificate import Wanted, sign
from scripts.clients.trail import Note, person
from scripts.clients.witness import Witness
from scripts.ctl import key_file
from scripts.ctl.stack import Stack

NOTED_S, ANSWER_S = 5.0, 3.0
USUAL = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")  # keys that ssh tries by itself, in ~/.ssh


def run(chosen: argparse.Namespace) -> ExitCode:
    """Says what was made and what to type. Raises DrError; nothing was made then."""
    wanted_by = _person(chosen.person or person(os.environ))
    if not 1 <= chosen.hours <= MOST_HOURS:
        raise Usage(
            f"--hours: found {chosen.hours}, wanted 1 to {MOST_HOURS}; nothing was made; a certificate that ends soon need not be shut out"
        )
    with key_file.opened(chosen.key) as file:
        file.free()
        stack = Stack.chosen(chosen)
        settings = stack.settings()
        ca = _authority(settings, file.key)
        wanted = Wanted(key=file.key, person=wanted_by, hours=chosen.hours, at=datetime.datetime.now(datetime.UTC))
        file.write(sign(wanted, ca))
    _note(settings, wanted)
    print(
        f"certificate {wanted.identity}, serial {wanted.serial}, until {wanted.until:%Y-%m-%dT%H:%M:%SZ}: {file.certificate}"
    )
    for line in _ways(settings, file.path):
        print(line)
    return ExitCode.DONE


def _person(name: str) -> str:
    try:
        return PERSON(name)
    except Unwanted as error:
        raise Usage(f"person {shown(name)}: wanted {error}; nothing was made; name the person with --person") from None


def _authority(settings: Settings, key: str) -> str:
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


def _note(settings: Settings, wanted: Wanted) -> None:
    """Behind what it is about. It holds what `dr:ssh.revoked` needs."""
    print_of = base64.b64encode(hashlib.sha256(body(wanted.key)).digest()).decode().rstrip("=")
    until = f"{wanted.until:%Y-%m-%dT%H:%M:%SZ}"
    facts = {"id": wanted.identity, "serial": str(wanted.serial), "until": until, "key": wanted.key}
    said = f"id:{wanted.identity}, serial:{wanted.serial}, until {until}, key SHA256:{print_of}"
    note = Note(
        documents.witness(settings), "certificate", settings.site, why=settings.why or "", said=said, facts=facts
    )
    if lost := note.lost(NOTED_S):
        print(lost)


def _ways(settings: Settings, key: Path) -> Iterator[str]:
    """What to type, and by which keys the hosts are known."""
    try:
        bastion = (
            Witness(documents.witness(settings), answer_s=ANSWER_S, attempts=1).addresses(settings.site).get("bastion")
        )
    except DrError:
        bastion = None
    entrance = bastion or "BASTION"
    if not bastion:
        yield f"the witness does not say the address of region {settings.site}'s bastion; `pulumi stack output` does"
    private = key.with_name(key.name.removesuffix(key_file.SUFFIX))
    if not _tried(private):
        yield f"ssh-add {shlex.quote(str(private))}"
    hosts = settings.hosts_of(settings.site)
    yield f"ssh root@{entrance}    # the bastion"
    yield from (
        f"ssh -J root@{entrance} root@{it.vrack}    # {name}" for name, it in hosts.items() if it.role != CONTROL
    )
    yield "lines for ~/.ssh/known_hosts:"
    for name, it in hosts.items():
        called = [entrance] if it.role == CONTROL else [it.vrack, it.front]
        yield f"{','.join(called)} {' '.join(settings.secrets.host_keys[name].public.split()[:2])}"


def _tried(private: Path) -> bool:
    """Whether ssh shows this key without being told to."""
    try:
        return private.name in USUAL and private.parent.absolute() == Path.home() / ".ssh"
    except RuntimeError:  # a user without a home
        return False
