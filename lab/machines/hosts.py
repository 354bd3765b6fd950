"""A server: systemd-nspawn on an overlay of the image, in a control group and a network namespace of its own.

The namespace is made afresh for each boot and goes when the machine is off, so a host without power answers nothing, not even ARP. A thread
waits for each running machine: one that powers itself off becomes a stopped one, one that reboots itself boots again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.cloud.backend import BackendError, ServerSpec
from lab.machines import guest
from lab.machines.shell import LIMIT_S, mounted_under, run
from lab.namespace import NETNS, inside

log = logging.getLogger("lab.machines")
NSPAWN = Path("/run/systemd/nspawn")
REBOOT = 133  # how nspawn says with --keep-unit that the guest wants to boot again
ORDERLY_S = 15.0
POLL_S = 0.05
POWEROFF = signal.SIGRTMIN + 3  # systemd's own signal for an orderly power-off


@dataclass(frozen=True)
class Volume:
    """A volume in a host: loop device on this machine, name in the guest (`vdb`)."""

    volume_id: str
    device: Path
    name: str

    @property
    def link(self) -> str:
        return f"/dev/disk/by-id/virtio-{self.volume_id[:20]}"


@dataclass(frozen=True, kw_only=True)
class HostPlaces:
    """What a host occupies on this machine. `wire` makes its network interfaces in the namespace, which is fresh; `unwire` removes both.

    `hush`: nothing reaches its interfaces any more, or everything does again.
    """

    folder: Path
    cgroup: Path
    netns: str
    layers: tuple[Path, ...]  # read-only file systems below the host's disk, the upper one first
    wire: Callable[[], None]
    unwire: Callable[[], None]
    hush: Callable[[bool], None]


@dataclass
class Host:
    """One server's machine. All methods but `running` are to be called one at a time, which `lock` sees to."""

    spec: ServerSpec
    places: HostPlaces
    volumes: dict[str, Volume] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)  # why it must not be started: faults in force
    lock: threading.RLock = field(default_factory=threading.RLock)
    _process: subprocess.Popen[bytes] | None = None
    _stopping: bool = False
    wanted: bool = False  # the power button: was it on when a fault took the power?

    @property
    def root(self) -> Path:
        return self.places.folder / "root"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def create(self) -> None:
        """Make the disk and put the seed on it."""
        upper = self.places.folder / "upper"
        shutil.rmtree(self.places.folder, ignore_errors=True)
        nocloud = upper / "var/lib/cloud/seed/nocloud"
        nocloud.mkdir(parents=True)
        for name, text in guest.seed(self.spec).items():
            (nocloud / name).write_text(text)
            (nocloud / name).chmod(0o600)
        (upper / "etc").mkdir()
        (upper / "etc/resolv.conf").write_text(guest.resolv_conf(self.spec.nics))
        (upper / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.spec.name}\n")
        for folder in ("work", "root"):
            (self.places.folder / folder).mkdir()
        lower = ":".join(str(layer) for layer in self.places.layers)
        options = f"lowerdir={lower},upperdir={upper},workdir={self.places.folder / 'work'},volatile"
        run(self._what, ["mount", "-t", "overlay", self.places.netns, "-o", options, str(self.root)])

    def start(self) -> None:
        """Power on. On a running one: nothing. Raises BackendError."""
        with self.lock:
            if self.held:
                raise BackendError(f"{self._what}: cannot be started, {' and '.join(sorted(self.held))}")
            self.wanted = True
            if self.running:
                return
            self.places.wire()
            self._write_devices()
            self._stopping = False
            self.places.cgroup.mkdir(parents=True, exist_ok=True)
            with (self.places.folder / "console.log").open("ab") as console:
                self._process = subprocess.Popen(
                    ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.places.cgroup), *self._nspawn()],
                    stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True,
                    env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
                )  # fmt: skip
            self._await_leader()
            threading.Thread(
                target=self._watch, args=(self._process,), name=f"host-{self.spec.name}", daemon=True
            ).start()

    def _nspawn(self) -> list[str]:
        # Started inside the namespace although it is told of it: the guest's /sys shows the interfaces of where it was mounted.
        options = [
            "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--settings=no", "--console=read-only",
            f"--machine={self.places.netns}", f"--hostname={self.spec.name}", f"--uuid={self.spec.server_id}",
            f"--network-namespace-path={NETNS / self.places.netns}", "--capability=CAP_NET_ADMIN",
            "--resolv-conf=off", "--timezone=off", "--link-journal=no", f"--directory={self.root}",
        ]  # fmt: skip
        return inside(NETNS / self.places.netns, options)

    def _await_leader(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while self.leader() is None:
            if not self.running:
                raise BackendError(
                    f"{self._what}: systemd-nspawn ended at once; see {self.places.folder / 'console.log'}"
                )
            if time.monotonic() > deadline:
                self.cut()
                raise BackendError(
                    f"{self._what}: no first process after {LIMIT_S:g} s, power taken again; see its console.log"
                )
            time.sleep(POLL_S)

    def leader(self) -> int | None:
        """The guest's first process, as this machine numbers it."""
        if self._process is None or self._process.poll() is not None:
            return None
        pid = self._process.pid
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                status = Path(f"/proc/{child}/status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
                if len(numbers) > 1 and numbers[-1] == "1":
                    return int(child)
        return None

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self.lock:
            if self._process is not process:
                return
            self._end()
            if code == REBOOT and not self._stopping and not self.held:
                log.info("%s reboots itself", self._what)
                try:
                    self.start()
                except BackendError:
                    log.exception("%s did not boot again", self._what)
            elif not self._stopping:
                self.wanted = False
                log.info("%s is off (status %d)", self._what, code)

    def _end(self) -> None:
        """Whatever is left of a machine whose power is gone."""
        self._process = None
        kill_cgroup(self.places.cgroup)
        release_nspawn(self.places.netns)
        self.places.unwire()

    def stop(self) -> None:
        """Orderly power-off, a hard one when it takes too long. On a stopped one: nothing."""
        with self.lock:
            self.wanted = False
            self._stopping = True
            process, leader = self._process, self.leader()
            if process is not None and leader is not None and not self.frozen:
                os.kill(leader, POWEROFF)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(ORDERLY_S)
            self.cut()

    @property
    def frozen(self) -> bool:
        return frozen(self.places.cgroup)

    def freeze(self, still: bool) -> None:
        """Stop every process where it is, or let them go on. On one that is off: nothing. Raises BackendError."""
        with self.lock:
            if not self.running or still == self.frozen:
                return
            # The kernel would answer for it: its interfaces are this machine's own.
            self.places.hush(still)
            freeze_cgroup(self.places.cgroup, still)

    def cut(self) -> None:
        """Power gone at this moment: every process of the host is killed at once, nothing is written any more. `wanted` stays as it was."""
        with self.lock:
            self._stopping = True
            process = self._process
            kill_cgroup(self.places.cgroup)
            if process is not None:
                process.wait(LIMIT_S)
            self._end()

    def reboot(self, hard: bool) -> None:
        with self.lock:
            if hard:
                self.cut()
            else:
                self.stop()
            self.start()

    def delete(self) -> None:
        """Power off hard and give the disk away. A host without power and disk: nothing."""
        with self.lock:
            self.wanted = False
            self.cut()
            if os.path.ismount(self.root):
                run(self._what, ["umount", str(self.root)])
            shutil.rmtree(self.places.folder, ignore_errors=True)

    # --- volumes

    def attach(self, volume: Volume) -> None:
        with self.lock:
            self.volumes[volume.volume_id] = volume
            leader = self.leader()
            if leader is not None:
                self._in_guest(leader, device_script(volume))

    def detach(self, volume_id: str) -> None:
        with self.lock:
            volume = self.volumes.pop(volume_id, None)
            leader = self.leader()
            if volume is not None and leader is not None:
                self._in_guest(leader, f"rm -f {volume.link} /dev/{volume.name}")

    def _in_guest(self, leader: int, script: str) -> None:
        run(self._what, ["nsenter", f"--target={leader}", "--mount", "--root", "--", "/bin/sh", "-ec", script])

    def _write_devices(self) -> None:
        """Devices of the next boot: systemd makes them before anything is mounted."""
        place = self.root / "etc/tmpfiles.d/lab-volumes.conf"
        place.parent.mkdir(exist_ok=True)
        lines = []
        for volume in self.volumes.values():
            number = volume.device.stat().st_rdev
            lines.append(f"b+ /dev/{volume.name} 0660 root disk - {os.major(number)}:{os.minor(number)}\n")
            lines.append(f"L+ {volume.link} - - - - /dev/{volume.name}\n")
        place.write_text("".join(lines))

    @property
    def _what(self) -> str:
        return f"server {self.spec.name}"


def device_script(volume: Volume, number: int | None = None) -> str:
    """Make a volume's node and link in a running guest."""
    device = volume.device.stat().st_rdev if number is None else number
    return (
        f"rm -f /dev/{volume.name}; mknod -m 0660 /dev/{volume.name} b {os.major(device)} {os.minor(device)}; chgrp disk /dev/{volume.name};"
        f" mkdir -p /dev/disk/by-id; ln -sfn /dev/{volume.name} {volume.link}"
    )


def frozen(cgroup: Path) -> bool:
    """Does no process in and below the group run? One that does not exist has none to freeze."""
    try:
        return "frozen 1" in (cgroup / "cgroup.events").read_text()
    except FileNotFoundError:
        return False


def freeze_cgroup(cgroup: Path, still: bool) -> None:
    """Returns when it is so. Raises BackendError when it does not come to be."""
    (cgroup / "cgroup.freeze").write_text("1" if still else "0")
    deadline = time.monotonic() + LIMIT_S
    while frozen(cgroup) != still:
        if time.monotonic() > deadline:
            raise BackendError(f"control group {cgroup}: not {'frozen' if still else 'thawed'} after {LIMIT_S:g} s")
        time.sleep(POLL_S)


def kill_cgroup(cgroup: Path) -> None:
    """Kill every process in and below the group and remove it. Raises BackendError when it cannot be emptied. No such group: nothing."""
    deadline = time.monotonic() + LIMIT_S
    while cgroup.exists():
        try:
            (cgroup / "cgroup.kill").write_text("1")
            if "populated 0" in (cgroup / "cgroup.events").read_text():
                with contextlib.suppress(OSError):  # one just emptied may be busy for a moment: the next round finds it
                    remove_groups(cgroup)
                continue
        except OSError as error:
            # Somebody else may remove it meanwhile: an open file of it says that there is no device.
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
        if time.monotonic() > deadline:
            raise BackendError(f"control group {cgroup}: still has processes {LIMIT_S:g} s after they were killed")
        time.sleep(POLL_S)


def nspawn_folders(machine: str) -> list[Path]:
    """What systemd-nspawn makes for machines of this name (a pattern) outside of their disks, and leaves when it is killed."""
    return sorted(NSPAWN.glob(f"*/{machine}"))


def release_nspawn(machine: str) -> None:
    """Remove that. systemd-nspawn refuses to start where a mount of an earlier run is left."""
    for folder in nspawn_folders(machine):
        for point in mounted_under(folder):
            run(f"mount {point}", ["umount", str(point)])
        shutil.rmtree(folder)


def remove_groups(cgroup: Path) -> None:
    """Remove an empty control group and those below it. Raises OSError while one is busy."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        Path(folder).rmdir()
