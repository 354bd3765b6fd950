"""What is looked at after a story: samples of both databases and caches, roles, agents' journals, evidence, workers, previews."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.epoch import Epoch
from contract.errors import DrError
from contract.sites import other
from lab import looking
from lab.namespace import LabError
from lab.rehearsal.chaos.catalogue import HOSTS, LEASED
from lab.rehearsal.chaos.invariants import Seen
from lab.rehearsal.stacks import WITNESS_BUCKET
from lab.rehearsal.stage import CACHE_HOST, DATABASE_HOST, SAMPLES, Stage
from lab.rehearsal.world import lab

KEPT = 20000
SAMPLED = {"postgres": DATABASE_HOST, "redis": CACHE_HOST}  # by the samplers of the stage
CRIES = (
    "^Traceback \\(most recent call last\\)|== CRITICAL ==|BUG REPORT START"  # of our own software and of the servers
)
SPOILT = "Failed to drain libmount events"  # of a guest that the machine has let down: what it does then is no fault of the product
LISTS = "/var/lib/postgresql/evidence"


class Eyes:
    """Of one pair of regions, for many stories."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._known_twice: set[str] = set()

    def evidence(self) -> dict[str, Mapping[str, Any]]:
        """Every list of what an old primary has kept, by host and folder."""
        script = f"for each in {LISTS}/*/evidence.json; do test -e $each && echo $each && tr -d '\\n' < $each && echo; done; true"
        found: dict[str, Mapping[str, Any]] = {}
        for site in "ab":
            rows = _inside(f"db-1.{site}", script).splitlines()
            found |= {f"{site}:{path}": json.loads(text) for path, text in zip(rows[::2], rows[1::2], strict=True)}
        return found

    def look(self, seen: Seen, epoch: int, before: Mapping[str, Any]) -> list[str]:
        """Fill `seen`; returns what could not be looked at. `epoch`: the newest at the beginning; `before`: the evidence of then."""
        blind: list[str] = []
        for look in (self._epochs, self._samples, self._roles, self._live, self._previews):
            try:
                look(seen, epoch)
            except (RuntimeError, AssertionError, DrError, ValueError) as error:
                blind.append(f"{look.__name__.strip('_')}: {error}")
        blind += [f"{host}: its systemd is broken since its boot ({SPOILT})" for host in self._spoilt(seen.began)]
        blind += [f"samples: no write of any {name} was seen" for name in seen.samples if not _written(seen, name)]
        with contextlib.suppress(LabError, ValueError):
            seen.evidence = [found for name, found in self.evidence().items() if before.get(name) != found]
        return blind

    def _epochs(self, seen: Seen, epoch: int) -> None:
        seen.newest = self._stage.epoch()
        for number in range(epoch + 1, seen.newest.epoch + 1):
            found = (
                self._stage.world.s3("de")
                .get_object(Bucket=WITNESS_BUCKET, Key=f"epochs/{number:08d}.json")["Body"]
                .read()
            )
            seen.epochs.append(Epoch.from_document(json.loads(found), f"epochs/{number:08d}.json"))
        twice = {key for key, times in self._stage.claims().items() if times != 1} - self._known_twice
        self._known_twice |= twice
        seen.claimed_twice = sorted(twice)

    def _samples(self, seen: Seen, epoch: int) -> None:
        for service, name in SAMPLED.items():
            rows = {site: self._on_disk(f"{name}.{site}", SAMPLES).splitlines() for site in "ab"}
            found = {site: [json.loads(row) for row in each if row.endswith("}")] for site, each in rows.items()}
            seen.samples[service] = {
                site: [row for row in each if row["t"] >= seen.began] for site, each in found.items()
            }

    def _on_disk(self, host: str, path: str) -> str:
        """A file of a host, also of one without power; empty where there is none."""
        folder = looking.chosen(looking.known(self._stage.world.places), host).folder
        try:
            return (folder / "root" / path.lstrip("/")).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _roles(self, seen: Seen, epoch: int) -> None:
        for site in "ab":
            for name in HOSTS:
                host = f"{name}.{site}"
                text = self._on_disk(host, "/var/lib/dr/role.json")
                seen.roles[host] = json.loads(text) if text.strip() else None
                said = f"journalctl --since=@{seen.began:.0f} -o cat --no-pager | grep -E '{CRIES}' | head -n 5; true"
                seen.cries[host] = _said(host, said)
            for name in LEASED:
                host = f"{name}.{site}"
                text = self._on_disk(host, "/var/lib/dr/deny.json").strip()
                if text:
                    seen.denies[host] = int(json.loads(text)["epoch_next"])
                said = f"journalctl -u dr-agent --since=@{seen.began:.0f} -o cat --no-pager | grep 'nobody heard for'; true"
                seen.lease_stops[host] = _said(host, said)

    def _spoilt(self, began: float) -> list[str]:
        count = f"journalctl --since=@{began:.0f} -o cat --no-pager | grep -c '{SPOILT}'; true"
        hosts = [f"{name}.{site}" for site in "ab" for name in HOSTS]
        return [host for host in hosts if _said(host, count) not in ([], ["0"])]

    def _live(self, seen: Seen, epoch: int) -> None:
        world, active = self._stage.world, self._stage.active
        seen.writers = world.writers()
        seen.caches = {site: world.status(site, "redis").get("role") for site in "ab"}
        seen.workers = {
            f"{name}.{site}": world.status(site, "app", name).get("worker")
            for site in "ab"
            for name in ("app-1", "app-2")
        }
        seen.off = [host.label for host in looking.known(world.places) if host.leader is None]
        seen.streams = world.status(other(active)).get("streaming") is True

    def _previews(self, seen: Seen, epoch: int) -> None:
        for site in "ab":
            seen.previews[site] = self._stage.pulumi.preview_changes(site)

    def keep(self, folder: Path) -> None:
        """Journals and consoles of all hosts, also of those without power, what the samplers saw, and the logs of pulumi and the daemon."""
        folder.mkdir(parents=True, exist_ok=True)
        for host in (f"{name}.{site}" for site in "ab" for name in HOSTS):
            (folder / f"{host}.journal").write_text(lab("logs", host, "--lines", str(KEPT), check=False).stdout)
            (folder / f"{host}.console").write_text(lab("console", host, check=False).stdout)
            if host.split(".", maxsplit=1)[0] in SAMPLED.values():
                read = lab("ssh", host, "--", "tail", "-n", str(KEPT), SAMPLES, check=False)
                (folder / f"{host}.samples").write_text(read.stdout)
        for file in (self._stage.pulumi.log, self._stage.world.places.log):
            (folder / file.name).write_bytes(file.read_bytes())


def _written(seen: Seen, service: str) -> bool:
    """A sampler that saw nothing at all says nothing of two writers."""
    return any(sample["writer"] for samples in seen.samples[service].values() for sample in samples)


def _said(host: str, script: str) -> list[str]:
    """As `_inside`; nothing of a host without power, which its role and the shop tell of."""
    try:
        return _inside(host, script).splitlines()
    except LabError:
        return []


def _inside(host: str, script: str) -> str:
    """On a host by its namespaces. Raises LabError."""
    return lab("ssh", host, "--", "sh", "-c", script).stdout
