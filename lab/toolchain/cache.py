"""Content-addressed cache of what takes minutes to make: tools built from source, the guests' image.

An entry is a folder `<cache>/<name>-<first 16 hex digits of sha256(recipe)>`. It is made beside its place and renamed into it, so
whatever has an entry's name is complete. The cache may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class CacheError(Exception):
    """The cache cannot hold what was asked for. One line, for the operator."""


def home() -> Path:
    """The cache's folder: `$XDG_CACHE_HOME/shop-dr`, or `~/.cache/shop-dr`. It need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # A relative XDG_CACHE_HOME is invalid by the specification, and would mean another cache in every working directory.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "shop-dr"


def entry(name: str, recipe: str) -> Path:
    """Where `build(name, recipe, ...)` puts its result, whether or not it is there."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"cache entry {name!r}: a name has lower-case letters, digits, '.', '_' and '-' only")
    return home() / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"


def build(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of this recipe, made by `make(folder)` unless it is there already.

    `recipe` names all that the result depends on: versions, sources, options. `make` gets an existing, empty folder to fill; it must
    not remember that path, which is renamed afterwards. One process builds an entry at a time, others wait for it and use its result.
    What an interrupted or failed build left is removed by the next one. Raises CacheError for a cache that cannot be written; errors of
    `make` pass through, but for a full disk, which becomes a CacheError.
    """
    place = entry(name, recipe)
    if place.is_dir():
        return place
    scratch = place.with_name(f".{place.name}.part")
    with _operator_errors(place), _locked(place):
        if place.is_dir():  # somebody else finished it while we waited
            return place
        _remove(scratch)
        scratch.mkdir()
        make(scratch)
        # The rename may reach the disk before the files do: after a power cut the entry would look complete and be empty.
        os.sync()
        scratch.rename(place)
    return place


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold the entry's lock. The kernel lets go of it when the holder dies, however that happens."""
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(place.with_name(f".{place.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove(scratch: Path) -> None:
    """Remove what a broken build left, unless a file system is still mounted in it: deleting would go through to the mounted one."""
    if not scratch.exists():
        return
    inside = f"{scratch}/"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point == str(scratch) or point.startswith(inside):
            raise CacheError(
                f"cache: {scratch} was left by an interrupted build and {point} is still mounted in it; unmount it and try again"
            )
    shutil.rmtree(scratch)


@contextlib.contextmanager
def _operator_errors(place: Path) -> Iterator[None]:
    """Turn an OSError about the cache itself into one line with the remedy."""
    try:
        yield
    except OSError as error:
        named = str(error.filename or "")
        if error.errno is None or not (named.startswith(str(place.parent)) or "No space" in str(error)):
            raise
        free = shutil.disk_usage(_existing(place)).free // 2**20
        raise CacheError(
            f"cache: cannot make {place}: {error.strerror} ({named or 'no file named'}, {free} MiB free);"
            " make room or set XDG_CACHE_HOME to a folder that can be written"
        ) from error


def _existing(path: Path) -> Path:
    """The nearest parent that exists."""
    return next(parent for parent in path.parents if parent.exists())
