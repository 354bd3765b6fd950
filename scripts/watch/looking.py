"""One look at the active region, from several places at once: as a customer, by ssh, by the witness, and by the standby's own database host.

Each is asked beside the others, for some seconds at most. Who is silent is an answer here; who could not be asked, for a reason of this machine's own, is
none. The standby and the witness show that the watcher sees at all.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from components.render import documents
from components.render.links import ssh
from components.settings import Settings
from contract.epoch import Epoch
from contract.errors import Failed
from contract.heartbeat import Heartbeat
from contract.hosts import CACHE, DATABASE, first
from contract.lease import Lease
from contract.plain import phrase
from contract.runs import PAIR
from contract.sites import SITES, other
from scripts.clients.hosts import Hosts
from scripts.clients.run_bucket import RunBucket, Word
from scripts.clients.run_lease import over, told
from scripts.clients.witness import Witness
from scripts.ctl.persons.bastions import remember, remembered
from scripts.ctl.survey.known import Known, Questions
from scripts.links.verify import NotYet, Shop
from scripts.watch.pulse import Answer, Pulse, Vantage

LIMIT_S = 4.0  # for all of it
WITNESS_S, ENTRANCE_S, CONNECT_S, AGENT_S = 2.0, 3.0, 2, 3
SLACK_S = 3.0  # on top of two beats: the store tells times in whole seconds, and a beat is sent and stored


class Looking:
    """Keeps its connections to the hosts from one look to the next. A context manager."""

    def __init__(self, settings: Settings) -> None:
        self._hosts: Hosts | None = None
        self._kept, self._ways = ExitStack(), dict[str, str]()
        self.go_by(settings)

    def go_by(self, settings: Settings) -> None:
        """From the next look on; connections that were made by other keys are let go."""
        self._settings, self._place = settings, documents.witness(settings)
        self._witness = Witness(self._place, answer_s=WITNESS_S, attempts=1)
        self._runs = RunBucket(self._place, answer_s=WITNESS_S, attempts=1)
        self._kept.close()
        self._hosts = None

    def __enter__(self) -> Looking:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def look(self) -> Pulse:
        """Raises Refused where ssh cannot work on this machine."""
        questions = Questions(LIMIT_S)
        ask, known = questions.ask, questions.known
        ask("newest", self._witness.newest)
        for site in SITES:
            ask(f"addresses {site}", partial(self._witness.addresses, site))
        for each in (*SITES, PAIR):
            ask(f"run {each}", partial(self._runs.word, each))
        newest = known("newest")
        epoch: Epoch | None = newest.value
        witness = Vantage(name="witness", answer=_heard(newest), said=newest.why)
        if epoch is None:
            why = newest.why or "no epoch was ever claimed"
            blind = Vantage(name="witness", answer=Answer.UNKNOWN, said=why)
            return Pulse(at=time.monotonic(), epoch=None, own=(blind,), region=())
        active, standby = epoch.active, other(epoch.active)
        for host in self._leased():
            ask(f"beat {host}", partial(self._witness.heartbeat, active, host))
        places = {site: self._addresses(site, known(f"addresses {site}")) for site in SITES}
        for site in SITES:
            if lb := places[site].get("lb"):
                ask(f"entrance {site}", partial(self._entrance, lb))
        hosts = self._to({site: found["bastion"] for site, found in places.items() if found.get("bastion")})
        ask("bastion", partial(hosts.lead, active, CONNECT_S))
        ask("standby", partial(self._standby, hosts, standby))
        agent = known("standby")
        region = [
            _entrance(f"entrance of {active}, from here", known(f"entrance {active}")),
            _answers(f"bastion of {active}, from here", known("bastion")),
            *(self._beat(f"{host}.{active}, at the witness", known(f"beat {host}")) for host in self._leased()),
            *self._asked(f"db-1.{active}, at db-1.{standby}", agent),
        ]
        own = [
            witness,
            _answers(f"db-1.{standby}, from here", agent),
            _answers(f"entrance of {standby}, from here", known(f"entrance {standby}")),
        ]
        working = [_working(known(f"run {site}")) for site in SITES]
        return Pulse(
            at=time.monotonic(),
            epoch=epoch,
            own=tuple(own),
            region=tuple(region),
            working="; ".join(filter(None, working)),
            beside=_working(known(f"run {PAIR}")),
        )

    def _leased(self) -> tuple[str, ...]:
        return (first(DATABASE), first(CACHE)) if self._settings.lease else ()

    def _addresses(self, site: str, found: Known[Mapping[str, str]]) -> dict[str, str]:
        """What the witness says, or has said last: where it is silent the watcher decides nothing anyway."""
        places = dict(found.value or {})
        if not places.get("bastion") and (before := remembered(self._place).get(site)):
            places["bastion"] = before
        return places

    def _to(self, bastions: dict[str, str]) -> Hosts:
        if self._hosts is None or self._ways != bastions:
            self._kept.close()
            self._hosts = self._kept.enter_context(Hosts(ssh(self._settings, bastions)))
            self._ways = dict(bastions)
            remember(self._place, bastions)
        return self._hosts

    def _entrance(self, address: str) -> tuple[bool, str]:
        """Whether a customer is served there, and what is wrong. Raises Failed where nobody answers."""
        settings = self._settings
        shop = Shop(settings.shop.host, address, settings.entrance_cas, public=settings.entrance_public)
        try:
            shop.well(settings.app, ENTRANCE_S)
        except ssl.SSLCertVerificationError as error:
            return False, f"its certificate is not trusted ({error.verify_message})"
        except NotYet as error:
            return False, phrase(str(error), 200)
        except OSError as error:
            raise Failed(f"no connection ({error.strerror or error})") from None
        return True, ""

    def _standby(self, hosts: Hosts, site: str) -> dict[str, Any]:
        """What the agent of the standby's database knows of its counterpart. Raises Failed."""
        host = f"{first(DATABASE)}.{site}"
        if not self._settings.lease:  # no agent: that the host answers is all there is to know
            hosts.must(host, site, "postgres status", {"schema": 1}, AGENT_S)
            return {}
        return hosts.must(host, site, "agent status", {"schema": 1}, AGENT_S).facts

    def _beat(self, name: str, found: Known[Heartbeat]) -> Vantage:
        if found.value is None:
            return Vantage(name=name, answer=Answer.UNKNOWN if found.why else Answer.SILENT, said=found.why or "never")
        terms = found.value.terms or self._settings.lease or Lease()
        age_s, most_s = found.value.age_s, 2.0 * terms.heartbeat_s + SLACK_S
        said = f"last heard {age_s:.0f} s ago"
        return Vantage(name=name, answer=Answer.SILENT if age_s > most_s else Answer.WELL, said=said)

    def _asked(self, name: str, agent: Known[dict[str, Any]]) -> tuple[Vantage, ...]:
        """Of a lease: whether the other region's database was asked for it a moment ago, over the network between the regions."""
        if not self._settings.lease:
            return ()
        if agent.value is None:
            return (Vantage(name=name, answer=Answer.UNKNOWN, said=agent.why),)
        facts, peer = agent.value, agent.value.get("peer") or {}
        ages = [it for it in (facts.get("last_granted_s"), peer.get("age_s")) if isinstance(it, int | float)]
        up_s, most_s = facts.get("up_s"), 2.0 * self._settings.lease.heartbeat_s + SLACK_S
        if ages:
            said = f"asked {min(ages):.0f} s ago"
            return (Vantage(name=name, answer=Answer.SILENT if min(ages) > most_s else Answer.WELL, said=said),)
        if isinstance(up_s, int | float) and up_s > most_s:
            return (
                Vantage(name=name, answer=Answer.SILENT, said=f"asked nothing since that host is up, {up_s:.0f} s"),
            )
        return (Vantage(name=name, answer=Answer.UNKNOWN, said="that host has only just begun"),)


def _heard(found: Known[Any]) -> Answer:
    return Answer.UNKNOWN if found.why else Answer.WELL


def _answers(name: str, found: Known[Any]) -> Vantage:
    """That it answers is enough: of the standby's entrance, what it says of the active region is nothing against itself."""
    return Vantage(name=name, answer=Answer.WELL if found.known else _silence(found), said=phrase(found.why, 200))


def _entrance(name: str, found: Known[tuple[bool, str]]) -> Vantage:
    if found.value is None:
        return Vantage(name=name, answer=_silence(found), said=phrase(found.why, 200))
    served, said = found.value
    return Vantage(name=name, answer=Answer.WELL if served else Answer.ILL, said="" if served else said)


def _silence(found: Known[Any]) -> Answer:
    return Answer.UNKNOWN if found.unasked else Answer.SILENT


def _working(found: Known[Word]) -> str:
    """Who, when somebody is at a stack, or goes over both. A witness that does not say makes the watcher blind by itself."""
    word = found.value
    return "" if word is None or over(word) else phrase(told(word), 300)
