"""Checks of what stands around the data: witness, leases, shop, name, platform, hosts, configuration."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from components.certificates import ends
from contract.agreement import digests
from contract.hosts import APP, KINDS
from contract.version import VERSION
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, ago, each, judged, unknown

BLOCKS, WARNS = Severity.BLOCKS, Severity.WARNS
CERTIFICATE_DAYS, SERVED_DAYS = 30, 21
CLOCK_S = 5.0
ROOT_FREE = 0.1
BEATS = 3  # missed in a row


def _epoch(at: Sight) -> Iterator[Verdict]:
    newest = at.survey.newest
    if not newest.known:
        yield unknown("witness", newest.why)
    elif newest.value is None:
        yield Verdict(subject="witness", holds=False, found="no epoch: nothing was brought up")
    else:
        yield Verdict(
            subject="witness", holds=True, found=f"epoch {newest.value.epoch}, region {newest.value.active} active"
        )


def _known(pick: Any, subject: str, holds: Any, words: Any) -> Any:
    """A judge of one value of the survey."""

    def judge(at: Sight) -> Iterator[Verdict]:
        word = pick(at.survey)
        yield (
            unknown(subject, word.why)
            if not word.known or word.value is None
            else judged(subject, word.value, holds, words)
        )

    return judge


def _trail(at: Sight) -> Iterator[Verdict]:
    last = at.survey.last
    if not last.known:
        yield unknown("audit trail", last.why)
    else:
        it = last.value
        yield Verdict(
            subject="audit trail",
            holds=it is not None,
            found=f"{it.number} entries, the last: {it.what} at {it.at}" if it else "empty",
        )


def _own_epoch(at: Sight) -> Iterator[Verdict]:
    """Who knows of a newer epoch than the witness has seen one that was lost there."""
    for name, _, word in at.hosts():
        it = word.value
        if at.epoch is None or it is None:
            yield unknown(name, word.why or at.survey.newest.why)
        elif it.role is not None and it.role.epoch is not None:
            found = f"{it.role.role} of epoch {it.role.epoch}"
            yield Verdict(subject=name, holds=it.role.epoch == at.epoch.epoch, found=found)


def _followed(at: Sight) -> Iterator[Verdict]:
    standby = at.survey.standby
    if standby is None or at.epoch is None or not standby.followed.known:
        yield unknown("standby", standby.followed.why if standby else at.survey.newest.why)
    else:
        it = standby.followed.value
        yield Verdict(subject="standby", holds=it == at.epoch.epoch, found="never" if it is None else f"epoch {it}")


def _agents(of: Any, holds: Any, words: Any = str) -> Any:
    """A judge of the agent on each host that keeps a lease."""
    kinds = tuple(name for name, kind in KINDS.items() if kind.leased)

    def judge(at: Sight) -> Iterable[Verdict]:
        if at.settings.lease is None:
            return [Verdict(subject="leases", holds=True, found="off (dr:lease)")]
        return each(at.hosts(*kinds), lambda it: it.agent and of(it.agent), partial(holds, at), words)

    return judge


def _beats(at: Sight) -> Iterator[Verdict]:
    if at.settings.lease is None:
        yield Verdict(subject="heartbeats", holds=True, found="off (dr:lease)")
        return
    for region in at.regions():
        for name, word in region.beats.items():
            if word.value is None:
                yield unknown(f"{name}.{region.site}", word.why or "has never written one")
            else:
                age = word.value.age_s
                yield Verdict(
                    subject=f"{name}.{region.site}",
                    holds=age <= BEATS * at.settings.lease.heartbeat_s + 1,
                    found=ago(age),
                )


def _terms(at: Sight) -> Iterator[Verdict]:
    if at.settings.lease is None:
        yield Verdict(subject="leases", holds=True, found="off (dr:lease)")
        return
    for region in at.regions():
        for name, word in region.beats.items():
            terms = None if word.value is None else word.value.terms
            yield judged(
                f"{name}.{region.site}",
                terms,
                lambda it: it == at.settings.lease,
                lambda it: f"lease_s {it.lease_s}, heartbeat_s {it.heartbeat_s}",
            )


def _granted(at: Sight) -> Iterator[Verdict]:
    """A primary lives on the witness's word or on its counterpart's: both have to be there before one may go."""
    active = at.survey.active
    if at.settings.lease is None or active is None:
        yield (
            unknown("leases", at.survey.newest.why)
            if at.settings.lease
            else Verdict(subject="leases", holds=True, found="off (dr:lease)")
        )
        return
    for name in active.beats:
        it = active.host(name)
        agent = None if it is None else it.agent
        yield judged(f"{name}.{active.site}", agent and agent.counterpart, lambda it: it == "grants")


def _workers(at: Sight) -> Iterator[Verdict]:
    for name, site, word in at.hosts(APP):
        active, it = at.is_active(site), word.value
        worker = None if it is None or it.app is None else it.app.worker
        if active is None or worker is None:
            yield unknown(name, word.why)
        else:
            yield Verdict(subject=name, holds=worker is active, found="a worker runs" if worker else "none runs")


def _same(of: Any, *kinds: str) -> Any:
    """Whether every host of these kinds says the same."""

    def judge(at: Sight) -> Iterator[Verdict]:
        found = {name: None if word.value is None else of(word.value) for name, _, word in at.hosts(*kinds)}
        told = [it for it in found.values() if it is not None]
        most = max(told, key=told.count, default=None)
        for name, value in found.items():
            yield unknown(name) if value is None else Verdict(subject=name, holds=value == most, found=str(value))

    return judge


def _packages(at: Sight) -> Iterator[Verdict]:
    """Hosts of one kind, in both regions: what is newer on one of them was not tried beside the other."""
    regions = [*at.regions()]
    for name in regions[0].hosts:
        known = [it.host(name) for it in regions]
        tables = [None if it is None else it.packages for it in known]
        if any(it is None for it in tables):
            yield unknown(name)
            continue
        left, right = ({n: v for n, v in (it or {}).items() if not n.startswith("linux-image")} for it in tables)
        wrong = sorted(n for n in left | right if left.get(n) != right.get(n))
        told = ", ".join(f"{n} {left.get(n, 'none')} in a, {right.get(n, 'none')} in b" for n in wrong[:4])
        yield Verdict(subject=name, holds=not wrong, found=told or f"{len(left)} alike")


def _entrances(at: Sight) -> Iterator[Verdict]:
    for region in at.regions():
        it, subject = region.entrance, f"entrance {region.site}"
        if it.value is None:  # what a customer cannot reach is down, whoever asks
            yield Verdict(subject=subject, holds=False, found=it.why)
        elif at.epoch is None:
            yield unknown(subject, at.survey.newest.why)
        else:
            served = f"served by region {it.value.site} in {it.value.seconds * 1000:.0f} ms"
            yield Verdict(subject=subject, holds=at.epoch.active == it.value.site, found=served)


def _served(at: Sight) -> Iterator[Verdict]:
    for region in at.regions():
        it = region.entrance.value
        subject = f"entrance {region.site}"
        if it is None:
            yield unknown(subject, region.entrance.why)
        else:
            yield _until(subject, it.ends, at.now, SERVED_DAYS)


def _certificates(at: Sight) -> Iterator[Verdict]:
    for name, end in ends(at.settings.secrets).items():
        if not end:
            yield unknown(name, "cannot be read here")
        else:
            yield _until(name, datetime.datetime.fromisoformat(end), at.now, CERTIFICATE_DAYS)


def _until(subject: str, end: datetime.datetime, now: float, days: int) -> Verdict:
    left = (end.timestamp() - now) / 86_400
    return Verdict(
        subject=subject,
        holds=left >= days,
        found=f"ends {end:%Y-%m-%d}, {left:.0f} days" if left > 0 else f"ended {end:%Y-%m-%d}",
    )


def _wanted(at: Sight) -> frozenset[str] | None:
    """Addresses that the name should have; None where nobody knows."""
    if at.epoch is None:
        return None
    sites = [at.epoch.active] if at.settings.dns.mode == "single" else [*at.survey.regions]
    found = [at.survey.regions[site].addresses.part(lambda it: it.get("lb")) for site in sites]
    return None if None in found else frozenset(map(str, found))


def _name(at: Sight, subject: str, word: Any) -> Verdict:
    wanted = _wanted(at)
    if word.value is None or wanted is None:
        return unknown(subject, word.why or at.survey.newest.why)
    return Verdict(
        subject=subject,
        holds=word.value.addresses == wanted,
        found=", ".join(sorted(word.value.addresses)) or "no address",
    )


def _authoritative(at: Sight) -> Iterator[Verdict]:
    for server, word in at.survey.names.servers.items():
        yield _name(at, f"name server {server}", word)


def _of_servers(of: Any, holds: Any, words: Any = str) -> Any:
    def judge(at: Sight) -> Iterator[Verdict]:
        for server, word in at.survey.names.servers.items():
            subject = f"name server {server}"
            yield (
                unknown(subject, word.why)
                if word.value is None
                else judged(subject, of(word.value), partial(holds, at), words)
            )

    return judge


def _serials(at: Sight) -> Iterator[Verdict]:
    serials = {server: word.part(lambda it: it.serial) for server, word in at.survey.names.servers.items()}
    told = ", ".join(f"{server} {serial}" for server, serial in serials.items())
    holds = None if None in serials.values() else len(set(serials.values())) == 1
    yield Verdict(subject="zone", holds=holds, found=told)


def _delegation(at: Sight) -> Iterator[Verdict]:
    word = at.survey.names.delegation
    asked = {server.partition(":")[0] for server in at.settings.dns.servers}
    if word.value is None:
        yield unknown("zone", word.why)
    else:
        strange = sorted(asked - word.value)
        yield Verdict(
            subject="zone",
            holds=not strange,
            found=f"not delegated to {', '.join(strange)}" if strange else f"{len(asked)} of {len(word.value)} asked",
        )


def _servers(at: Sight) -> Iterator[Verdict]:
    for region in at.regions():
        sight = region.servers.value
        if sight is None:
            yield unknown(f"servers of {region.site}", region.servers.why)
            continue
        wrong = [
            f"{it.name or it.id} is {it.words()}"
            for it in sight.servers
            if it.status != "ACTIVE" or it.task is not None
        ]
        wrong += [*sight.unseen, *(f"{name} is gone" for name in sight.gone)]
        yield Verdict(
            subject=f"servers of {region.site}", holds=not wrong, found=", ".join(wrong) or f"{len(sight.servers)} on"
        )


def _members(at: Sight) -> Iterator[Verdict]:
    for region in at.regions():
        word = region.members
        if word.value is None:
            yield unknown(f"balancer of {region.site}", word.why)
            continue
        for name, state in sorted(word.value.items()):
            yield Verdict(subject=f"{name} at the balancer of {region.site}", holds=state == "ONLINE", found=state)


def _clocks(at: Sight) -> Iterator[Verdict]:
    """A host has said its time while the survey was made."""
    for name, _, word in at.hosts():
        said = None if word.value is None else word.value.at
        off = None if said is None else max(at.now - said, said - at.now - at.survey.took_s, 0.0)
        yield judged(name, off, lambda it: it <= CLOCK_S, lambda it: f"{it:.0f} s off" if it else "right")


def _agrees(at: Sight) -> Iterator[Verdict]:
    own = digests(at.settings)
    for region in at.regions():
        word, subject = region.record, f"last run of region {region.site}"
        if word.value is None:
            yield unknown(subject, word.why or "has left no digests")
            continue
        wrong = sorted(name for name in own | dict(word.value.keys) if own.get(name) != word.value.keys.get(name))
        yield Verdict(
            subject=subject,
            holds=not wrong,
            found=f"differs in {', '.join(wrong[:6])}" if wrong else f"{len(own)} keys alike",
        )


def _words(at: Sight) -> Iterator[Verdict]:
    armed = sorted(name for name, word in at.settings.words.items() if word is not None)
    yield Verdict(subject="dr:accept", holds=not armed, found=", ".join(armed) or "none set")


def _disk(at: Sight) -> Iterable[Verdict]:
    return each(
        at.hosts(), lambda it: None if not it.disk_size or it.disk_free is None else it.disk_free / it.disk_size, lambda it: it >= ROOT_FREE,
        lambda it: f"{it:.0%} free",
    )  # fmt: skip


ROWS = (
    Row(
        id="witness.answers",
        severity=BLOCKS,
        about="the witness says which region is active",
        judge=_epoch,
        wanted="an epoch in force",
        next="see whether the third region has an outage",
    ),
    Row(
        id="witness.epochs",
        severity=BLOCKS,
        about="no epoch was written over",
        judge=_known(lambda it: it.epochs, "epochs", lambda it: it == 0, lambda it: f"{it} in several versions"),
        wanted="each written once",
        next="docs/failover.md, `The witness has lost its epochs`",
    ),
    Row(
        id="witness.lock",
        severity=WARNS,
        about="what is written there stays",
        judge=_known(lambda it: it.locked, "witness", bool, lambda it: "locked" if it else "not locked"),
        wanted="object lock in compliance mode",
        next="docs/restore.md, what a stolen key can do",
    ),
    Row(
        id="witness.moves",
        severity=WARNS,
        about="no move was begun and left",
        judge=_known(
            lambda it: it.unsettled, "moves away from the active region", lambda it: it == 0, lambda it: f"{it} begun"
        ),
        wanted="none",
        next="pulumi up for the active region",
    ),
    Row(
        id="audit.trail",
        severity=WARNS,
        about="who has done what is kept",
        judge=_trail,
        wanted="entries",
        next="drctl audit verify",
    ),
    Row(
        id="role.epoch",
        severity=BLOCKS,
        about="every host has its role of the epoch in force",
        judge=_own_epoch,
        wanted="the witness's epoch",
        next="pulumi up for that region; where a host knows a newer one than the witness: docs/failover.md, `The witness has lost its epochs`",
    ),
    Row(
        id="role.followed",
        severity=BLOCKS,
        about="the standby was seen following in this epoch",
        judge=_followed,
        wanted="the epoch in force",
        next="pulumi up for the standby",
    ),
    Row(
        id="lease.agent",
        severity=WARNS,
        about="agents are at work",
        judge=_agents(lambda it: it.running, lambda at, it: bool(it), lambda it: "at work" if it else "down"),
        wanted="at work",
        next="systemctl status dr-agent on that host",
    ),
    Row(
        id="lease.heartbeat",
        severity=BLOCKS,
        about="hosts are heard at the witness",
        judge=_beats,
        wanted="a heartbeat of the last seconds",
        next="dr-host agent status on that host",
    ),
    Row(
        id="lease.terms-agree",
        severity=WARNS,
        about="hosts keep the configured terms",
        judge=_terms,
        wanted="those of dr:lease",
        next="pulumi up for that region",
    ),
    Row(
        id="lease.witness",
        severity=WARNS,
        about="agents reach the witness",
        judge=_agents(lambda it: it.witness, lambda at, it: it == "answers"),
        wanted="answers",
        next="dr-host agent status on that host",
    ),
    Row(
        id="lease.counterpart",
        severity=WARNS,
        about="the active region's hosts are granted their lease by the other one's, too",
        judge=_granted,
        wanted="grants",
        next="dr-host agent status on both; see the network between the regions",
    ),
    Row(
        id="app.healthy",
        severity=WARNS,
        about="app hosts take requests",
        judge=lambda at: each(
            at.hosts(APP), lambda it: it.app and it.app.healthy, bool, lambda it: "well" if it else "not well"
        ),
        wanted="well",
        next="journalctl -u shop-web on that host",
    ),
    Row(
        id="app.worker",
        severity=WARNS,
        about="workers run in the active region alone",
        judge=_workers,
        wanted="one where the shop is, none elsewhere",
        next="pulumi up for that region",
    ),
    Row(
        id="release.parity",
        severity=WARNS,
        about="one release everywhere",
        judge=_same(lambda it: it.app and it.app.release, APP),
        wanted="that of the others",
        next="pulumi up for that region",
    ),
    Row(
        id="software.parity",
        severity=WARNS,
        about="one version of dr-host everywhere, this program's",
        judge=lambda at: each(at.hosts(), lambda it: it.version, lambda it: it == VERSION),
        wanted=VERSION,
        next="pulumi up for that region",
    ),
    Row(
        id="packages.parity",
        severity=WARNS,
        about="hosts of both regions have the same packages",
        judge=_packages,
        wanted="the same versions",
        next="apt-get upgrade on the standby's host, and on the active's after a move",
    ),
    Row(
        id="entrance.answers",
        severity=WARNS,
        about="both entrances lead to the shop",
        judge=_entrances,
        wanted="answered by the active region",
        next="dr-host app status on app-1 of that region",
    ),
    Row(
        id="certs.served",
        severity=WARNS,
        about="the certificate that customers are shown",
        judge=_served,
        wanted=f"{SERVED_DAYS} days or more",
        next="renew it, put it into dr:secrets tls.shop of both stacks, pulumi up",
    ),
    Row(
        id="certs.expiry",
        severity=WARNS,
        about="every certificate in dr:secrets",
        judge=_certificates,
        wanted=f"{CERTIFICATE_DAYS} days or more",
        next="docs/configuration.md, Secrets",
    ),
    Row(
        id="dns.authoritative",
        severity=WARNS,
        about="each name server leads to the active region",
        judge=_authoritative,
        wanted="the active region's entrance (both with dr:dns.mode dual)",
        next="pulumi up for the active region",
    ),
    Row(
        id="dns.resolver",
        severity=WARNS,
        about="this machine's resolver leads there, as a customer's",
        judge=lambda at: [_name(at, "resolver", at.survey.names.resolver)],
        wanted="the active region's entrance (both with dr:dns.mode dual)",
        next="wait for the TTL; else see dns.authoritative",
    ),
    Row(
        id="dns.serial",
        severity=WARNS,
        about="name servers serve one version of the zone",
        judge=_serials,
        wanted="the same serial",
        next="wait for the zone's transfer",
    ),
    Row(
        id="dns.ttl",
        severity=WARNS,
        about="how long a customer keeps the old address",
        judge=_of_servers(lambda it: it.ttl, lambda at, it: it <= at.settings.dns.ttl, lambda it: f"{it} s"),
        wanted="dr:dns.ttl at most",
        next="pulumi up for the active region",
    ),
    Row(
        id="dns.aaaa",
        severity=WARNS,
        about="the name leads nowhere besides",
        judge=_of_servers(
            lambda it: it.others, lambda at, it: not it, lambda it: ", ".join(sorted(it)) or "no other record"
        ),
        wanted="A records alone",
        next="remove the record in the zone",
    ),
    Row(
        id="dns.delegation",
        severity=WARNS,
        about="the name servers that are asked are the zone's",
        judge=_delegation,
        wanted="dr:dns.servers among those of the delegation",
        next="correct dr:dns.servers in Pulumi.yaml",
    ),
    Row(
        id="servers.on",
        severity=BLOCKS,
        about="the platform shows every server on",
        judge=_servers,
        wanted="ACTIVE",
        next="pulumi up for that region, which starts them",
    ),
    Row(
        id="balancer.members",
        severity=WARNS,
        about="balancers find their members well",
        judge=_members,
        wanted="ONLINE",
        next="dr-host app status on that host",
    ),
    Row(
        id="host.answers",
        severity=BLOCKS,
        about="every host answers",
        judge=lambda at: each(
            at.hosts(),
            lambda it: ", ".join(it.silent),
            lambda it: not it,
            lambda it: f"cannot ask {it}" if it else "answers",
        ),
        wanted="an answer of every service",
        next="drctl status; the host's console",
    ),
    Row(
        id="host.units",
        severity=WARNS,
        about="no unit has failed",
        judge=lambda at: each(
            at.hosts(), lambda it: it.failed, lambda it: not it, lambda it: ", ".join(it) or "none failed"
        ),
        wanted="none",
        next="systemctl status of that unit",
    ),
    Row(
        id="host.disk",
        severity=WARNS,
        about="room on the hosts' own disks",
        judge=_disk,
        wanted="a tenth or more",
        next="journalctl --disk-usage; apt-get clean",
    ),
    Row(
        id="reboot.due",
        severity=WARNS,
        about="no update waits for a reboot",
        judge=lambda at: each(
            at.hosts(), lambda it: it.reboot_due, lambda it: not it, lambda it: "due" if it else "none due"
        ),
        wanted="none",
        next="reboot the standby's hosts first",
    ),
    Row(
        id="clock.offset",
        severity=WARNS,
        about="clocks agree with this machine's",
        judge=_clocks,
        wanted=f"{CLOCK_S:.0f} s at most",
        next="timedatectl status on that host, and here",
    ),
    Row(
        id="config.agrees",
        severity=BLOCKS,
        about="both regions ran last with this configuration",
        judge=_agrees,
        wanted="the same",
        next="pulumi up for that region",
    ),
    Row(
        id="accept.left-over",
        severity=WARNS,
        about="no word of the operator's is left armed",
        judge=_words,
        wanted="none",
        next="pulumi config rm dr:accept",
    ),
)
