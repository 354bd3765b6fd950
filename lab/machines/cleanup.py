"""Remove what a lab left on the machine: found by the lab's name, not by the memory of a daemon that may be dead."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.cloud.backend import BackendError
from lab.machines.hosts import kill_cgroup, nspawn_folders, release_nspawn, remove_groups
from lab.machines.shell import drop_netns, mounted_under, run
from lab.machines.volumes import loop_devices
from lab.namespace import NETNS, Places


def leftovers(places: Places) -> list[str]:
    """What there is of this lab, a line each; empty: nothing. Reads only."""
    found = [f"control group {places.cgroup}"] if places.cgroup.exists() else []
    found += [f"control group {group}" for group in _older_groups(places)]
    found += [f"mount {point}" for point in _mounts(places)]
    found += [f"loop device {device}" for device in _loops(places)]
    found += [f"network namespace {name}" for name in namespaces(places)]
    found += [f"folder {folder}" for folder in (places.disks, places.run) if folder.exists()]
    return found + [f"folder {folder}" for folder in nspawn_folders(f"{places.name}-*")]


def remove(places: Places, keep: tuple[str, ...] = ()) -> list[str]:
    """Remove all of it, processes first. May be repeated. `keep`: file names of the run folder that stay (logs to read).

    Returns what could not be removed, a line each, after everything else was tried.
    """
    troubles: list[str] = []

    def attempt(step: object, *arguments: object) -> None:
        try:
            step(*arguments)  # type: ignore[operator]
        except (BackendError, OSError) as error:
            troubles.append(str(error))

    attempt(kill_cgroup, places.cgroup)
    for group in _older_groups(places):
        attempt(remove_groups, group)
    for point in _mounts(places):
        attempt(run, f"mount {point}", ["umount", str(point)])
    for device in _loops(places):
        attempt(run, f"loop device {device}", ["losetup", "--detach", str(device)])
    for name in namespaces(places):
        attempt(drop_netns, f"network namespace {name}", name)
    attempt(release_nspawn, f"{places.name}-*")
    attempt(_remove_tree, places.disks)
    attempt(_empty, places.run, keep)
    return troubles


def namespaces(places: Places) -> list[str]:
    """The lab's own namespace last: bridges go when nothing is plugged into them."""
    if not NETNS.exists():
        return []
    names = sorted(entry.name for entry in NETNS.iterdir() if entry.name.startswith(f"{places.name}-"))
    return [*names, *([places.name] if places.netns.exists() else [])]


def _older_groups(places: Places) -> list[Path]:
    """Where both hierarchies are mounted, systemd-nspawn makes the same groups in systemd's old one."""
    rows = [line.partition(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    mounts = [Path(fields.split()[4]) for fields, _, after in rows if after.split()[0] == "cgroup"]
    return [mount / places.name for mount in mounts if (mount / places.name).exists()]


def _mounts(places: Places) -> list[Path]:
    return [*mounted_under(places.disks), *mounted_under(places.run)]


def _loops(places: Places) -> list[Path]:
    return loop_devices(places.disks / "volumes")


def _remove_tree(folder: Path) -> None:
    if mounted_under(folder):
        raise BackendError(
            f"folder {folder}: something is still mounted in it, so it stays; unmount it and run `lab down` again"
        )
    if folder.exists():
        shutil.rmtree(folder)


def _empty(folder: Path, keep: tuple[str, ...]) -> None:
    if not folder.exists():
        return
    for entry in folder.iterdir():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            _remove_tree(entry)
        else:
            entry.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
