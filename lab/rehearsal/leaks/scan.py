"""The search: state and its history, what pulumi and the lab have said, hosts' files, journals and processes, first-boot texts, records of drills."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import looking
from lab.looking import Seen
from lab.namespace import NETNS, Places
from lab.rehearsal.leaks import holders
from lab.rehearsal.leaks.needles import Needles, Secret, masked, secrets_of

# Of the run folder: what the lab tells whoever writes a stack file, and sockets.
LABS_OWN = ("lab.json",)
# Of a host's disk: kept by the kernel or by the database in its own form, and the lab's seed of the first boot, which cloud-init reads.
NOT_FILES = ("nocloud",)
# File systems of their own in a guest: the data volume, and what lies in memory.
MOUNTED = ("/var/lib/postgresql", "/run/cloud-init", "/run/dr", "/tmp", "/dev/shm")  # noqa: S108
JOURNAL_S = 60
CORES = re.compile(r"/(core(\.\d+)?|.*\.crash|coredump/core\..*)$")


@dataclass(frozen=True, order=True)
class Leak:
    """`secret`: its name, never its value."""

    place: str
    secret: str
    fault: str = "lies where it should not"

    def line(self) -> str:
        return f"{self.place}: {self.secret} {self.fault}"


def known(where: Places, told: Mapping[str, Any] | None = None, passphrase: str = "") -> list[Secret]:
    """Every secret of a lab: of the configuration where somebody has it (`told`), of the cloud's description, and what the hosts were given."""
    lab = json.loads(where.description.read_text())
    found = {secret.name: secret for secret in secrets_of(told or {})}
    if told is None:
        outside = {
            "openstack_password": lab["openstack"]["password"],
            "witness": {"secret_key": lab["root_s3"]["secret_key"]},
        }
        outside["ovh"] = {name: lab["ovh"][name] for name in ("application_secret", "consumer_key")}
        found |= {secret.name: secret for secret in secrets_of(outside)}
    if passphrase:
        found["the stacks' passphrase"] = Secret("the stacks' passphrase", passphrase)
    for number, secret in enumerate(given(looking.known(where))):
        found.setdefault(f"{secret.name} {number}", secret)
    return sorted(found.values())


def given(hosts: Iterable[Seen]) -> Iterator[Secret]:
    """Keys of object storage, which the platform makes: the configuration has none of them."""
    for host in hosts:
        if host.leader is None:
            continue
        root = Path(f"/proc/{host.leader}/root")
        with contextlib.suppress(OSError):
            for line in (root / "etc/shop/env").read_text().splitlines():
                name, _, value = line.partition("=")
                if name == "AWS_SECRET_ACCESS_KEY":
                    yield Secret("storage.shop", shlex.split(value)[0])
        with contextlib.suppress(OSError):
            for value in re.findall(r'"secret_key": *"([^"]+)"', (root / "etc/dr/assets.json").read_text()):
                yield Secret("storage.copier", value)
        for path in root.glob("etc/dr/archive/*"):
            with contextlib.suppress(OSError):
                for value in re.findall(r"^repo1-s3-key-secret=(\S+)$", path.read_text(), re.MULTILINE):
                    yield Secret("storage.archive", value)


def leaks(where: Places, secrets: Iterable[Secret], more: Iterable[Path] = ()) -> list[Leak]:
    """Everything that is found where it should not be. `more`: further files and folders that must hold none, as records of drills."""
    hosts = looking.known(where)
    with Needles(secrets) as needles, ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(outside, needles, where, list(more)), pool.submit(processes, needles, where, hosts)]
        looks += [pool.submit(look, needles, host) for host in hosts for look in (disk, journal)]
        return sorted({leak for look in looks for leak in look.result()})


def outside(needles: Needles, where: Places, more: Iterable[Path]) -> list[Leak]:
    """State, history, stack files and logs in the run folder, and `more`."""
    run = [path for path in where.run.iterdir() if path.name not in LABS_OWN and not path.is_socket()]
    found = needles.below([*run, *more])
    return [Leak(place, name) for place, names in found.items() for name in names]


def disk(needles: Needles, host: Seen) -> list[Leak]:
    """All that a host has written over its image, and its data volume."""
    upper = host.folder / "upper"
    places = {upper: ""}
    if host.leader is not None:
        root = Path(f"/proc/{host.leader}/root")
        places |= {root / volume.lstrip("/"): volume for volume in MOUNTED}
    found = []
    for place, inside in places.items():
        for file, names in needles.below([place], without=NOT_FILES).items():
            path = f"{inside}{file.removeprefix(str(place))}"
            found += [_judged(host, path, Path(file), name) for name in names]
        found += [Leak(f"{host.label}:{path}", "a core file", "may hold all of them") for path in cores(place, inside)]
    return [leak for leak in found if leak is not None]


def _judged(host: Seen, path: str, file: Path, name: str) -> Leak | None:
    place = f"{host.label}:{masked(path)}"
    if not holders.allowed(holders.FILES, host.label, path, name):
        return Leak(place, name)
    with contextlib.suppress(FileNotFoundError):
        if open_to_all(file):
            return Leak(place, name, "is there for everybody to read")
    return None


def open_to_all(file: Path) -> bool:
    """Whether any user may read it: its own mode, and that of each folder of the guest above it."""
    if not file.stat().st_mode & 0o004:
        return False
    for folder in file.parents:
        if not folder.stat().st_mode & 0o001:
            return False
        if folder.name in ("upper", "root"):
            break
    return True


def cores(place: Path, inside: str = "") -> Iterator[str]:
    """Core files, by their paths on the host."""
    for folder, _, names in os.walk(place):
        for name in names:
            path = f"{inside}{folder.removeprefix(str(place))}/{name}"
            if CORES.search(path):
                yield path


def journal(needles: Needles, host: Seen) -> list[Leak]:
    """With all fields, command lines among them: what is long is packed in the files."""
    if host.leader is None:
        return []
    command = looking.inside(host.leader, ["journalctl", "--no-pager", "-o", "export"])
    done = subprocess.run(command, capture_output=True, check=False, timeout=JOURNAL_S)
    return [Leak(f"{host.label}: journal", name) for name in needles.within(done.stdout)]


def processes(needles: Needles, where: Places, hosts: Iterable[Seen]) -> list[Leak]:
    """Arguments and environments of all that runs in the lab's network namespaces."""
    by_namespace = {
        path.stat().st_ino: ""
        for path in NETNS.glob(f"{where.name}*")
        if path.name == where.name or path.name.startswith(f"{where.name}-")
    }
    for host in hosts:
        with contextlib.suppress(OSError):
            by_namespace[Path(f"/proc/{host.leader}/ns/net").stat().st_ino] = host.label
    running: dict[str, list[Process]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            label = by_namespace.get((folder / "ns/net").stat().st_ino)
            argv = (folder / "cmdline").read_bytes()
            if label is not None and argv:
                running.setdefault(label, []).append(Process(folder, argv, (folder / "environ").read_bytes()))
    return [leak for label, those in running.items() for leak in _shown(needles, label, those)]


@dataclass(frozen=True)
class Process:
    """`folder`: in /proc; `argv` and `environment` as the kernel has them."""

    folder: Path
    argv: bytes
    environment: bytes


def _shown(needles: Needles, host: str, those: Iterable[Process]) -> Iterator[Leak]:
    """Of one host, of the lab's own where that is empty: its servers have their keys in their environment, their arguments hold none either."""
    for each in _suspects(needles, those, lambda it: it.argv):
        for name in needles.within(each.argv):
            yield Leak(f"{host or 'the lab'}: process {_program(each)}, arguments", name)
    for each in _suspects(needles, those, lambda it: it.environment) if host else ():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            user = _user(each.folder)
            for name in needles.within(each.environment):
                if not holders.allowed(holders.ENVIRONMENTS, host, user, name):
                    yield Leak(f"{host}: process {_program(each)}, environment of {user}", name)


def _suspects(needles: Needles, those: Iterable[Process], what: Callable[[Process], bytes]) -> list[Process]:
    """All of them where any shows something: one search for all is enough where none does, which is nearly always."""
    every = list(those)
    return every if needles.within(b"\n".join(map(what, every))) else []


def _program(process: Process) -> str:
    return process.argv.split(b"\0")[0].decode(errors="replace")


def _user(folder: Path) -> str:
    """The user's name as the guest knows it."""
    number = (folder / "status").read_text().split("Uid:")[1].split()[0]
    for line in (folder / "root/etc/passwd").read_text().splitlines():
        name, _, uid, *_ = line.split(":")
        if uid == number:
            return name
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(int(number)).pw_name
    return number


def main(where: Places, more: Iterable[Path]) -> int:
    """`lab scan`: by what the cloud and the hosts were given; a drill knows the configuration besides. Returns the exit code."""
    secrets = known(where)
    found = leaks(where, secrets, more)
    for leak in found:
        print(leak.line())
    print(f"{len(secrets)} secrets known, {len(found)} shown")
    return 1 if found else 0
