"""Checks of what customers meet: app hosts, entrances, certificates, the name."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import partial
from typing import Any

from components.certificates import ends
from contract.hosts import APP, CONTROL
from contract.rotation import KINDS, OLD_DAYS
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, each, judged, unknown

WARNS = Severity.WARNS
CERTIFICATE_DAYS, SERVED_DAYS = 30, 21


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
    for name, end in ends(at.settings).items():
        if not end:
            yield unknown(name, "cannot be read here")
        else:
            yield _until(name, datetime.datetime.fromisoformat(end), at.now, CERTIFICATE_DAYS)


def _ordered(at: Sight) -> Iterator[Verdict]:
    """Of the bastion that orders: that of the active site."""
    if at.settings.shop.acme is None:
        yield Verdict(subject="shop", holds=True, found="given in dr:secrets, nobody orders one")
        return
    for name, site, word in at.hosts(CONTROL):
        if at.is_active(site) is False:
            continue
        it = None if word.value is None else word.value.certificate
        if it is None or at.is_active(site) is None:
            yield unknown(name, word.why or at.survey.newest.why)
        elif it.error or not it.ordered:
            yield Verdict(subject=name, holds=False, found=it.error or it.state or "none yet")
        else:
            yield Verdict(subject=name, holds=True, found="as ordered")


def _shown(at: Sight) -> Iterator[Verdict]:
    """Whether app hosts of both sites show what the active one's bastion has ordered."""
    if at.settings.shop.acme is None:
        yield Verdict(subject="shop", holds=True, found="given in dr:secrets, nobody orders one")
        return
    wanted = next(
        (
            word.value.certificate.ordered
            for _, site, word in at.hosts(CONTROL)
            if at.is_active(site) and word.value is not None and word.value.certificate is not None
        ),
        None,
    )
    for name, _, word in at.hosts(APP):
        it = None if word.value is None else word.value.certificate
        if it is None or wanted is None:
            yield unknown(name, word.why or "nobody knows what was ordered")
        else:
            found = "another, or that of the secrets" if it.ordered != wanted else "what was ordered"
            yield Verdict(subject=name, holds=it.ordered == wanted, found=found)


def _ages(at: Sight) -> Iterator[Verdict]:
    for name, kind in KINDS.items():
        if not kind.dated:
            continue
        day = at.settings.secrets.since.get(name)
        if day is None:
            yield unknown(name, "its day is in no set of secrets")
            continue
        age = (at.now - datetime.datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) / 86_400
        yield Verdict(subject=name, holds=age < OLD_DAYS, found=f"in use since {day}, {age:.0f} days")


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


def _members(at: Sight) -> Iterator[Verdict]:
    for region in at.regions():
        word = region.members
        if word.value is None:
            yield unknown(f"balancer of {region.site}", word.why)
            continue
        for name, state in sorted(word.value.items()):
            yield Verdict(subject=f"{name} at the balancer of {region.site}", holds=state == "ONLINE", found=state)


ROWS = (
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
        id="certs.ordered",
        severity=WARNS,
        about="the shop's certificate is ordered and renewed, where an ACME CA issues it",
        judge=_ordered,
        wanted="one that was issued, and no error since",
        next="dr-host certificate status there; docs/failover.md, The shop's certificate is ordered",
    ),
    Row(
        id="certs.shown",
        severity=WARNS,
        about="app hosts show what was ordered",
        judge=_shown,
        wanted="what the active region's bastion has ordered",
        next="journalctl -u dr-certificate on that host",
    ),
    Row(
        id="certs.expiry",
        severity=WARNS,
        about="every certificate in dr:secrets",
        judge=_certificates,
        wanted=f"{CERTIFICATE_DAYS} days or more",
        next="drctl rotate host-certificates, cache-certificates or database; the shop's: docs/failover.md, `A public certificate`",
    ),
    Row(
        id="secrets.age",
        severity=WARNS,
        about="how long each kind of secret is in use",
        judge=_ages,
        wanted=f"less than {OLD_DAYS} days",
        next="docs/rotation.md",
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
        id="balancer.members",
        severity=WARNS,
        about="balancers find their members well",
        judge=_members,
        wanted="ONLINE",
        next="dr-host app status on that host",
    ),
)
