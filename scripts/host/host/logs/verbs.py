"""`dr-host logs converge|status|watch`: every host sends its journal to the other region's control host; control hosts keep what comes, and lead to a
store where there is one.

`watch` is what a timer runs: it says how far the other region and the store are behind this host's journal, begins an upload anew that hangs, and takes
away copies that are too old.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contract import fields
from contract.dataclass import dataclass
from contract.documents import Host
from contract.errors import Failed, say
from contract.hosts import CONTROL, first, kind_of
from contract.services.logs import Block, Forward, Kept, packages
from contract.sites import other

from ...frame import plan
from ...frame.call import Call, Verb
from ...frame.desired import Envelope, read
from ...frame.due import Due
from ...frame.figures import Figures
from ...frame.files import ManagedFile
from ...frame.layout import Layout
from ...frame.plan import Step
from ...frame.result import Result
from ...frame.systemd import Systemd, Units, drop_in
from ..service import install, installed_packages
from . import config, store, watching

SELF = watching.SELF
START_S = 60.0


@dataclass(frozen=True)
class Desired:
    """`kept`, `store`: None on hosts that only send; `store`: also where none is configured, which `stored` says."""

    envelope: Envelope
    on: bool
    kept: Kept | None
    stored: bool
    store: Forward | None

    @classmethod
    def read(cls, document: dict[str, Any]) -> Desired:
        """Raises Usage that names every fault."""
        envelope, block = read(document, "logs", Block, with_epoch=False)
        return cls(envelope, block.enabled, block.kept, block.stored, block.store)

    @property
    def receiver(self) -> Host:
        """The other region's control host."""
        return self.envelope.at(f"{first(CONTROL)}.{other(self.envelope.site)}")

    @property
    def others(self) -> list[tuple[str, Host]]:
        """Hosts of the other region, by key."""
        return self._of(other(self.envelope.site))

    @property
    def own(self) -> list[tuple[str, Host]]:
        """Hosts of this region, by key."""
        return self._of(self.envelope.site)

    def _of(self, site: str) -> list[tuple[str, Host]]:
        return [(key, it) for key, it in sorted(self.envelope.hosts.items()) if key.endswith(f".{site}")]


@dataclass(frozen=True)
class Facts:
    """`files`: those that differ or are not in force; `missing`: packages; `quiet`: units that do not run or would not after a boot; `unwanted`: whether
    something of a store is there that is no more.
    """

    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    placed: bool = True
    unwanted: bool = False
    present: bool = False


class Logs:
    """`plan.Service`."""

    def __init__(
        self,
        desired: Desired,
        layout: Layout,
        units: Units | None = None,
        install: Callable[[Sequence[str]], None] = install,
    ) -> None:
        self.desired, self.layout, self.units, self._install = desired, layout, units or Systemd(), install
        self._due = Due(layout, "logs")
        self._figures = Figures(layout, watching.JOB, "root")

    # --- what is wanted

    @property
    def runs(self) -> tuple[str, ...]:
        """Units in the order in which they are started."""
        takes = [config.socket_of(key) for key, _ in self.desired.others]
        return (
            *((*takes, config.ENTRANCE) if self.desired.kept else ()),
            *((store.LEADS,) if self.desired.store else ()),
            config.UPLOAD,
            *((store.UPLOAD,) if self.desired.stored else ()),
            config.TIMER,
        )

    def files(self) -> list[ManagedFile]:
        """What must be there before a package is: none of it starts what it brings with arguments that are not ours."""
        envelope, kept = self.desired.envelope, self.desired.kept
        # Services have copies of the certificate, taken when they start: another one is another file here.
        proof = hashlib.sha256(f"{envelope.tls.ca}{envelope.tls.cert}".encode()).hexdigest()
        told = {
            "host": envelope.host,
            "site": envelope.site,
            "kept": fields.write(kept) if kept else None,
            "certificate": proof,
            **({"stored": True} if self.desired.stored else {}),
        }
        texts = {
            config.UPLOAD: config.upload(self.desired.receiver),
            config.WATCH: config.WATCH_UNIT,
            config.TIMER: config.WATCH_TIMER,
        }
        found: list[ManagedFile] = []
        if kept is not None:
            texts |= {
                config.TAKES: config.TAKES_UNIT,
                config.TAKEN: config.TAKEN_UNIT,
                config.ENTRANCE: config.ENTRANCE_UNIT,
            }
            address = f"{envelope.at(envelope.own_key).vrack}:{config.PORT}"
            found = [
                ManagedFile(path=self.layout.at(config.CONFIG), content=config.entrance(address, self.desired.others)),
                ManagedFile(path=self.layout.at(config.BOUNDS), content=config.bounds(kept)),
                drop_in(self.layout, config.HAPROXY, "dr", config.NOT_USED),
            ]
        found += self._store()
        found += [ManagedFile(path=self.layout.units / unit, content=text) for unit, text in texts.items()]
        itself = json.dumps(told, sort_keys=True) + "\n"
        return [*found, ManagedFile(path=self.layout.etc / SELF, content=itself)]

    def _store(self) -> list[ManagedFile]:
        """Of the store: on a host what sends, on a control host what leads there as well."""
        found, forward, envelope = list[ManagedFile](), self.desired.store, self.desired.envelope
        if self.desired.stored:
            sends = store.upload(envelope.at(f"{first(CONTROL)}.{envelope.site}"))
            found.append(ManagedFile(path=self.layout.units / store.UPLOAD, content=sends))
        if forward is not None:
            address = f"{envelope.at(envelope.own_key).front}:{config.PORT}"
            text = store.leads(address, self.desired.own, forward)
            found += [
                ManagedFile(path=self.layout.at(store.SECRET), content=store.secret(forward), mode=0o600),
                ManagedFile(path=self.layout.at(store.CONFIG), content=text),
                ManagedFile(path=self.layout.units / store.LEADS, content=store.LEADS_UNIT),
            ]
            if forward.ca is not None:
                found.append(ManagedFile(path=self.layout.at(store.CA), content=forward.ca))
        return found

    def _left(self) -> list[Path]:
        """What is there of a store that is not wanted, the units last: they say that there is anything."""
        wanted = {it.path for it in self._store()} if self.desired.on else set()
        every = (store.SECRET, store.CONFIG, store.CA)
        paths = [*map(self.layout.at, every), self.layout.units / store.LEADS, self.layout.units / store.UPLOAD]
        return [path for path in paths if path not in wanted and path.exists()]

    # --- facts, plan, apply, verify

    def facts(self) -> Facts:
        if not self.desired.on:
            return Facts(present=(self.layout.etc / SELF).exists())
        installed = installed_packages(self.layout)
        missing = tuple(it for it in packages(kind_of(self.desired.envelope.host)) if it not in installed)
        files = tuple(self._due.stale(self.files()))
        quiet = () if missing or files else tuple(unit for unit in self.runs if not self._well(unit))
        return Facts(files, missing, quiet, self._figures.placed(), bool(self._left()), True)

    def _well(self, unit: str) -> bool:
        """An upload whose receiver is away is as well as it can be: it ends, and is begun again."""
        return self.units.enabled(unit) and self.units.active(unit)

    def plan(self, facts: Facts) -> Sequence[Step]:
        if not self.desired.on:
            return [Step("off")] if facts.present else []
        steps = [Step("files", ", ".join(facts.files))] if facts.files else []
        if facts.missing:
            steps.append(Step("install", ", ".join(facts.missing)))
        if not facts.placed:
            steps.append(Step("place", str(self._figures.link)))
        if facts.unwanted:
            steps.append(Step("store-off"))
        if facts.files or facts.missing or facts.quiet:
            steps.append(Step("start", ", ".join(self.runs)))
        return steps

    def apply(self, step: Step) -> None:
        if step.name == "files":
            self._due.put(self.files())
            self.units.daemon_reload()
        elif step.name == "install":
            self._install(step.detail.split(", "))
        elif step.name == "place":
            self._figures.place()
        elif step.name == "store-off":
            self._without_store()
            self.units.daemon_reload()
        elif step.name == "start":
            self._start()
        else:
            self._off()

    def _start(self) -> None:
        """What writes is told to end: it is begun with the next line, by what is in force then."""
        if self.desired.kept is not None:
            for key, _ in self.desired.others:
                self.units.stop(config.service_of(key), START_S)
        for unit in self.runs:
            self.units.enable(unit)
            self.units.restart(unit, START_S)
        self._due.done(self._due.names())

    def verify(self, facts: Facts) -> dict[str, Any]:
        """Raises Failed."""
        if not self.desired.on:
            return {"on": False}
        left = (*facts.files, *facts.missing, *facts.quiet, *(map(str, self._left()) if facts.unwanted else ()))
        if left:
            raise Failed(
                say(
                    subject="logs",
                    found=f"{', '.join(left)} not as wanted",
                    wanted="all of it at work",
                    consequence="what this host, or the other region, says last may be lost with it",
                    remedy="read `journalctl -u 'dr-logs*'`, mend it, run the same again",
                )
            )
        return {
            "on": True,
            "to": self.desired.receiver.name,
            "keeps": self.desired.kept is not None,
            "stored": self.desired.stored,
        }

    def _without_store(self) -> None:
        """How far the store was stays: where it is named again later, it goes on there."""
        left = self._left()
        for unit in (path.name for path in reversed(left) if path.parent == self.layout.units):
            if self.units.enabled(unit):
                self.units.disable(unit)
            self.units.stop(unit, START_S)
        for path in left:
            path.unlink(missing_ok=True)

    def _off(self) -> None:
        """Copies stay, and so do packages. Without its configuration HAProxy's own unit is as the package has it, and stays down."""
        takes = [it.name for it in self.layout.units.glob(f"*.wants/{config.TAKES.replace('@', '@*')}")]
        keys = [it.partition("@")[2].removesuffix(".socket") for it in takes]
        units = [
            config.TIMER,
            config.UPLOAD,
            *((config.ENTRANCE, *takes) if kind_of(self.desired.envelope.host) == CONTROL else ()),
        ]
        for unit in units:
            if self.units.enabled(unit):
                self.units.disable(unit)
            self.units.stop(unit, START_S)
        for unit in (config.WATCH, *map(config.service_of, keys)):
            self.units.stop(unit, START_S)
        self._without_store()
        names = (config.UPLOAD, config.WATCH, config.TIMER, config.TAKES, config.TAKEN, config.ENTRANCE)
        gone = [self.layout.units / unit for unit in names]
        gone += [self.layout.at(config.BOUNDS), self._figures.link, self.layout.etc / SELF]
        for path in gone:  # the last one says that there is anything
            path.unlink(missing_ok=True)
        self.units.daemon_reload()


def converge(call: Call) -> Result:
    """Seconds, when nothing is installed."""
    return plan.converge(Logs(Desired.read(call.document), call.layout), call)


def status(call: Call) -> Result:
    """Live facts; null where logs were never put here. Never fails."""
    itself = watching.itself(call.layout)
    if itself is None:
        return Result({"on": False, "upload": None, "behind_s": None, "copies": None})
    units, stored = Systemd(), watching.STORE in watching.ways(itself)
    store_said = {
        "store_upload": units.running(store.UPLOAD),
        watching.STORE.behind: watching.behind(call.layout, way=watching.STORE),
    }
    return Result(
        {
            "on": True,
            "upload": units.running(config.UPLOAD),
            "behind_s": watching.behind(call.layout),
            **(store_said if stored else {}),
            "copies": watching.copies(call.layout),
        }
    )


def watch(call: Call) -> Result:
    """Raises Failed where logs were never put here, and where the journal cannot be read."""
    return Result(watching.watch(call, Systemd()))


VERBS = {
    "converge": Verb(converge),
    "status": Verb(status, locked=False, reads=False),
    "watch": Verb(watch, apart=True, reads=False),
}
