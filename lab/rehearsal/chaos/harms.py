"""How each kind of harm is done to a running lab, and undone: most by `lab fault`, the rest on the hosts themselves or at the witness."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab import looking
from lab.faults import UNTARGETED
from lab.namespace import cgroup_mount
from lab.rehearsal.chaos.catalogue import LEASED
from lab.rehearsal.chaos.story import WITNESS, Harm, resolved
from lab.rehearsal.stacks import WITNESS_BUCKET
from lab.rehearsal.stage import Stage
from lab.rehearsal.world import lab

STORAGE = {WITNESS: "de"}
Undo = Callable[[], None]
FORGOTTEN = {"epoch": "epochs/", "epochs": "epochs/", "followed": "followed/", "heartbeats": "heartbeats/"}
NFT = "table inet chaos_{name} {{ {chain}; }}"


class Harms:
    """Those of one story. `sites`: {"here": "a", "there": "b"}. What is begun is ended by `end`, or by `end_all` in the end."""

    def __init__(self, stage: Stage, sites: Mapping[str, str]) -> None:
        self._stage, self._sites = stage, dict(sites)
        self._own: Mapping[str, Callable[[str, str], Undo]] = {
            "lossy-link": self._lossy,
            "witness-cut": self._witness_cut,
            "witness-forgets": self._forget,
            "hung-ssh": lambda host, _: self._halted(host, "ssh"),
            "agent-hung": lambda host, _: self._halted(host, "dr-agent"),
            "agent-killed": self._agent_killed,
            "paused": self._paused,
        }

    def begin(self, harm: Harm) -> Undo:
        """Returns what ends it. Raises LabError when the lab does not do it."""
        target = resolved(harm.target, self._sites)
        if harm.kind in self._own:
            return self._own[harm.kind](target, harm.detail)
        target = STORAGE.get(target, target)
        words = (harm.detail,) if harm.kind in UNTARGETED else (target, harm.detail)
        lab("fault", harm.kind, "kill", *filter(None, words))
        return lambda: _ended("fault", harm.kind, "return", *filter(None, (target,)))

    # --- on hosts, by their namespaces: also where no ssh leads

    def _line(self, host: str, text: str) -> None:
        lab("ssh", host, "--", "sh", "-c", text)

    def _halted(self, host: str, unit: str) -> Undo:
        self._line(host, f"systemctl kill --kill-whom=main -s STOP {unit}")
        # A watchdog may have started it anew, the host may have lost its power.
        return lambda: _ended("ssh", host, "--", "systemctl", "kill", "--kill-whom=main", "-s", "CONT", unit)

    def _agent_killed(self, host: str, _: str) -> Undo:
        self._line(host, "systemctl kill -s KILL dr-agent")
        return lambda: None

    def _paused(self, host: str, _: str) -> Undo:
        """As a hypervisor does it: nothing runs, nothing is lost, and nobody in it knows."""
        leader = looking.chosen(looking.known(self._stage.world.places), host).leader
        if leader is None:
            return lambda: None  # without power there is nothing to pause
        switch = _payload(leader) / "cgroup.freeze"
        switch.write_text("1")

        def resume() -> None:
            if switch.exists():  # else its power was cut meanwhile
                switch.write_text("0")

        return resume

    def _filter(self, site: str, name: str, chain: str) -> Undo:
        """Rules of the leased hosts of a site; a boot ends them too."""
        hosts = [f"{host}.{site}" for host in LEASED]
        for host in hosts:
            self._line(host, f"echo '{NFT.format(name=name, chain=chain)}' | nft -f -")

        def undo() -> None:
            for host in hosts:
                _ended("ssh", host, "--", "nft", "delete", "table", "inet", f"chaos_{name}")

        return undo

    def _lossy(self, site: str, percent: str) -> Undo:
        net = self._stage.world.vrack(f"db-1.{site}").rsplit(".", 1)[0]
        rule = f"ip saddr {net}.0/24 tcp dport != 22 tcp sport != 22 numgen random mod 100 < {percent} drop"
        return self._filter(site, "lossy", f"chain in {{ type filter hook input priority -20; {rule}; }}")

    def _witness_cut(self, site: str, _: str) -> Undo:
        address = re.sub(r"^https?://([^:/]+).*$", r"\1", self._stage.world.lab["s3"]["de"]["endpoint"])
        return self._filter(
            site, "witness", f"chain out {{ type filter hook output priority -20; ip daddr {address} drop; }}"
        )

    # --- at the witness

    def _forget(self, what: str, _: str) -> Undo:
        """Its objects vanish; at the end they are there again, unless somebody has written new ones."""
        s3: Any = self._stage.world.s3("de")
        listed = s3.list_objects_v2(Bucket=WITNESS_BUCKET, Prefix=FORGOTTEN[what]).get("Contents", [])
        keys = sorted(row["Key"] for row in listed)
        if what == "epoch":
            keys = keys[-1:] if len(keys) > 1 else []  # the first epoch is not rolled back, it is lost
        markers = [(key, s3.delete_object(Bucket=WITNESS_BUCKET, Key=key).get("VersionId")) for key in keys]

        def undo() -> None:
            for key, marker in markers:
                if marker is not None:
                    s3.delete_object(Bucket=WITNESS_BUCKET, Key=key, VersionId=marker)

        return undo


def _payload(leader: int) -> Path:
    """The control group of everything that runs in a guest, by its first process."""
    (path,) = (
        line.removeprefix("0::")
        for line in Path(f"/proc/{leader}/cgroup").read_text().split()
        if line.startswith("0::")
    )
    group = cgroup_mount() / path.lstrip("/")
    while group.name != "payload":
        group = group.parent
        if group == group.parent:
            raise RuntimeError(
                f"control group of process {leader}: {path} has no part `payload`; systemd-nspawn names it otherwise"
            )
    return group


def _ended(*words: str) -> None:
    """What may have ended by itself meanwhile: a host that has booted, a fault that went with its host."""
    lab(*words, check=False)
