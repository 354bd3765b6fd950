"""Sentinel on the cache hosts of the active site: its files, its unit, and the word to the other site's that their time is over.

It runs in the active site alone and knows its own site's caches alone: the password with which it signs in is another one in each site. So
whatever an old Sentinel believes when its site comes back, the new leader does not listen to it. What keeps two writers apart is not
Sentinel but each cache's own lease and guard; a master without a replica refuses writes besides.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from .errors import Failed, say
from .files import ManagedFile, differing, make_folder, write_atomically
from .layout import Layout
from .plan import Step
from .redis_config import SENTINEL, Desired, Engine, quoted, sentinel_password
from .redis_leader import ASK_S, QUORUM, SENTINEL_PORT, SHOP, sentinel_of, side_by_side
from .redis_wire import Connection, ErrorReply, Server, Unreachable
from .rolefile import Role
from .systemd import Units, guard_line

UNIT = "dr-sentinel.service"
DOWN_MS, FAILOVER_MS = 5000, 20000  # silence after which a leader counts as down; patience with one change of leader
START_S, STOP_S = 40.0, 15.0


@dataclass(frozen=True)
class Facts:
    """`present`: a unit is installed; `stale`: paths; `current`: its state is of this epoch and these settings, and it watches the group."""

    present: bool = False
    stale: tuple[str, ...] = ()
    enabled: bool = False
    active: bool = False
    current: bool = False


class Sentinel:
    """The one of this host. `wanted`: whether it should run."""

    def __init__(self, desired: Desired, role: Role, engine: Engine, layout: Layout, units: Units) -> None:
        self._desired, self._role, self._engine, self._layout, self._units = desired, role, engine, layout, units
        self.wanted = desired.grouped and desired.envelope.active
        self._folder = layout.at(engine.data) / "dr-sentinel"
        self._note = layout.var / "sentinel.json"

    def facts(self) -> Facts:
        """Cheap where there is none and none is wanted."""
        present = (self._layout.units / UNIT).exists()
        if not present and not self.wanted:
            return Facts()
        return Facts(
            present, tuple(differing([self._unit()])), self._units.enabled(UNIT), self._units.active(UNIT),
            self.wanted and self._noted() == self._of_now() and self._watches(),
        )

    def off(self, facts: Facts) -> list[Step]:
        """Before everything else: while roles change nobody else may choose."""
        return [Step("sentinel-off")] if facts.present and not self.wanted and (facts.active or facts.enabled) else []

    def on(self, facts: Facts, leader: Server) -> list[Step]:
        """Last of all, once this host has its place in the group."""
        if not self.wanted:
            return []
        steps = [Step("sentinel-unit")] if facts.stale else []
        if not facts.enabled:
            steps.append(Step("sentinel-enable"))
        if not (facts.active and facts.current):
            steps.append(Step("sentinel-start", leader.name))
        return steps

    def apply(self, step: Step, leader: Server) -> None:
        """See `off` and `on`."""
        if step.name == "sentinel-off":
            self._units.disable(UNIT)
            if not self._units.stop(UNIT, STOP_S):
                raise Failed(f"unit {UNIT}: found one that does not stop within {STOP_S:g} s, wanted none; it could choose a leader; run the same again")
        elif step.name == "sentinel-unit":
            self._unit().write()
            self._units.daemon_reload()
        elif step.name == "sentinel-enable":
            self._units.enable(UNIT)
        else:
            self._start(leader)

    def verify(self, facts: Facts) -> None:
        """Raises Failed."""
        if self.wanted and not (facts.enabled and facts.active and facts.current):
            raise Failed(
                say(
                    subject=f"unit {UNIT}", found="none that watches this site's caches", wanted="one",
                    consequence="a dead cache host would not be replaced by another of its site",
                    remedy=f"read `journalctl -u {UNIT}`, then run the same again",
                )
            )

    def _start(self, leader: Server) -> None:
        """With a fresh state, for Sentinel keeps what it believes in the file that it was started with."""
        self._units.stop(UNIT, STOP_S)
        make_folder(self._folder, 0o750, self._engine.user)
        text = settings(self._desired, self._engine, self._layout, leader)
        ManagedFile(path=self._folder / "sentinel.conf", content=text, mode=0o640, owner=self._engine.user).write()
        write_atomically(self._note, (json.dumps(self._of_now(), sort_keys=True) + "\n").encode())
        self._units.start(UNIT, START_S)

    def _of_now(self) -> dict[str, object]:
        """What a state that is good was begun with; whoever leads changes by itself and is no part of it."""
        text = settings(self._desired, self._engine, self._layout, self._desired.members[0])
        return {"epoch": self._role.epoch, "settings": hashlib.sha256(text.encode()).hexdigest()[:16]}

    def _noted(self) -> object:
        try:
            return json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return None

    def _watches(self) -> bool:
        return _says(sentinel_of(self._desired.local, sentinel_password(self._desired.operator, self._role.site)), "SENTINEL", "CKQUORUM", SHOP) is not None

    def _unit(self) -> ManagedFile:
        command = f"{self._engine.binary} {self._folder / 'sentinel.conf'} --supervised systemd --daemonize no --sentinel"
        text = f"""# Written by dr-host; changes are overwritten.
[Unit]
Description=Chooses which cache of this site leads
After=network-online.target dr-agent.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={self._engine.user}
{guard_line("sentinel")}ExecStart={command}
Restart=on-failure
RestartSec=5
TimeoutStopSec=10

[Install]
WantedBy=multi-user.target
"""
        return ManagedFile(path=self._layout.units / UNIT, content=text)


def configured(layout: Layout, epoch: int) -> bool:
    """Whether this host's Sentinel was begun in this epoch: then its word decides who leads, not the file of the last run."""
    try:
        return bool(json.loads((layout.var / "sentinel.json").read_bytes())["epoch"] == epoch)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def settings(desired: Desired, engine: Engine, layout: Layout, leader: Server) -> str:
    """The text with which a Sentinel begins; it rewrites it."""
    etc, word = layout.at(engine.etc), desired.passwords[SENTINEL]
    lines = {
        "bind": desired.local.address,
        "port": "0",
        "tls-port": str(SENTINEL_PORT),
        "tls-cert-file": quoted(str(etc / "dr.crt")),
        "tls-key-file": quoted(str(etc / "dr.key")),
        "tls-ca-cert-file": quoted(str(etc / "dr-ca.pem")),
        "tls-auth-clients": "optional",
        "tls-replication": "yes",
        "requirepass": word,
        "dir": quoted(str(layout.at(engine.data) / "dr-sentinel")),
        "sentinel sentinel-pass": word,
        "sentinel announce-ip": desired.local.address,
        "sentinel announce-port": str(SENTINEL_PORT),
        f"sentinel monitor {SHOP}": f"{leader.address} {leader.port} {QUORUM}",
        f"sentinel auth-user {SHOP}": SENTINEL,
        f"sentinel auth-pass {SHOP}": word,
        f"sentinel down-after-milliseconds {SHOP}": str(DOWN_MS),
        f"sentinel failover-timeout {SHOP}": str(FAILOVER_MS),
        f"sentinel parallel-syncs {SHOP}": "1",
        # It may not have a cache rewrite its file, which is rendered: for CONFIG REWRITE it says INFO REWRITE, and INFO is one of the few
        # words that a replica without its leader takes.
        f"sentinel rename-command {SHOP}": "CONFIG INFO",
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def forget(desired: Desired) -> None:
    """Have the other site's Sentinels let go of their caches, before one here takes over from their leader. Raises Failed.

    One that does not answer cannot choose alone; two that do not could, once they are back.
    """
    password = sentinel_password(desired.operator, desired.envelope.peer)
    gone = side_by_side(lambda peer: _forgets(sentinel_of(peer, password)), desired.peers)
    silent = [peer.name for peer, done in zip(desired.peers, gone, strict=True) if not done]
    if len(silent) >= QUORUM:
        raise Failed(
            say(
                subject="Sentinels of the other site", found=f"{', '.join(silent)} not answering", wanted=f"fewer than {QUORUM} of them silent",
                consequence="they could make a replica of theirs a second master; nothing was handed over",
                remedy=f"bring them back (`systemctl status {UNIT}` there), then run the same again; or switch their site off and move without it",
            )
        )


def _forgets(sentinel: Server) -> bool:
    try:
        with Connection(sentinel, ASK_S) as connection:
            connection.call("SENTINEL", "REMOVE", SHOP)
    except ErrorReply as error:
        return "No such master" in str(error)
    except Unreachable:
        return False
    return True


def _says(sentinel: Server, *words: str) -> str | None:
    """Its answer, an error about numbers of others included; None when it does not answer or does not know the group."""
    try:
        with Connection(sentinel, ASK_S) as connection:
            return str(connection.call(*words))
    except ErrorReply as error:
        return None if "No such master" in str(error) else str(error)
    except Unreachable:
        return None


