"""A release is built: the application's files, its gems below `vendor/bundle`, its compiled assets, a manifest over all of them.

Nothing is done in the application's own folder: gems and assets come into a copy below `.build`, always at the same place, so that what a compiler
writes of its folder is the same each time.
"""

from __future__ import annotations

import datetime
import fcntl
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path

from components import application
from components.application import GEMS, LOCK
from contract import artefact, release
from contract.dataclass import dataclass
from contract.errors import Failed, Refused
from contract.release import CARD_SUFFIX, SUFFIX, Card, Facts, Manifest
from contract.services.processes import Process, processes, procfile
from scripts.ctl.output import say
from scripts.ctl.releases import native
from scripts.ctl.releases.child import Child

BUILD_S = 1800.0  # for gems; for assets the same again
GIT_S = 20.0
CONFIG = ".bundle/config"
_CONFIG = '---\nBUNDLE_DEPLOYMENT: "true"\nBUNDLE_PATH: "vendor/bundle"\nBUNDLE_WITHOUT: "development:test"\n'
_CACHE = "vendor/cache"
# What a compilation leaves beside its result: logs with times, and what nobody needs.
_LEFT = frozenset({"mkmf.log", "gem_make.out", "Makefile"})
_PIPELINES = frozenset({"sprockets-rails", "propshaft", "vite_rails", "jsbundling-rails", "cssbundling-rails"})


@dataclass(frozen=True, kw_only=True)
class Order:
    """`folder`: of the application; `ruby`: what hosts have, X.Y; `processes`: as configured; `out`: where the artefact goes, None: below `place`, which is
    `.build` of the project."""

    folder: Path
    place: Path
    ruby: str
    most_mb: int
    processes: Mapping[str, Process] = field(default_factory=dict)
    out: Path | None = None
    assets: bool = True


@dataclass(frozen=True, kw_only=True)
class Built:
    """`seconds` by what they went into."""

    path: Path
    card: Card
    natives: int
    seconds: dict[str, float]


def build(order: Order) -> Built:
    """Raises Refused before anything was written, Failed with what a program said; then there is no artefact."""
    began = time.monotonic()
    files = application.files(order.folder)
    _, faults = processes(procfile(order.folder), order.processes)
    if faults:
        raise Refused(f"application: {faults[0]} No release was made.")
    told = application.facts(files)
    _same_ruby(
        told.ruby,
        order.ruby,
        "asks for Ruby",
        "have the shop ask for that one, or set dr:app.ruby and the hosts to its own",
    )
    revision, dirty = _git(order.folder)
    seconds = {"look": time.monotonic() - began}
    with _staging(order.place) as stage:
        built, natives = None, 0
        if "Gemfile" in files:
            built, natives = _gems(order, stage, files, told, seconds)
            files = _staged(stage)
        at = time.monotonic()
        told = replace(told, ruby_built=built, revision=revision, dirty=dirty)
        made = _pack(order, files, told)
        seconds["pack"] = time.monotonic() - at
    return Built(path=made[0], card=made[1], natives=natives, seconds=seconds)


def _gems(order: Order, stage: Path, files: dict[str, Path], told: Facts, seconds: dict[str, float]) -> tuple[str, int]:
    """Into the copy. Returns the Ruby that did it, and how many native extensions there are."""
    if LOCK not in files:
        raise Refused(
            f"application: found a Gemfile without {LOCK}, wanted both; no release was made: each build would bring other gems; run `bundle lock`"
        )
    child = Child(folder=stage, log=order.place / "release.log", limit_s=BUILD_S)
    child.log.write_bytes(b"")
    found = child.run("ruby", ["ruby", "-e", "print RUBY_VERSION"]).decode(errors="replace").strip()
    _same_ruby(
        found, order.ruby, "this machine has Ruby", "build where the hosts' Debian is: its gems would not load on hosts"
    )
    at = time.monotonic()
    for name, path in files.items():
        if not name.startswith(f"{GEMS}/"):
            target = stage / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (stage / ".bundle").mkdir(exist_ok=True)
    (stage / CONFIG).write_text(_CONFIG)
    say(f"gems: bundle install, {len(told.gems)} in {LOCK}")
    local = ["--local"] if (stage / _CACHE).is_dir() else []
    child.run("bundle install", ["bundle", "install", *local], {"BUNDLE_APP_CONFIG": str(stage / ".bundle")})
    (stage / CONFIG).write_text(_CONFIG)
    seconds["gems"] = time.monotonic() - at
    if order.assets and _PIPELINES & told.gems.keys() and (stage / "Rakefile").is_file():
        at = time.monotonic()
        say("assets: rake assets:precompile")
        environment = {"RAILS_ENV": "production", "SECRET_KEY_BASE_DUMMY": "1"}
        child.run("assets:precompile", ["bundle", "exec", "rake", "assets:precompile"], environment)
        seconds["assets"] = time.monotonic() - at
    at = time.monotonic()
    natives = native.check(child, (stage / GEMS).rglob("*.so"))
    seconds["extensions"] = time.monotonic() - at
    return found, natives


def _staged(stage: Path) -> dict[str, Path]:
    """What of the copy goes into the release."""
    shutil.rmtree(stage / _CACHE, ignore_errors=True)
    for each in (stage / GEMS).glob("ruby/*/cache"):
        shutil.rmtree(each)
    files = application.files(stage)
    kept = {name: path for name, path in files.items() if not (name.startswith(f"{GEMS}/") and _left(path))}
    return kept | {CONFIG: stage / CONFIG}


def _left(path: Path) -> bool:
    return path.name in _LEFT or path.suffix == ".o"


def _pack(order: Order, files: dict[str, Path], told: Facts) -> tuple[Path, Card]:
    target = order.out or order.place / f"{order.folder.resolve().name}{SUFFIX}"
    partial = target.with_name(f"{target.name}.partial")
    most = order.most_mb * 2**20
    try:
        unpacked = sum(path.stat().st_size for path in files.values())
        if unpacked > most:
            raise _too_large(unpacked, order.most_mb)
        target.parent.mkdir(parents=True, exist_ok=True)
        made = artefact.pack(Manifest(**vars(told), files={}), files, partial)
        digest = artefact.sha256(partial)
        card = Card(
            **vars(told),
            digest=digest,
            bytes=partial.stat().st_size,
            unpacked=made.size,
            count=len(made.files),
            built=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        if order.out is None:
            target = target.with_name(f"{order.folder.resolve().name}-{digest[:12]}{SUFFIX}")
        card_file(target).write_bytes(release.card_text(card))
        partial.replace(target)
    except OSError as error:
        raise Failed(
            f"artefact {target}: cannot be written or its files read ({error.strerror}: {error.filename}), wanted it whole; no release was made; see that path"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return target, card


def card_file(path: Path) -> Path:
    """Of an artefact."""
    return path.with_name(f"{path.name}{CARD_SUFFIX}")


def _too_large(size: int, most_mb: int) -> Refused:
    return Refused(
        f"application: found {size / 2**20:.0f} MB of files, wanted {most_mb} MB at most (dr:app.release_max_mb); no release was made; leave out what the shop "
        "does not need, or raise that key"
    )


def _same_ruby(found: str | None, wanted: str, what: str, remedy: str) -> None:
    if found is not None and found.split(".")[:2] != wanted.split(".")[:2]:
        raise Refused(
            f"application: {what} {found}, wanted {'.'.join(wanted.split('.')[:2])}, which hosts have (dr:app.ruby); no release was made; {remedy}"
        )


def _git(folder: Path) -> tuple[str | None, bool | None]:
    """The revision, and whether files of the folder differ from it; None where git does not say."""
    told = []
    for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", ".")):
        try:
            done = subprocess.run(
                ["git", *words], cwd=folder, capture_output=True, text=True, timeout=GIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None, None
        if done.returncode:
            return None, None
        told.append(done.stdout.strip())
    return told[0], bool(told[1])


@contextmanager
def _staging(place: Path) -> Iterator[Path]:
    """The copy's folder, empty, for one build at a time. Raises Refused."""
    stage = place / "release-stage"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "release-stage.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(
                f"folder {stage}: another build is at work there, wanted one at a time; no release was made; wait for it"
            ) from None
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
