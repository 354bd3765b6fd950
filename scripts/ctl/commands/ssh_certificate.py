"""`drctl ssh-certificate`: root on the hosts for one person and some hours, by that person's own key, whose private part stays where it is.

The name in it is what the hosts' logs say, and the audit trail holds each one that was made. Whoever can open `dr:secrets` makes any of them.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
from collections.abc import Iterator
from pathlib import Path

from components.render import documents
from components.settings import Settings
from contract.errors import DrError, ExitCode, Usage
from contract.hosts import CONTROL
from contract.ssh_keys import MOST_HOURS
from scripts.clients.ssh_certificate import Wanted, sign
from scripts.clients.witness import Witness
from scripts.ctl.persons import certificates, key_file
from scripts.ctl.stacks.stack import Stack

ANSWER_S = 3.0
USUAL = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")  # keys that ssh tries by itself, in ~/.ssh


def run(chosen: argparse.Namespace) -> ExitCode:
    """Says what was made and what to type. Raises DrError; nothing was made then."""
    wanted_by = certificates.named(chosen.person)
    if not 1 <= chosen.hours <= MOST_HOURS:
        raise Usage(
            f"--hours: found {chosen.hours}, wanted 1 to {MOST_HOURS}; nothing was made; a certificate that ends soon need not be shut out"
        )
    with key_file.opened(chosen.key) as file:
        file.free()
        stack = Stack.chosen(chosen)
        settings = stack.settings()
        ca = certificates.authority(settings, file.key)
        wanted = Wanted(key=file.key, person=wanted_by, hours=chosen.hours, at=datetime.datetime.now(datetime.UTC))
        file.write(sign(wanted, ca))
    if lost := certificates.note(settings, wanted):
        print(lost)
    print(
        f"certificate {wanted.identity}, serial {wanted.serial}, until {wanted.until:%Y-%m-%dT%H:%M:%SZ}: {file.certificate}"
    )
    for line in _ways(settings, file.path):
        print(line)
    return ExitCode.DONE


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
