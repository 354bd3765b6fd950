"""Two sites on paper, with the steps of a move as faults can strike them: before a step's effect, after it, or for good (the process is killed).

Each step is something that the product asks of a host, of the witness or of the cloud. What a host does with it is what `dr-host` does, in one line.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from contract import fields
from contract.epoch import Epoch
from contract.errors import Failed
from contract.heartbeat import Heartbeat
from contract.limits import QUICK_S
from contract.links.fence import Document
from contract.sites import other
from scripts.clients.hosts import CONNECT_S, Answer, Hosts, Unreachable, answer_of
from scripts.clients.witness import EpochTaken
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import fence, power, silence
from tests.unit.played_nova import Nova

LEASE = {"lease_s": 6, "stop_s": 1, "margin_s": 1, "heartbeat_s": 2}
SILENT_S = 8.0  # lease + stop + margin
CHECKPOINT = {"lsn": "0/3000E48", "timeline": 1}


class Killed(BaseException):
    """The process is gone: nothing that it would still do happens."""


@dataclass
class Fault:
    """Strikes step `at`, the first is 0."""

    at: int
    after: bool  # the effect has happened, and its answer is lost
    raised: Callable[[], BaseException]


@dataclass
class Site:
    """`running`: the database; `powered`: its servers; `workers`: of the app hosts."""

    role: str
    epoch: int = 1
    running: bool = True
    powered: bool = True
    workers: bool = False
    attempt: str | None = None
    converged: tuple[int, int] = (1, 0)  # epoch and mends of the last `up` that came to its end

    @property
    def writes(self) -> bool:
        return self.powered and self.running and self.role == "primary"


@dataclass
class Pair:
    """The world. `reachable`: whether ssh leads to region a; `leased`: without, nothing but its power stops what nobody reaches."""

    reachable: bool = True
    leased: bool = True
    fault: Fault | None = None
    sites: dict[str, Site] = field(default_factory=lambda: {"a": Site("primary", workers=True), "b": Site("standby")})
    epochs: list[Epoch] = field(
        default_factory=lambda: [Epoch(epoch=1, active="a", previous=None, planned=True, reason="first")]
    )
    objects: dict[str, Any] = field(default_factory=lambda: {"followed/b": 1})
    steps: list[str] = field(default_factory=list)
    killed: bool = False
    nova: Nova = field(default_factory=Nova)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def step(self, label: str, effect: Callable[[], Any]) -> Any:
        with self.lock:
            if self.killed:
                raise Killed
            at = len(self.steps)
            self.steps.append(label)
            strikes = self.fault if self.fault is not None and self.fault.at == at else None
            if strikes and not strikes.after:
                self._strike(strikes)
            result = effect()
            writing = [name for name, site in self.sites.items() if site.writes]
            assert len(writing) <= 1, f"two writers after {label}"
            if strikes:
                self._strike(strikes)
            return result

    def _strike(self, fault: Fault) -> None:
        error = fault.raised()
        self.killed = isinstance(error, Killed)
        raise error

    # --- what hosts do

    def host(self, name: str, command: str, told: dict[str, Any]) -> dict[str, Any]:
        _, site = name.rsplit(".", 1)
        if not self.sites[site].powered or (site == "a" and not self.reachable):
            raise Unreachable(f"host {name}: no ssh session")
        verb = command.replace(" ", "_").replace("-", "_")
        return dict(
            self.step(f"{name} {command}", lambda: getattr(self, f"_{verb}")(self.sites[site], site, told)) or {}
        )

    def _postgres_status(self, site: Site, name: str, _: Any) -> dict[str, Any]:
        peer = self.sites[other(name)]
        state = "in production" if site.role == "primary" else "in archive recovery"
        return {
            "running": site.running,
            "in_recovery": site.role == "standby" if site.running else None,
            "cluster_state": state if site.running else "shut down",
            "role": {"role": site.role, "epoch": site.epoch},
            "streaming": site.role == "standby" and peer.writes,
            "paused": False,
            "system_identifier": "7",
            "timeline": 1,
            "write_lsn": "0/5000148" if site.writes else None,
            "receive_lsn": None if site.writes else "0/5000148",
        }

    def _postgres_stop(self, site: Site, _: str, told: dict[str, Any]) -> dict[str, Any]:
        if site.epoch != told["epoch_next"] - 1:
            raise Failed("postgres stop: exit code 3: role of another epoch")
        site.running, site.role, site.attempt = False, "fenced", told["attempt"]
        return {"cluster_state": "shut down", "checkpoint": CHECKPOINT}

    def _postgres_resume(self, site: Site, name: str, told: dict[str, Any]) -> None:
        if site.attempt not in (None, told["attempt"]) or self.epochs[-1].epoch > site.epoch:
            raise Failed("postgres resume: exit code 3: another attempt, or a newer epoch")
        site.running, site.role, site.attempt = True, "primary", None

    def _app_quiesce(self, site: Site, *_: Any) -> None:
        site.workers = False

    def _app_resume(self, site: Site, name: str, _: Any) -> None:
        site.workers = self.epochs[-1].active == name

    def _agent_deny(self, *_: Any) -> dict[str, Any]:
        return {"last_granted_s": None, "agent_up_s": 500.0}

    def _agent_status(self, *_: Any) -> dict[str, Any]:
        return {"last_granted_s": None, "up_s": 500.0}

    def _nothing(self, *_: Any) -> dict[str, Any]:
        return {}

    _agent_allow = _agent_ensure = _redis_status = _assets_status = _archive_drain = _nothing

    def takeover(self, told: dict[str, Any]) -> dict[str, Any]:
        site = self.sites["b"]

        def effect() -> dict[str, Any]:
            if "epoch" in told:
                newest = self.epochs[-1]
                if (newest.epoch, newest.active) != (told["epoch"], "b"):
                    raise Failed("postgres takeover: exit code 3: not the newest epoch")
                site.role, site.epoch = "primary", told["epoch"]
            return {}

        return dict(self.step(f"db-1.b takeover {next(iter(told))}", effect))

    # --- `pulumi up`, as far as it matters here

    def up(self, site: str, request: str) -> None:
        """The edge, the fence link, and the links behind it where their documents have changed."""
        newest, own = self.epochs[-1], self.sites[site]
        if newest.active == site and own.role == "primary" and own.epoch == newest.epoch:
            own.running = True  # its agent is heard again
        mends = Witnessed(self).mend(newest) if newest.active == site else 0
        if not own.powered:
            own.powered = True
            own.running = own.role != "fenced" and (own.role == "standby" or newest.active == site)
        answer = fence.run(document(site, request, mends, leased=self.leased))
        if own.converged != (answer["epoch"], mends):
            own.epoch, own.role, own.running, own.attempt = answer["epoch"], "standby", True, None
            if answer["active"] == site:
                own.role = "primary"
            own.workers = answer["active"] == site
            own.converged = (answer["epoch"], mends)
        if answer["active"] != site:
            self.objects[f"followed/{site}"] = answer["epoch"]

    def settled(self) -> str:
        """What is not as it must be once both sites were run; empty when all is."""
        active = self.epochs[-1].active
        here, there = self.sites[active], self.sites[other(active)]
        wrong = [
            f"{active} does not write" if not here.writes else "",
            f"{active} has no workers" if not here.workers else "",
            f"{other(active)} has workers" if there.workers else "",
            f"{other(active)} is {there.role}, running: {there.running}"
            if (there.role, there.running) != ("standby", True)
            else "",
        ]
        return "; ".join(filter(None, wrong))

    def install(self, patch: pytest.MonkeyPatch) -> Pair:
        PlayedHosts.pair = self
        if self.leased and not self.reachable:
            self.sites["a"].running = False  # nobody has heard it for as long as its heartbeats are old
        for name in document("b", "b", 0).openstack.servers["a"]:
            self.nova.add(f"id-{name}", name)
            self.objects.setdefault("servers/a", {})[name] = f"id-{name}"
        self.nova.install(patch)
        self.nova.on_stop = self._switched_off
        asked = self.nova.ask
        patch.setattr(
            self.nova, "ask", lambda *question: self.step(f"nova {question[1]} {question[3]}", lambda: asked(*question))
        )
        patch.setattr(fence, "Witness", lambda _: Witnessed(self))
        patch.setattr(fence, "Hosts", PlayedHosts)
        patch.setattr(fence, "WITNESS_S", 0.0)
        for module, name in ((silence, "LOOK_S"), (power, "FIRST_PAUSE_S"), (power, "LONGEST_PAUSE_S")):
            patch.setattr(module, name, 0.001)
        patch.setattr(power, "AGAIN_S", 0.01)
        return self

    def _switched_off(self, server: dict[str, Any]) -> None:
        server.update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
        self.sites["a"].powered = False


class PlayedHosts:
    """The hosts of the pair."""

    pair: Pair

    def __init__(self, told: Any) -> None:
        self._told = told

    def __enter__(self) -> PlayedHosts:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def routes(self, _: str) -> list[str]:
        return ["a", "b"]

    def call(
        self, host: str, via: str, command: str, told: dict[str, Any], limit_s: int, *, connect_s: int = CONNECT_S
    ) -> Answer:
        said = json.dumps({"facts": self.pair.host(host, command, told)})
        return Answer(0, answer_of(said.encode(), host, command), "")

    must: Any = Hosts.must

    def talk(self, host: str, via: str, command: str, limit_s: int) -> Any:
        service, verb = command.split()
        return PlayedEar(self, host, via, service) if verb == "listen" else PlayedTalk()


class PlayedEar:
    """With a host that is asked for its status again and again."""

    def __init__(self, hosts: PlayedHosts, host: str, via: str, service: str) -> None:
        self._hosts, self._where = hosts, (host, via, f"{service} status")

    def facts(self, limit_s: float) -> dict[str, Any]:
        return dict(self._hosts.must(*self._where, {"schema": 1}, QUICK_S).facts)


class PlayedTalk:
    """With the standby's database."""

    def say(self, told: dict[str, Any], limit_s: float) -> dict[str, Any]:
        return PlayedHosts.pair.takeover(told)


class Witnessed:
    """The witness of the pair."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def _step(self, label: str, effect: Callable[[], Any]) -> Any:
        return self._pair.step(f"witness {label}", effect)

    def newest(self) -> Epoch:
        return self._step("newest", lambda: self._pair.epochs[-1])  # type: ignore[no-any-return]

    def followed(self, site: str) -> int | None:
        return self._step("followed", lambda: self._pair.objects.get(f"followed/{site}"))  # type: ignore[no-any-return]

    def addresses(self, site: str) -> dict[str, str]:
        return {"bastion": f"203.0.113.{ord(site)}", "lb": "198.51.100.5"}

    def record_addresses(self, site: str, addresses: dict[str, str]) -> None:
        self._step("record addresses", lambda: None)

    def servers(self, site: str) -> dict[str, str]:
        return self._step("servers", lambda: self._pair.objects.get(f"servers/{site}", {}))  # type: ignore[no-any-return]

    def record_servers(self, site: str, servers: dict[str, str]) -> None:
        self._step("record servers", lambda: None)

    def configuration(self, site: str) -> None:
        return None

    def record_configuration(self, site: str, digests: Any, since: Any) -> None:
        return None

    def probe(self) -> None:
        self._step("probe", lambda: None)

    def heartbeat(self, site: str, host: str) -> Heartbeat:
        def effect() -> Heartbeat:
            found = self._pair.sites[site]
            told = {
                "role": found.role,
                "epoch": found.epoch,
                "sequence": 9,
                "at": "then",
                "lease": {"state": "held" if self._pair.leased else "off"},
            }
            block = {"write_lsn": "0/5000148", "timeline": 1, "system_identifier": "7", "trail": [[0, "0/5000148"]]}
            return Heartbeat(document={**told, "postgres": block}, age_s=SILENT_S)

        return self._step(f"heartbeat {host}.{site}", effect)  # type: ignore[no-any-return]

    def _marks(self, newest: Epoch) -> tuple[int, int]:
        """How many moves were begun, and how many a run of the active site has gone by."""
        found = self._pair.objects.get(f"unsettled/{newest.active}", (0, 0, 0))
        return found[1:] if found[0] == newest.epoch else (0, 0)

    def _mark(self, newest: Epoch, begun: int, used: int) -> None:
        self._pair.objects[f"unsettled/{newest.active}"] = (newest.epoch, begun, used)

    def unsettled(self, newest: Epoch) -> int:
        return self._marks(newest)[0]

    def mend(self, newest: Epoch) -> int:
        begun, used = self._marks(newest)
        self._mark(newest, begun, max(begun, used))
        return begun

    def unsettle(self, newest: Epoch) -> None:
        begun, used = self._marks(newest)
        self._step("unsettle", lambda: self._mark(newest, begun + 1, used))

    def settle(self, newest: Epoch) -> None:
        begun, used = self._marks(newest)
        self._step("settle", lambda: self._mark(newest, max(begun - 1, used), used))

    def claim(self, epoch: Epoch) -> None:
        def effect() -> None:
            if self._pair.epochs[-1].epoch >= epoch.epoch:
                raise EpochTaken(self._pair.epochs[-1])
            self._pair.epochs.append(epoch)

        try:
            self._step("claim", effect)
        except (WitnessDown, OSError) as error:
            raise WitnessDown(f"witness: cannot create epoch {epoch.epoch} ({error})") from None


def document(site: str, request: str, mends: int, *, leased: bool = True) -> Document:
    """Of a fence link of this world."""
    servers = {name: [f"shop-{name}-{host}" for host in ("db-1", "cache-1")] for name in "ab"}
    workers = {name: [f"shop-{name}-app-1"] for name in "ab"}
    access = {"auth_url": "http://k", "user": "dr", "password": "p", "project_id": "i", "domain": "D"}
    told = {
        "site": site,
        "peer": other(site),
        "request": request,
        "repair": mends,
        "witness": {"endpoint": "http://w", "region": "de", "bucket": "w", "access_key": "k", "secret_key": "s"},
        "host_keys": {},
        "ssh": {"private_key": "KEY", "hosts": {}, "bastions": {site: "198.51.100.9"}},
        "openstack": {**access, "regions": {"a": "GRA11", "b": "SBG5"}, "servers": servers, "workers": workers},
        "apps": ["app-1"],
        "caches": ["cache-1"],
        "public": {"lb": "198.51.100.5", "bastion": "198.51.100.6"},
        "loss_budget": {"max_lag_bytes": 1000, "max_lag_s": 5},
        "lease": LEASE if leased else None,
    }
    return fields.read(Document, told, "document of fence")
