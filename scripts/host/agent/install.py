"""Putting the agent on a host, renewing it without dropping its lease, and taking it away: steps of `host converge`."""

from __future__ import annotations

from typing import Any

from contract import fields, hosts
from contract.dataclass import dataclass
from contract.errors import Failed, Usage, say
from contract.lease import Lease, LeaseState

from ..frame import rolefile
from ..frame.boots import boot, boottime
from ..frame.desired import SCHEMA, Envelope
from ..frame.due import Due
from ..frame.files import ManagedFile, make_folder, write_atomically
from ..frame.layout import Layout
from ..frame.plan import Step
from ..frame.systemd import Units
from ..frame.witness import Silent, Witness
from .config import Address, Config, config_file
from .files import DEADMAN, UNIT, bonds, deadman_files, fingerprint, unit_file
from .holding import HELD_UNTIL
from .loop import RESTARTING
from .memory import Note
from .witness import WitnessChannel

START_S = 40.0
SERVICES = ("postgres", "redis")
FAREWELL_S = 5.0


def wanted(envelope: Envelope, lease: Lease | None) -> Config | None:
    """The agent that keeps this lease; None for none. Raises Usage on a host of a kind that has no agent."""
    if lease is None:
        return None
    service = hosts.lease_of(envelope.host)
    if service is None:
        kinds = " and ".join(kind.name for kind in hosts.KINDS.values() if kind.leased)
        raise Usage(
            f"document.setup.lease: found one for {envelope.host}, wanted none but on hosts of kind {kinds}; "
            "nothing was changed; correct the document"
        )
    own, other = envelope.at(envelope.own_key), envelope.at(f"{envelope.host}.{envelope.peer}")
    return Config(
        envelope.site,
        envelope.peer,
        envelope.host,
        service,
        Address(own.name, own.vrack),
        Address(other.name, other.vrack),
        lease,
        envelope.instance,
    )


@dataclass(frozen=True)
class Facts:
    """`files`: those that differ; `present`: an agent is installed; `current`: the one that runs has the software and settings of now.

    `deadman`: its files that differ, and its bonds to the service; both with those that are not in force yet; `watched`: it runs, and starts with the machine.
    """

    files: tuple[str, ...] = ()
    present: bool = False
    enabled: bool = False
    active: bool = False
    current: bool = False
    deadman: tuple[str, ...] = ()
    watched: bool = False


class Installation:
    """`wanted`: None for no agent."""

    def __init__(self, wanted: Config | None, layout: Layout, units: Units) -> None:
        self.wanted, self._layout, self._units = wanted, layout, units
        self._own, self._beside = Due(layout, "agent"), Due(layout, "deadman")  # files

    def files(self) -> list[ManagedFile]:
        return (
            []
            if self.wanted is None
            else [config_file(self._layout, self.wanted), unit_file(self._layout, self.wanted.terms)]
        )

    def facts(self) -> Facts:
        """Cheap on hosts without an agent."""
        present = (self._layout.units / UNIT).exists() or (self._layout.etc / "agent.json").exists()
        if self.wanted is None and not present:
            return Facts()
        note = Note.read(self._layout)
        return Facts(
            tuple(self._own.stale(self.files())),
            present,
            self._units.enabled(UNIT),
            self._units.active(UNIT),
            note is not None and note.fingerprint == fingerprint(self._layout),
            tuple(self._beside.stale([*self._deadman(), *self._bonds()])),
            self._units.enabled(DEADMAN) and self._units.running(DEADMAN),
        )

    def plan(self, facts: Facts, *, renewed: bool) -> list[Step]:
        """`renewed`: something that the agent reads when it starts is written in the steps before."""
        if self.wanted is None:
            return [Step("agent-off")] if facts.present else []
        steps = [Step("agent-files", ", ".join(facts.files))] if facts.files else []
        if not facts.enabled:
            steps.append(Step("agent-enable"))
        if facts.files or renewed or not facts.active or not facts.current:
            steps.append(Step("agent-restart"))
        if facts.deadman or not facts.watched:
            # After the agent, which says until when the service may go on.
            steps.append(Step("agent-deadman", ", ".join(facts.deadman)))
        return steps

    def apply(self, step: Step) -> None:
        """See `plan`."""
        {
            "agent-files": self._write,
            "agent-enable": lambda: self._units.enable(UNIT),
            "agent-restart": self._restart,
            "agent-off": self._off,
            "agent-deadman": self._watch,
        }[step.name]()

    def verify(self, facts: Facts) -> dict[str, Any]:
        """Raises Failed."""
        if self.wanted is None:
            return {}
        if facts.files or not (facts.enabled and facts.active and facts.current):
            raise Failed(
                say(
                    subject=f"unit {UNIT}",
                    found="none that runs with the settings of now",
                    wanted="one",
                    consequence="this host keeps no lease",
                    remedy="read `journalctl -u dr-agent`, then run the same again",
                )
            )
        if facts.deadman or not facts.watched:
            raise Failed(
                say(
                    subject=f"unit {DEADMAN}",
                    found="none that runs as it should",
                    wanted="one",
                    consequence="nothing stops the service of this host when its agent cannot",
                    remedy=f"read `journalctl -u {DEADMAN}`, then run the same again",
                )
            )
        return {"lease": fields.write(self.wanted.terms)}

    def _write(self) -> None:
        self._own.put(self.files())
        self._units.daemon_reload()
        self._own.done(self._own.names())

    def _restart(self) -> None:
        """The mark tells the old agent that another one takes its lease over: it leaves the service alone."""
        self._mark()
        self._units.restart(UNIT, START_S)

    def _mark(self) -> None:
        make_folder(self._layout.run)
        write_atomically(self._layout.run / RESTARTING, str(boottime()).encode())

    def _deadman(self) -> list[ManagedFile]:
        return [] if self.wanted is None else deadman_files(self._layout, self.wanted.service)

    def _bonds(self) -> list[ManagedFile]:
        return [] if self.wanted is None else bonds(self._layout, self.wanted.service)

    def _watch(self) -> None:
        """The service is bound to it last, when it runs: one that does not come up must not take a service along that is well."""
        self._beside.put(self._deadman())
        renewed = {str(file.path) for file in self._deadman()} & {*self._beside.names()}
        self._units.daemon_reload()
        self._units.enable(DEADMAN)
        if not self._units.running(DEADMAN):
            self._units.start(DEADMAN, START_S)
        elif renewed:
            self._units.reload(DEADMAN, START_S)
        self._beside.done(renewed)
        if self._units.running(DEADMAN):  # else `verify` says so
            self._beside.put(self._bonds())
            self._units.daemon_reload()
            self._beside.done(self._beside.names())

    def _unwatch(self, service: str) -> None:
        """The service is set free first, or it would end with the dead-man."""
        for file in bonds(self._layout, service):
            file.path.unlink(missing_ok=True)
        self._units.daemon_reload()
        if (self._layout.units / DEADMAN).exists():
            self._units.disable(DEADMAN)
            self._units.stop(DEADMAN, START_S)
        for file in deadman_files(self._layout, service):
            file.path.unlink(missing_ok=True)
        (self._layout.run / HELD_UNTIL).unlink(missing_ok=True)

    def _off(self) -> None:
        """A silent primary must not look like one whose lease ran out, so the witness is told first. Raises Failed when it cannot be."""
        config = Config.of_host(self._layout)
        if config is not None:
            self._farewell(config)
        self._mark()
        self._units.disable(UNIT)
        self._units.stop(UNIT, START_S)
        for service in SERVICES if config is None else (config.service,):
            self._unwatch(service)
        for path in (self._layout.units / UNIT, self._layout.etc / "agent.json", self._layout.run / "lease.json"):
            path.unlink(missing_ok=True)
        self._units.daemon_reload()

    def _farewell(self, config: Config) -> None:
        # Stopped before the last word, or its next heartbeat would take it back.
        self._mark()
        self._units.stop(UNIT, START_S)
        role = rolefile.read(self._layout)
        word = {
            "schema": SCHEMA,
            "site": config.site,
            "host": config.host,
            "epoch": role.epoch if role else None,
            "role": role.role if role else None,
            "instance": config.instance,
            "boot": boot(),
            "lease": config.terms.told(LeaseState.OFF, None),
        }
        try:
            WitnessChannel(Witness.of_host(self._layout), FAREWELL_S).put(
                f"heartbeats/{config.site}/{config.host}.json", word
            )
        except Silent as error:
            self._units.start(UNIT, START_S)
            raise Failed(
                f"{error}; without that word its silence would look like a lease that ran out, so the agent stays; run the same again"
            ) from None
