"""What every preview says out loud of a configuration, though it is no fault."""

from __future__ import annotations

from collections.abc import Iterator

from components.rules import endpoints, plain_http
from components.settings import Settings
from contract import ssh_keys
from contract.witness import LATER_USERS


def warnings(settings: Settings) -> list[str]:
    """What every preview says out loud, though it is no fault."""
    plain = sorted(key for key, url in endpoints(settings).items() if plain_http(url))
    told = [*_unkept(settings), *_theirs(settings), *_untold(settings), *_unread(settings)]
    if not settings.lab:
        return told
    return [
        *told,
        "dr:lab is true: THIS IS A REHEARSAL. Plain http is taken for "
        + (", ".join(f"dr:{key}" for key in plain) or "no endpoint yet")
        + "; with a real account's keys, whoever stands between would have them. Remove dr:lab from the stack file for anything real",
    ]


def _unkept(settings: Settings) -> Iterator[str]:
    """Bastions of which nobody else keeps who has signed in: the set of secrets was made before there was a key for it."""
    lacking = [user for user in LATER_USERS if user not in settings.secrets.witness_hosts]
    if lacking:
        yield (
            f"dr:secrets witness.hosts: found no key of {' and '.join(lacking)}, wanted one of each site's bastion; who signs in there is known to the bastion "
            "alone, and whoever owns it wipes that; make an S3 user for each with the policy that `drctl rights witness` prints, and add their keys in both "
            "stacks (docs/security.md)"
        )


def _unread(settings: Settings) -> Iterator[str]:
    """A page for customers that may be shut, or lie elsewhere, and nobody notices."""
    page = settings.monitoring.status_page if settings.monitoring and settings.monitoring.enabled else None
    if page is not None and page.public and page.address is None:
        yield (
            "dr:monitoring.status_page.address: found none, wanted the address at which customers read the page; nobody would look whether they can; set it "
            "for both stacks (docs/status-page.md)"
        )


def _untold(settings: Settings) -> Iterator[str]:
    """Alerts that would reach nobody, and alerting that could die unheard."""
    watch, told = settings.monitoring, settings.secrets.monitoring
    if watch is None or not watch.enabled:
        return
    if watch.email is None and not (told.slack or told.pagerduty or told.webhook):
        yield (
            "dr:monitoring: found nobody who is told, wanted dr:monitoring.email, or slack, pagerduty or webhook in the part monitoring of dr:secrets; both "
            "regions are watched and no alert reaches anybody; add one in both stacks (docs/monitoring.md)"
        )
    elif told.watchdog is None:
        yield (
            "dr:secrets monitoring.watchdog: found none, wanted an address outside both regions that raises alarm when it is called no more; alerting that "
            "has died in both regions would look like a quiet night; add one in both stacks (docs/monitoring.md)"
        )


def _theirs(settings: Settings) -> Iterator[str]:
    """Ids that only a CA of the team's may have given."""
    ids = [it for it in settings.revoked if ssh_keys.others(it)]
    if ids and settings.authorities:
        yield (
            f"dr:ssh.revoked: {', '.join(ids)}: shuts out a certificate of dr:ssh.authorities with just this id, and none of `drctl ssh-certificate`, whose "
            "ids bear their time (id:alice+20261129T090000Z); a person is shut out by the public key"
        )
