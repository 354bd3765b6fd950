"""Can this machine run the lab? Every question is asked, every fault is told, nothing is changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.namespace import LabError, Places, cgroup_mount

# Tool to Debian package: what the lab starts from its first minute to its last (building aside).
TOOLS = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "losetup": "util-linux",
    "mount": "util-linux",
    "sysctl": "procps",
    "systemd-nspawn": "systemd-container",
    "haproxy": "haproxy",
    "knotd": "knot",
    "unbound": "unbound",
    "ssh": "openssh-client",
    "debootstrap": "debootstrap",
}
FREE_GIB = 6
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def check(places: Places) -> None:
    """Raises LabError with exit code 2 and a line for each fault."""
    if os.geteuid() != 0:
        # The other answers would be wrong for somebody who may not look.
        raise LabError(
            f"user: found uid {os.geteuid()}, wanted root, because the lab makes namespaces and mounts; run the same with sudo",
            2,
        )
    found = [text for question in (_tools, _kernel, _control_groups, lambda: _space(places)) for text in question()]
    if found:
        raise LabError("\n".join(found), 2)


def _tools() -> list[str]:
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool, path=PATH) is None})
    if not missing:
        return []
    return [
        f"packages: {', '.join(missing)} not found, wanted for the lab's machines; run: apt-get install --no-install-recommends {' '.join(missing)}"
    ]


def _kernel() -> list[str]:
    faults = []
    systems = Path("/proc/filesystems").read_text().split()
    if "overlay" not in systems and shutil.which("modprobe", path=PATH) is None:
        faults.append(
            "kernel: no overlay file system, wanted for the hosts' disks; use a kernel that has it (CONFIG_OVERLAY_FS)"
        )
    if not Path("/dev/loop-control").exists():
        faults.append("kernel: no /dev/loop-control, wanted for volumes; load the loop module (modprobe loop)")
    return faults


def _control_groups() -> list[str]:
    try:
        mount = cgroup_mount()
    except LabError as error:
        return [str(error)]
    if not os.access(mount, os.W_OK):
        return [
            f"control groups: {mount} cannot be written, wanted a group for each host; run the lab outside of a container"
        ]
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    if release < (5, 14):
        return [
            f"kernel: found {os.uname().release}, wanted 5.14 or newer for cgroup.kill, without it hosts cannot lose their power"
        ]
    return []


def _space(places: Places) -> list[str]:
    folder = next(parent for parent in (places.disks, *places.disks.parents) if parent.exists())
    free = shutil.disk_usage(folder).free / 2**30
    if free >= FREE_GIB:
        return []
    return [
        f"disk: {free:.1f} GiB free at {folder}, wanted {FREE_GIB} for the hosts' disks, else their databases stop; make room"
    ]
