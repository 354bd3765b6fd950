"""Sentinel on the cache hosts of the active site: its files, its unit, and the word to the other site's that their time is over.

It runs in the active site alone and knows its own site's caches alone: the password with which it signs in is another one in each site. So
whatever an old Sentinel believes when its site comes back, the new leader does not listen to it. What keeps two writers apart is not
Sentinel but each cache's own lease and guard; a master without a replica refuses writes besides.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from contract.errors import Failed, say

from ..frame.files import ManagedFile, differing, make_folder, write_atomically
from ..frame.layout import Layout
from ..frame.plan import Step
from ..frame.rolefile import Role
from ..frame.systemd import Units, guard_line, sandbox
from ..frame.wait import until
from .config import OPERATOR, SENTINEL, Desired, quoted, sentinel_password
from .engine import Engine
from .leader import ASK_S, QUORUM, SENTINEL_PORT, SHOP, Access, forget, sentinel_of, watchers
from .state import SentinelFacts as Facts
from .wire import Connection, ErrorReply, Server, Unreachable

UNIT = "dr-sentinel.service"
DOWN_MS, FAILOVER_MS = 5000, 20000  # silence after which a leader counts as down; patience with one change of leader
START_S, STOP_S = 40.0, 15.0
LET_GO_S = 8.0  # longer than a connection of a dead Sentinel counts as one that watches


class Sentinel:
    """The one of this host. `wanted`: whether it should run."""

    def __init__(self, desired: Desired, role: Role, engine: Engine, layout: Layout, units: Units) -> None:
        self._desired, self._role, self._engine, self._layout, self._units = desired, role, engine, layout, units
        self.wanted = desired.grouped and desired.envelope.active
        self._former = Access.of_host(layout)  # as the run before left it
        self._folder = layout.at(engine.data) / "dr-sentinel"

    def facts(self) -> Facts:
        """Cheap where there is none and none is wanted."""
        present = (self._layout.units / UNIT).exists()
        if not present and not self.wanted:
            return Facts()
        active = self._units.active(UNIT)
        return Facts(
            present,
            tuple(differing([self._unit()])),
            self._units.enabled(UNIT),
            active,
            self.wanted and _noted(self._layout) == self._of_now() and self._watches(),
            self._rotated(),
            not active and not self._units.down(UNIT),
        )

    def off(self, facts: Facts) -> list[Step]:
        """Before everything else: while roles, members or the word by which they sign in change, nobody may choose."""
        if not facts.present or not (facts.active or facts.ending or facts.enabled):
            return []
        if not self.wanted:
            return [Step("sentinel-off")]
        return [Step("sentinel-rest")] if facts.rotated else []

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
        if step.name == "sentinel-rest":
            # Those that sign in by the word of before: another host's may have begun anew by the one of now.
            forget(replace(it, former=None) for it in (self._former.sentinels if self._former else ()))
        elif step.name == "sentinel-off":
            self._let_go()
            self._units.disable(UNIT)
            if not self._units.stop(UNIT, STOP_S):
                raise Failed(
                    f"unit {UNIT}: found one that does not stop within {STOP_S:g} s, wanted none; it could choose a leader; run the same again"
                )
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
                    subject=f"unit {UNIT}",
                    found="none that watches this site's caches",
                    wanted="one",
                    consequence="a dead cache host would not be replaced by another of its site",
                    remedy=f"read `journalctl -u {UNIT}`, then run the same again",
                )
            )

    def step_aside(self) -> None:
        """The next start of the cache is this run's: the guard takes the place that the run has written, until Sentinel is begun anew."""
        _note(self._layout).unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._former is not None:
            forget(self._former.sentinels)

    def _start(self, leader: Server) -> None:
        """With a fresh state, for Sentinel keeps what it believes in the file that it was started with."""
        if not self._units.stop(UNIT, STOP_S):
            raise Failed(
                f"unit {UNIT}: found one that does not stop within {STOP_S:g} s, wanted none; its file cannot be begun anew; run the same again"
            )
        make_folder(self._folder, 0o700, self._engine.user)
        text = settings(self._desired, self._engine, self._layout, leader)
        ManagedFile(path=self._folder / "sentinel.conf", content=text, mode=0o600, owner=self._engine.user).write()
        write_atomically(_note(self._layout), (json.dumps(self._of_now(), sort_keys=True) + "\n").encode())
        self._units.start(UNIT, START_S)

    def _of_now(self) -> dict[str, object]:
        """What a state that is good was begun with; whoever leads changes by itself and is no part of it."""
        text, tls = settings(self._desired, self._engine, self._layout, self._desired.head), self._desired.tls
        digest = hashlib.sha256(
            "\0".join((text, tls.ca, tls.cert, tls.key)).encode()
        ).hexdigest()  # Sentinel reads certificates once
        return {"epoch": self._role.epoch, "settings": digest[:16]}

    def _rotated(self) -> bool:
        found = Access.of_host(self._layout)
        return found is not None and any(it.password != self._desired.passwords.get(SENTINEL) for it in found.sentinels)

    def _watches(self) -> bool:
        """Whether it answers and knows the group; an error about numbers of others is an answer, too."""
        try:
            with Connection(sentinel_of(self._desired.local, self._desired.passwords[SENTINEL]), ASK_S) as connection:
                connection.call("SENTINEL", "CKQUORUM", SHOP)
        except ErrorReply as error:
            return "No such master" not in str(error)
        except Unreachable:
            return False
        return True

    def _unit(self) -> ManagedFile:
        command = (
            f"{self._engine.binary} {self._folder / 'sentinel.conf'} --supervised systemd --daemonize no --sentinel"
        )
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
LimitNOFILE=10240
{sandbox([str(self._folder)])}
[Install]
WantedBy=multi-user.target
"""
        return ManagedFile(path=self._layout.units / UNIT, content=text)


def configured(layout: Layout, epoch: int) -> bool:
    """Whether this host's Sentinel was begun in this epoch: then its word decides who leads, not the file of the last run."""
    return _noted(layout).get("epoch") == epoch


def _noted(layout: Layout) -> dict[str, object]:
    """What this host's Sentinel was begun with; empty when there is none, or nothing that can be read."""
    try:
        found = json.loads(_note(layout).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _note(layout: Layout) -> Path:
    return layout.var / "sentinel.json"


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
        "tls-auth-clients": "yes",
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


def let_go(desired: Desired, leader: Server) -> None:
    """Have the other site's Sentinels let go of `leader`, before one here takes over from it. Raises Failed, Unreachable and ErrorReply.

    One that watches on cannot choose alone; two could make a follower of theirs a second leader.
    """
    if not watchers(leader):
        return
    site, second = desired.envelope.peer, desired.taken.get(OPERATOR)
    words = sentinel_password(desired.operator, site), sentinel_password(second, site) if second else None
    forget(sentinel_of(peer, *words) for peer in desired.peers)
    if not until(lambda: watchers(leader) < QUORUM, LET_GO_S, 0.1):
        raise Failed(
            say(
                subject=f"Sentinels that watch {leader.name}",
                found=f"{watchers(leader)} that cannot be told to let go",
                wanted=f"fewer than {QUORUM}",
                consequence="they could make a follower of theirs a second leader; nothing was handed over",
                remedy=f"make dr:redis cache_replicas equal in both stacks, or bring them within reach (`systemctl status {UNIT}` there), then run the same "
                "again; or switch their site off and move without it",
            )
        )
