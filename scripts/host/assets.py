"""`dr-host assets converge|status`: which way objects are copied between the sites' buckets, on control-1.

The copier is `dr-assets` (its own archive beside this one); this sets what it copies and when. Standby: it pulls from the active site's
bucket, every `interval_s`. Active: it pulls nothing any more; once in each epoch, and again until it succeeds, what only the other side
had is brought over (reconcile). In mode `both` the platform copies as well, and the copier looks how far that is; in mode `native` it only
looks, and copies in a reconcile alone. Neither is waited for: a bucket with a million objects must not hold up a take-over.

It runs as a user of its own, which may write its own folders and read its own document. Whoever calls it as root becomes that user (`dr-assets`).

The own bucket's lifecycle and CORS are put here too (`dr-assets bucket`), once for each wording of them and again before each run of the
copier. That they are not is a fact and a warning, no failure: nobody must wait for them either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from contract import fields
from contract.dataclass import dataclass
from contract.errors import Failed, say
from contract.services import assets

from .frame import rolefile, users
from .frame.call import Call, Verb
from .frame.commands import run
from .frame.desired import Envelope, read
from .frame.due import Due
from .frame.figures import Figures
from .frame.files import ManagedFile, hand_over, make_folder, read_own
from .frame.layout import Layout
from .frame.plan import Step, converge
from .frame.result import Result
from .frame.systemd import Systemd, Units, sandbox, verified_line

TOOL = "/opt/dr/dr-assets.pyz"
# The folder is the user's; what the copier is told lies elsewhere, and is root's.
USER, OWN = "dr-assets", "/var/lib/dr/assets"
JOB, EPOCH = "/etc/dr/assets.json", "/etc/dr/assets-epoch.json"
SETTINGS, SETTINGS_LIMIT_S = "/var/lib/dr/assets-bucket.json", 45.0
STATUS, STATE, VERIFIED = f"{OWN}/status.json", f"{OWN}/state", f"{OWN}/verified.json"
FIGURES = "dr_assets"
_FORMER = (f"{OWN}/epoch.json", f"{OWN}/bucket.json")  # of a version whose copier was root's
_COPIER = ("/usr/bin/python3", TOOL)
SYNC, RECONCILE = "dr-assets-sync", "dr-assets-reconcile"
STOP_S = 30
RETRY_S = 60  # between two attempts to reconcile
LATE_MIN = 10  # minutes after the first that was whole, in which it is done again


@dataclass(frozen=True, kw_only=True)
class Desired(assets.Block):
    """The block of the document, with what it needs of the envelope."""

    envelope: Envelope

    @classmethod
    def read(cls, document: dict[str, Any]) -> Desired:
        """Raises Usage that names every fault."""
        envelope, block = read(document, "assets", assets.Block)
        return cls(**vars(block), envelope=envelope)

    @property
    def bucket(self) -> dict[str, Any]:
        """Lifecycle and CORS of the own bucket, as the copier reads them."""
        return {
            "keep_old_versions_days": self.keep_old_versions_days,
            "abort_uploads_days": self.abort_uploads_days,
            "cors_origins": list(self.cors_origins),
            "lifecycle_of": list(self.lifecycle_of),
            "lock_days": self.lock_days,
        }

    @property
    def job(self) -> str:
        """The copier's own document, as text."""
        job = {
            "schema": 1,
            "source": fields.write(self.source),
            "target": fields.write(self.target),
            "options": {
                "grace_s": float(self.grace_s),
                "max_deletes": self.max_deletes,
                "max_deletes_percent": self.max_deletes_percent,
            },
            "bucket": self.bucket,
            "source_site": self.envelope.peer,
            "target_site": self.envelope.site,
            "state_dir": STATE,
            "epoch_file": EPOCH,
            "status_file": STATUS,
            "metrics_file": str(Figures(Layout(), FIGURES, USER).path),
        }
        return json.dumps(job, sort_keys=True, indent=1) + "\n"


@dataclass(frozen=True)
class Facts:
    """`timers`: which of the two is enabled and waits."""

    stale: tuple[str, ...] = ()  # files
    timers: tuple[str, ...] = ()
    tool: bool = True
    owned: bool = True  # the copier's user, and its folders as its own
    role: str | None = None  # of role.json
    role_epoch: int | None = None
    settings: dict[str, str] | None = (
        None  # how each setting of the own bucket went; None: never tried as they are wanted now
    )


def plan(facts: Facts, active: bool, epoch: int) -> list[Step]:
    """Pure. The timer of the other role goes first: two directions are never at work at once."""
    wanted, other = (RECONCILE, SYNC) if active else (SYNC, RECONCILE)
    role = "primary" if active else "standby"
    steps = [Step("stop", other)] if other in facts.timers else []
    steps += [] if facts.owned else [Step("hand-over", USER)]
    steps += [Step("write", path) for path in facts.stale]
    if any("/systemd/" in path for path in facts.stale):
        steps.append(Step("daemon-reload"))
    turned = (facts.role, facts.role_epoch) != (role, epoch)
    if turned:
        steps.append(Step("role", role))
    if wanted not in facts.timers or turned or facts.stale or not facts.owned:
        steps.append(Step("start", wanted))
    if facts.settings is None and facts.tool:
        steps.append(Step("settings"))
    return steps


class Assets:
    """The service, for `plan.converge`."""

    def __init__(self, desired: Desired, layout: Layout, units: Units, warn: Callable[[str], None]) -> None:
        self._desired, self._layout, self._units, self._warn = desired, layout, units, warn
        self._role = desired.envelope.role()
        self._figures = Figures(layout, FIGURES, USER)
        self._due = Due(layout, "assets")  # files with which no timer has begun yet

    def facts(self) -> Facts:
        """See `plan.Service`."""
        role = rolefile.read(self._layout)
        timers = (
            name
            for name in (SYNC, RECONCILE)
            if self._units.enabled(f"{name}.timer") and self._units.active(f"{name}.timer")
        )
        return Facts(
            tuple(self._due.stale(self.files())),
            tuple(timers),
            self._layout.at(TOOL).is_file(),
            self._owned(),
            role.role if role else None,
            role.epoch if role else None,
            self._settings(),
        )

    def plan(self, facts: Facts) -> Sequence[Step]:
        """See the function of this name."""
        return plan(facts, self._desired.envelope.active, self._role.epoch)

    def apply(self, step: Step) -> None:
        """See `plan` for what each name means."""
        actions: dict[str, Callable[[], Any]] = {
            "hand-over": self._hand_over,
            "write": lambda: self._write(step.detail),
            "daemon-reload": self._units.daemon_reload,
            "role": lambda: self._role.write(self._layout),
            "settings": self._put_settings,
            "start": lambda: self._start(step.detail),
            "stop": lambda: self._stop(step.detail),
        }
        actions[step.name]()

    def verify(self, facts: Facts) -> dict[str, Any]:
        """See `plan.Service`."""
        if not facts.tool:
            raise Failed(
                say(
                    subject=f"copier {TOOL}",
                    found="no such file",
                    wanted="the archive of dr-assets",
                    consequence="no object is copied",
                    remedy="run `pulumi up` again, it copies the archive first",
                )
            )
        pull = "by the platform" if self._desired.mode == assets.Mode.NATIVE else "pull"
        copying = "reconcile" if self._desired.envelope.active else pull
        return {
            "role": self._role.role,
            "epoch": self._role.epoch,
            "copying": copying,
            "bucket": facts.settings or "failed",
        }

    def files(self) -> list[ManagedFile]:
        """In the order in which they are written."""
        epoch = {
            "epoch": self._role.epoch,
            "active": self._desired.envelope.site if self._desired.envelope.active else self._desired.envelope.peer,
        }
        at, units = self._layout.at, self._layout.units
        done = f"{OWN}/reconciled-{self._role.epoch}"
        # Its failure is the link's to tell; the copier copies all the same.
        settings = f"ExecStartPre=-{_copier('bucket')}"
        look = f"ExecStart={_copier('replication --alone')}", f"ExecStartPost=-{_copier('replication')}"
        copy = f"ExecStart={_copier('sync')}"
        sync = [settings, *{"copy": [copy], "both": [copy, look[1]], "native": [look[0]]}[self._desired.mode]]
        # A region that is gone is found gone in seconds and asked again a minute later: it may be back by then. One that was left takes what its
        # customers send it until its own run, and keeps it: so it is asked for some minutes after all was brought over.
        reconcile = [
            f"ExecCondition=/bin/sh -c 'test ! -e {done} || test -z \"$(find {done} -mmin +{LATE_MIN})\"'",
            settings,
            f"ExecStart={_copier('reconcile')} --set attempts=3",
        ]
        reconcile.append(f"ExecStartPost=/bin/sh -c 'test -e {done} || touch {done}'")
        return [
            ManagedFile(path=at(JOB), content=self._desired.job, mode=0o640, group=USER),
            ManagedFile(path=at(EPOCH), content=json.dumps(epoch, sort_keys=True) + "\n"),
            ManagedFile(path=units / f"{SYNC}.service", content=_service("Pull assets from the active site", sync)),
            ManagedFile(path=units / f"{SYNC}.timer", content=_timer(self._desired.interval_s)),
            ManagedFile(
                path=units / f"{RECONCILE}.service",
                content=_service("Bring over assets that only the other site has", reconcile),
            ),
            ManagedFile(path=units / f"{RECONCILE}.timer", content=_timer(RETRY_S)),
        ]

    def _owned(self) -> bool:
        return self._figures.placed() and users.holds(USER, self._layout.at(OWN))

    def _hand_over(self) -> None:
        """A copier that still runs would leave more that is root's: it ends first, and begins anew with its timer."""
        for name in (SYNC, RECONCILE):
            for unit in (f"{name}.timer", f"{name}.service"):
                self._units.stop(unit, STOP_S)
        at_work = [name for name in (SYNC, RECONCILE) if not self._units.down(f"{name}.service")]
        if at_work:
            raise Failed(
                say(
                    subject=f"unit {at_work[0]}.service",
                    found="still at work",
                    wanted=f"an end within {STOP_S} s of being asked for it",
                    consequence=f"its files cannot become user {USER}'s, the copier stays as it was",
                    remedy=f"`systemctl kill -s KILL {at_work[0]}.service` there, then run the same again",
                )
            )
        if not users.exists(USER):
            users.make(USER)
        own = self._layout.at(OWN)
        make_folder(own)
        for path in _FORMER:
            self._layout.at(path).unlink(missing_ok=True)
        hand_over(own, USER)
        self._figures.place()

    def _write(self, path: str) -> None:
        self._due.add([path])
        next(file for file in self.files() if str(file.path) == path).write()

    def _settings(self) -> dict[str, str] | None:
        """As recorded; a record of other wishes is none."""
        known = _read(self._layout, SETTINGS)
        return known.get("settings") if known.get("wanted") == self._desired.bucket else None

    def _put_settings(self) -> None:
        argv = [
            *_COPIER,
            "bucket",
            "--compact",
            "--config",
            str(self._layout.at(JOB)),
            "--set",
            "attempts=2",
            "--set",
            "timeout_s=10",
        ]
        done = run(argv, limit_s=SETTINGS_LIMIT_S, user=USER, check=False)
        if done.code:
            self._warn(
                say(
                    subject="lifecycle and CORS of the own bucket",
                    found=done.reason,
                    wanted="both put",
                    remedy=f"each run of {SYNC} tries again",
                    consequence="old versions and unfinished uploads stay, other origins' pages read nothing",
                )
            )
            return
        # What was found and what was just put look the same in the next run.
        settings = {
            name: how if how.startswith("not ") else "set" for name, how in json.loads(done.out)["settings"].items()
        }
        for name in sorted(name for name, how in settings.items() if how != "set"):
            self._warn(_unset(name, settings[name]))
        record = {"wanted": self._desired.bucket, "settings": settings}
        ManagedFile(path=self._layout.at(SETTINGS), content=json.dumps(record, sort_keys=True) + "\n").write()

    def _start(self, name: str) -> None:
        self._units.enable(f"{name}.timer")
        self._units.restart(f"{name}.timer", 20)  # its first run begins at once
        self._due.done(self._due.names())

    def _stop(self, name: str) -> None:
        self._units.disable(f"{name}.timer")
        for unit in (f"{name}.timer", f"{name}.service"):
            self._units.stop(unit, STOP_S)


def _unset(name: str, how: str) -> str:
    """What is told of a setting that the bucket does not have."""
    if name.startswith("lock of "):
        return (
            f"{name}: {how}; wanted a lock in compliance mode for `dr:archive.lock_days`; a stolen key may remove the backups there; a bucket has it from "
            "its creation on or never, see docs/restore.md"
        )
    return f"{name} of the own bucket: {how}; wanted it put; the bucket does without; see docs/configuration.md"


def _copier(command: str) -> str:
    return f"{' '.join(_COPIER)} {command} --compact --config {JOB}"


def _service(description: str, commands: Sequence[str]) -> str:
    head = ("[Unit]", f"Description={description}", "After=network-online.target", "Wants=network-online.target")
    box = sandbox([OWN, str(Figures(Layout(), FIGURES, USER).folder)])
    return (
        "\n".join(
            (
                *head,
                "[Service]",
                "Type=oneshot",
                f"User={USER}",
                f"Group={USER}",
                "PrivateUsers=yes",
                "Nice=10",
                "MemoryMax=512M",
                "UMask=0022",
                verified_line(TOOL).rstrip(),
                *commands,
            )
        )
        + "\n"
        + box
    )


def _timer(seconds: int) -> str:
    return f"[Timer]\nOnActiveSec=0\nOnUnitInactiveSec={seconds}\nAccuracySec=1s\n[Install]\nWantedBy=timers.target\n"


def _read(layout: Layout, path: str) -> dict[str, Any]:
    """Empty when there is none, or none that can be read: then nothing is known."""
    try:
        known = json.loads(read_own(layout.at(path)))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def run_converge(call: Call) -> Result:
    """Verb `converge`."""
    return converge(Assets(Desired.read(call.document), call.layout, Systemd(), call.log.warning), call)


def status(call: Call) -> Result:
    """Verb `status`: the last run's figures, and whether this epoch's reconcile is done. Never fails; unknown is null."""
    role, at = rolefile.read(call.layout), call.layout.at
    known = _read(call.layout, STATUS)
    names = ("unreplicated", "replicated_until", "source", "finished", "ok", "error", "epoch", "replication")
    reconciled = None if role is None else at(f"{OWN}/reconciled-{role.epoch}").exists()
    return Result(
        {
            **{name: known.get(name) for name in names},
            "role": role.document() if role else None,
            "reconciled": reconciled,
            "verified": _read(call.layout, VERIFIED).get("at"),
        }
    )


VERBS = {"converge": Verb(run_converge), "status": Verb(status, locked=False, reads=False)}
