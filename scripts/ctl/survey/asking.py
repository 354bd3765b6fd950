"""Asks everybody at once, for some seconds at most, and nothing of the dead region is needed: who is silent is one unknown among the answers."""

from __future__ import annotations

import datetime
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from cryptography import x509

from components.render import documents
from components.render.links import openstack, ssh
from components.settings import Settings
from contract import fields
from contract.audit import Entry
from contract.errors import ExitCode, Failed
from contract.heartbeat import Heartbeat
from contract.hosts import KINDS
from contract.plain import phrase
from contract.runs import PAIR
from contract.sites import SITES
from contract.survey import HostSurvey
from contract.wire import document
from scripts.clients.check_bucket import CheckBucket
from scripts.clients.compute import Compute, Sight
from scripts.clients.hosts import Hosts, Unreachable
from scripts.clients.openstack import Cloud
from scripts.clients.run_bucket import RunBucket
from scripts.clients.trail_bucket import TrailBucket
from scripts.clients.witness import EPOCHS, Witness
from scripts.ctl.persons.bastions import remember, remembered
from scripts.ctl.reports.glance import glance
from scripts.ctl.survey import names
from scripts.ctl.survey.deep import DeepAsking, Stacks
from scripts.ctl.survey.known import Known, Questions
from scripts.ctl.survey.seen import Entrance, Names, Region, Survey
from scripts.links.verify import NotYet, Shop

LIMIT_S = 4.5
WITNESS_S = 2.0  # for one answer of the witness
ENTRANCE_S = 3.0
CONNECT_S = 2  # to a host's ssh server
API_S = 3.0


class Ways:
    """Connections to the hosts, kept from one look to the next: each new one is a sign-in that the hosts tell the witness. A context manager."""

    def __init__(self) -> None:
        self._kept, self._bastions = ExitStack(), dict[str, str]()
        self._hosts: Hosts | None = None

    def __enter__(self) -> Ways:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def to(self, settings: Settings, bastions: Mapping[str, str]) -> Hosts:
        """The same as before where the bastions are. Raises Refused where ssh cannot work here."""
        if self._hosts is None or self._bastions != bastions:
            self._kept.close()
            self._hosts = self._kept.enter_context(Hosts(ssh(settings, bastions)))
            self._bastions = dict(bastions)
        return self._hosts


def look(
    settings: Settings,
    *,
    limit_s: float = LIMIT_S,
    ways: Ways | None = None,
    sites: Sequence[str] = SITES,
    stacks: Stacks | None = None,
) -> Survey:
    """Within `limit_s`. `sites`: regions of which hosts, entrance and platform are asked; of the others the witness alone. `stacks`: where what is deep
    shall be asked, too. Raises Refused where ssh cannot work here.
    """
    if ways is not None:
        return Asking(settings, limit_s, ways, sites, stacks).survey()
    with Ways() as own:
        return Asking(settings, limit_s, own, sites, stacks).survey()


class Asking:
    """One survey."""

    def __init__(
        self, settings: Settings, limit_s: float, ways: Ways, sites: Sequence[str], stacks: Stacks | None
    ) -> None:
        self._settings, self._questions, self._ways, self._sites = settings, Questions(limit_s), ways, sites
        self._led: dict[str, str] = {}  # bastions that are signed in to, by site
        self._survey_s = int(limit_s)  # for a host's answer
        self._place = place = documents.witness(settings)
        self._witness = Witness(place, answer_s=WITNESS_S, attempts=1)
        self._trail = TrailBucket(place, answer_s=WITNESS_S, attempts=1)
        self._runs = RunBucket(place, answer_s=WITNESS_S, attempts=1)
        self._checks = CheckBucket(place, answer_s=WITNESS_S, attempts=1)
        self._deep = None if stacks is None else DeepAsking(settings, self._questions, stacks)

    def survey(self) -> Survey:
        began, at = time.monotonic(), time.time()
        ask, settings = self._questions.ask, self._settings
        for site in SITES:
            ask(f"addresses {site}", partial(self._witness.addresses, site))
        before = remembered(self._place)
        if before:  # most often they are the same, and the sign-in need not wait for the witness
            self._lead(before)
        ask("newest", self._witness.newest)
        ask("locked", self._witness.locked)
        ask("epochs", self._doubled)
        ask("last", self._last)
        ask("reports", partial(glance, settings))
        ask("checked", self._checks.last_check, lambda it: it.age_s)
        if self._deep is not None:
            self._deep.ask()
        for server in settings.dns.servers:
            ask(f"dns {server}", partial(names.authoritative, server, settings.dns.zone, settings.shop.host))
        ask("resolver", partial(names.resolved, settings.shop.host))
        ask("delegation", partial(names.delegated, settings.dns.zone))
        ask(f"run {PAIR}", partial(self._runs.word, PAIR))
        for site in SITES:
            self._ask_region(site)
        known = self._questions.known
        newest = known("newest")
        if newest.value is not None:
            ask("unsettled", partial(self._witness.unsettled, newest.value))
        addresses = {site: known(f"addresses {site}") for site in SITES}
        for site in self._sites:
            if lb := addresses[site].part(lambda it: it.get("lb")):
                ask(f"entrance {site}", partial(self._entrance, lb))
        told = {site: it.part(lambda found: found.get("bastion")) for site, it in addresses.items()}
        bastions = {site: address for site, address in told.items() if address}
        remember(self._place, bastions)
        hosts = self._lead({**before, **bastions})
        for key, host in settings.hosts.items():
            if host.site in self._sites and hosts.routes(key):
                ask(f"host {key}", partial(self._host, hosts, key))
        regions = {site: self._region(site, addresses[site]) for site in SITES}
        return Survey(
            at=at,
            newest=newest,
            unsettled=known("unsettled"),
            locked=known("locked"),
            epochs=known("epochs"),
            last=known("last"),
            reports=known("reports"),
            regions=regions,
            pair=known(f"run {PAIR}"),
            names=Names(
                name=settings.shop.host,
                servers={server: known(f"dns {server}") for server in settings.dns.servers},
                resolver=known("resolver"),
                delegation=known("delegation"),
            ),
            checked=known("checked"),
            deep=None if self._deep is None else self._deep.seen(),
            took_s=round(time.monotonic() - began, 2),
        )

    def _lead(self, bastions: Mapping[str, str]) -> Hosts:
        """Begins to sign in to those of the regions that are asked, where that was not begun."""
        hosts = self._ways.to(self._settings, bastions)
        if bastions != self._led:
            self._led = dict(bastions)
            for site in set(self._sites) & set(bastions):
                self._questions.ask(self._way(site), partial(hosts.lead, site, CONNECT_S))
        return hosts

    def _way(self, site: str) -> str:
        return f"way {site} by {self._led.get(site)}"

    def _ask_region(self, site: str) -> None:
        ask, settings = self._questions.ask, self._settings
        for key, host in settings.hosts_of(site).items():
            if KINDS[host.role].leased:
                ask(f"beat {key}", partial(self._witness.heartbeat, site, host.name), _age_of_beat)
        ask(f"followed {site}", partial(self._witness.followed, site))
        ask(f"record {site}", partial(self._witness.configuration, site))
        ask(f"run {site}", partial(self._runs.word, site))
        if site in self._sites:
            ask(f"servers {site}", partial(self._servers, site))
            ask(f"members {site}", partial(self._members, site))

    def _region(self, site: str, addresses: Known[Any]) -> Region:
        known, own = self._questions.known, self._settings.hosts_of(site)
        return Region(
            site=site,
            hosts={host.name: known(f"host {key}") for key, host in own.items()},
            beats={host.name: known(f"beat {key}") for key, host in own.items() if KINDS[host.role].leased},
            addresses=addresses,
            entrance=known(f"entrance {site}"),
            servers=known(f"servers {site}"),
            members=known(f"members {site}"),
            followed=known(f"followed {site}"),
            record=known(f"record {site}"),
            run=known(f"run {site}"),
        )

    # --- the witness

    def _doubled(self) -> int:
        """Objects of epochs that stand there in several versions: each is written once."""
        found = self._witness.versions(EPOCHS)
        return sum(found.count(name) > 1 for name in set(found))

    def _last(self) -> Entry | None:
        listed = self._trail.listed()
        number = len(listed)
        body = self._trail.stored(number) if number else None
        if body is None:
            return None
        try:
            told = document.mapping(body)
        except ValueError:
            raise Failed("audit trail: its newest entry is no JSON object; see `drctl audit verify`") from None
        return fields.heard(Entry, told, "the audit trail's newest entry", "see `drctl audit verify`")

    # --- hosts and entrances

    def _host(self, hosts: Hosts, key: str) -> HostSurvey:
        """By the bastion of its own region, and by the other one where that leads nowhere."""
        silent: Unreachable | None = None
        for via in reversed(hosts.routes(key)):
            way = self._questions.known(self._way(via)) if via in self._sites else Known[Any]()
            if not way.known:
                silent = silent or Unreachable(f"host {key}: {way.why}")
                continue
            try:
                answer = hosts.call(key, via, "host survey", {"schema": 1}, self._survey_s, connect_s=CONNECT_S)
            except Unreachable as error:
                silent = silent or error
                continue
            if answer.code != ExitCode.DONE or not answer.usable:
                raise Failed(f"host {key}: {answer.message or f'exit code {answer.code}'}")
            return fields.heard(HostSurvey, answer.facts, f"host {key}", "nothing is concluded from it")
        raise silent or Failed(f"host {key}: no bastion is known")

    def _entrance(self, address: str) -> Entrance:
        """As a customer: the certificate has to be good. Raises Failed."""
        settings, began = self._settings, time.monotonic()
        try:
            shop = Shop(settings.shop.host, address, settings.entrance_cas, public=settings.entrance_public)
            site = shop.well(settings.app, ENTRANCE_S)
        except ssl.SSLCertVerificationError as error:
            raise Failed(f"entrance {address}: its certificate is not trusted ({error.verify_message})") from None
        except (OSError, NotYet) as error:
            raise Failed(f"entrance {address}: {error}") from None
        return Entrance(site=site, seconds=round(time.monotonic() - began, 3), ends=self._ends(address))

    def _ends(self, address: str) -> datetime.datetime:
        """When the certificate ends that is shown there."""
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE  # it has just been verified; this is to read it
        with (
            socket.create_connection((address, 443), timeout=ENTRANCE_S) as raw,
            tls.wrap_socket(raw, server_hostname=self._settings.shop.host) as line,
        ):
            return x509.load_der_x509_certificate(line.getpeercert(binary_form=True) or b"").not_valid_after_utc

    # --- the platform

    def _servers(self, site: str) -> Sight:
        settings = self._settings
        compute = Compute(openstack(settings), settings.regions[site].compute_region, answer_s=API_S)
        compute.connect()
        return compute.look(settings.server_names(site), self._witness.servers(site))

    def _members(self, site: str) -> Mapping[str, str]:
        """Operating status of each member of the shop's pool, by name."""
        settings, pool_name = self._settings, f"{self._settings.project}-{site}-shop-https"
        cloud = Cloud(openstack(settings), settings.regions[site].compute_region, answer_s=API_S)
        cloud.connect()
        pools = cloud.ask("GET", "load-balancer", f"/v2/lbaas/pools?name={pool_name}").get("pools")
        found: dict[str, str] = {}
        for pool in pools if isinstance(pools, list) else ():
            members = cloud.ask("GET", "load-balancer", f"/v2/lbaas/pools/{pool['id']}/members").get("members")
            for member in members if isinstance(members, list) else ():
                found[phrase(str(member.get("name")), 80)] = phrase(str(member.get("operating_status")), 40)
        if not found:
            raise Failed(f"load balancer of region {site}: has no pool {pool_name} with members")
        return found


def _age_of_beat(beat: Heartbeat) -> float:
    return beat.age_s
