"""Redmine as Debian packages it, made a release of by `examples/redmine/make`: an application that nobody here wrote, for tests and rehearsals.

Its packages come from the archive that the guests' image is of; none of them is installed, in the image or on this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lab.machines import image
from lab.namespace import LabError
from lab.toolchain import cache

ROOT = Path(__file__).resolve().parents[2]
MAKER, GEM = ROOT / "examples/redmine", ROOT / "gems/shop_dr"
PACKAGES = ("redmine", "redmine-pgsql", "ruby-sidekiq")
LIMIT_S = 600.0
# The settings of an apt that knows the image's packages as installed, and keeps all that it writes in a folder of its own.
_APT = """
Dir::State::lists "{folder}/lists";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{root}/etc/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::preferences "/dev/null";
APT::Install-Recommends "false";
APT::Architecture "{architecture}";
Acquire::Languages "none";
Debug::NoLocking "true";
"""
# Runs the maker in the image's root, whose own folders it must not write to, in a mount namespace that goes with it.
_INSIDE = """
root=$1 packages=$2 out=$3 maker=$4 gem=$5
mount -t tmpfs none "$root/mnt"
mount -t tmpfs none "$root/tmp"
for name in packages out maker gem; do mkdir "$root/mnt/$name"; done
mount --bind "$packages" "$root/mnt/packages"
mount --bind "$out" "$root/mnt/out"
mount --bind "$maker" "$root/mnt/maker"
mount --bind "$gem" "$root/mnt/gem"
shift 5
exec chroot "$root" /mnt/maker/make /mnt/packages /mnt/out/redmine "$@"
"""


class RedmineError(LabError):
    """The release cannot be made. One line: which step, what it said."""


def release(*, gem: bool) -> Path:
    """The release's folder in the cache, made first when it is not there (half a minute and 30 MB of packages). Raises RedmineError, ImageError, CacheError.

    `gem`: with the gem shop_dr.
    """
    recipe = [image.recipe(), *PACKAGES, f"gem {gem}", *map(_told, sorted(MAKER.rglob("*")))]
    if gem:
        recipe += [_told(path) for path in sorted(GEM.rglob("*")) if "test" not in path.parts]
    return cache.build("redmine", "\n".join(recipe), lambda folder: _make(folder, gem)) / "redmine"


def packages() -> Path:
    """The folder of its packages' files, fetched first when it is not there."""
    return cache.build("redmine-packages", "\n".join([image.recipe(), *PACKAGES]), _fetch) / "debs"


def _told(path: Path) -> str:
    return f"{path.relative_to(ROOT)}\n{path.read_text() if path.is_file() else ''}"


def _fetch(folder: Path) -> None:
    root, work = image.ensure(), folder / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    architecture = _run(["chroot", str(root), "dpkg", "--print-architecture"], {}).strip()
    settings = work / "apt.conf"
    settings.write_text(_APT.format(folder=work, root=root, architecture=architecture))
    for words in (["update"], ["-y", "--download-only", "install", *PACKAGES]):
        _run(["apt-get", "-q", *words], {**os.environ, "APT_CONFIG": str(settings)})
    (folder / "debs").mkdir()
    for path in (work / "cache/archives").glob("*.deb"):
        path.rename(folder / "debs" / path.name)
    shutil.rmtree(work)


def _make(folder: Path, gem: bool) -> None:
    words = [str(image.ensure()), str(packages()), str(folder), str(MAKER), str(GEM), *(["/mnt/gem"] if gem else [])]
    told = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    _run(["unshare", "--mount", "--propagation", "private", "sh", "-ec", _INSIDE, "sh", *words], told)


def _run(argv: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        argv,
        env=environment or None,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RedmineError(f"redmine: {argv[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout
