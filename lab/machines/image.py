"""The guests' image: Debian 13 with everything a host of the shop needs, nothing of it running, made once and kept in the cache.

`python -m lab.machines.image` builds it and prints its folder. Hosts run on an overlay of it and never write to it.

It has no identity (machine-id, ssh host keys, database cluster): a host gets its own at its first boot. Services of the shop are installed
but not enabled, as nothing may start a database before the host's role is known. Not in it: a kernel; and the lab's own settings of a guest,
which are a layer of their own (`lab.machines.settings`), because they change more often than packages do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from contract import pipes
from lab.counting import Apt, Debootstrap, follow
from lab.progress import UNTOLD, Report, Task, work_through
from lab.supply import debs as supply
from lab.toolchain import cache

T = TypeVar("T")
FORMAT = 2  # raise it when the steps below change
SUITE = "trixie"
ROUGH_S = 90
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
BASE = ("ca-certificates", "dbus", "iproute2", "netbase", "systemd", "systemd-sysv")
PACKAGES = (
    # a cloud's guest
    "cloud-init", "openssh-server", "sudo", "nftables", "e2fsprogs", "iputils-ping", "procps", "curl", "ethtool", "logrotate", "unattended-upgrades",
    # database, cache, proxies
    "postgresql-17", "redis-server", "haproxy", "nginx-light", "pgbackrest",
    # the shop
    "ruby-rails", "puma", "ruby-pg", "ruby-redis", "ruby-aws-sdk-s3", "bundler",
    # its certificate
    "lego",
    # who watches, and where logs go
    "prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter", "prometheus-node-exporter", "systemd-journal-remote",
    # dr-host
    "python3-psycopg", "python3-boto3", "openssl", "rsync",
)  # fmt: skip
NOT_ENABLED = (
    "postgresql", "redis-server", "haproxy", "nginx", "puma", "nftables", "pgbackrest", "rsync",
    "prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter", "prometheus-node-exporter",
)  # fmt: skip
FILES = {
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
    "etc/postgresql-common/createcluster.conf": "create_main_cluster = false\nstart_conf = 'manual'\n",
    "etc/dpkg/dpkg.cfg.d/lab": "force-unsafe-io\npath-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n"
    "path-include /usr/share/doc/*/copyright\n",
    "etc/apt/apt.conf.d/99-lab": 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n',
}


class ImageError(Exception):
    """The image cannot be built. One line: which step, what it said, what to do."""


def recipe() -> str:
    """All that decides what is in the image."""
    parts = [f"format {FORMAT}", SUITE, *BASE, *PACKAGES, *NOT_ENABLED]
    return "\n".join([*parts, *(f"{path}\n{text}" for path, text in sorted(FILES.items()))])


def ensure() -> Path:
    """The image's root folder, built first when the cache has none (minutes). Raises ImageError, CacheError."""
    if not ready():
        print("building the guests' image: Debian 13, some minutes", file=sys.stderr, flush=True)
    return build(UNTOLD)


def build(report: Report) -> Path:
    """The same, telling how far it is, and at its end on stderr what the archive has of other versions than are listed."""
    told: list[str] = []
    found = cache.build("image", recipe(), lambda folder: told.append(_make(folder, report))) / "root"
    for sentence in filter(None, told):
        print(("\n" if sys.stderr.isatty() else "") + sentence, file=sys.stderr, flush=True)
    return found


def task() -> Task:
    return Task(name="guests' image", rough_s=ROUGH_S, there=ready, make=build)


def ready() -> bool:
    return cache.entry("image", recipe()).is_dir()


def root() -> Path:
    """Where its files are, once it is `ready`."""
    return cache.entry("image", recipe()) / "root"


def files() -> Path:
    """Where the packages' files stay."""
    return cache.home() / "debs"


def _make(folder: Path, report: Report) -> str:
    """Returns what is to be said of versions. Raises ImageError, before any of it is unpacked by apt, for a file that was replaced."""
    for tool in ("debootstrap", "unshare", "chroot"):
        if shutil.which(tool) is None:
            raise ImageError(
                f"image: {tool} not found, it is needed to build the guests' image; install it (apt-get install {tool})"
            )
    root, debs, log = folder / "root", files(), folder / "build.log"
    (debs / "partial").mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(BASE)}", f"--cache-dir={debs}"]
    if KEYRING.exists():
        command.append(f"--keyring={KEYRING}")
    _run("debootstrap", [*command, SUITE, str(root), *_mirror()], log, Debootstrap(report))
    _write(root, FILES)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    inside = 'mount --bind "$1" "$2/var/cache/apt/archives"; mount -t proc proc "$2/proc"; root=$2; shift 2; exec chroot "$root" "$@"'
    install = ["-q", "-y", "install", *PACKAGES]
    for name, arguments in (
        ("update", ["-q", "update"]),
        ("download", [*install, "--download-only"]),
        ("install", install),
    ):
        command = ["sh", "-ec", inside, "sh", str(debs), str(root), "apt-get", *arguments]
        _run(f"apt-get {name}", command, log, Apt(report))
        if name == "download":
            # Apt takes a file of before for what it fetched, by its size alone.
            _listed(lambda: supply.refuse_replaced(debs, supply.archive(root / "var/lib/apt/lists"), supply.listed()))
    report("what runs and what does not")
    _finish(root, log)
    return _listed(lambda: _moved(supply.installed(root, debs)))


def _moved(found: list[supply.Deb]) -> str:
    path = supply.of_image(found)
    return supply.moved(supply.read(path) if path.exists() else (), found)


def _listed(ask: Callable[[], T]) -> T:
    """Raises ImageError for what the list of packages says against the image."""
    try:
        return ask()
    except supply.DebError as error:
        raise ImageError(str(error)) from None


def _finish(root: Path, log: Path) -> None:
    """What runs and what does not, and no identity."""
    chroot = ["chroot", str(root)]
    there = [unit for unit in NOT_ENABLED if _has_unit(root, unit)]
    _run("disable services", [*chroot, "systemctl", "disable", *there], log)
    _run("enable services", [*chroot, "systemctl", "enable", "systemd-networkd.service", "ssh.service"], log)
    for pattern in (
        "etc/ssh/ssh_host_*",
        "etc/machine-id",
        "var/lib/dbus/machine-id",
        "var/log/*.log",
        "var/lib/apt/lists/*_*",
        "etc/hostname",
    ):
        for path in root.glob(pattern):
            path.unlink()
    (root / "usr/sbin/policy-rc.d").unlink()
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    # Empty, not "uninitialized": that would be a first boot, on which systemd enables every service by Debian's presets.
    (root / "etc/machine-id").write_text("")


def _has_unit(root: Path, unit: str) -> bool:
    return any(
        (root / place / f"{unit}.service").exists() for place in ("usr/lib/systemd/system", "etc/systemd/system")
    )


def _write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def _mirror() -> list[str]:
    """The mirror that this machine's apt uses, if it is one of Debian; none: debootstrap's own choice."""
    if shutil.which("apt-get") is None:
        return []
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return [line.split()[1] for line in found.stdout.splitlines() if line.startswith("Debian http")][:1]


def _run(what: str, command: list[str], log: Path, count: Callable[[str], object] | None = None) -> None:
    """One step, its lines kept in the log, in namespaces of its own: nothing stays mounted and nothing goes on when the build is killed."""
    wrapped = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", *command]
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    with log.open("a", buffering=1) as out:

        def each(line: str) -> None:
            out.write(line + "\n")
            if count is not None:
                count(line)

        code = follow(wrapped, each, env=environment)
    if code:
        kept = cache.home() / "image-failed.log"
        shutil.copyfile(log, kept)
        lines = [line for line in kept.read_text(errors="replace").splitlines() if line.strip()]
        last = next(
            (line for line in reversed(lines) if line.startswith(("E:", "W:", "dpkg:"))),
            lines[-1] if lines else "nothing",
        )
        raise ImageError(
            f"image: step {what!r} ended with status {code} ({last}), wanted 0, so there is no image; see {kept}"
        )


def main() -> int:
    try:
        work_through("image", [task()], sys.stderr, say_there=False)
        print(ensure())
    except (ImageError, cache.CacheError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(pipes.status(main))
