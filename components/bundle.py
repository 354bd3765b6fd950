"""What is uploaded to hosts, packed at the program's edge: the dr-host archive and the shop's release.

The same sources give the same bytes on every machine (fixed times, owners, modes and order; no caches), so an unchanged tree is an
unchanged asset and a run from another checkout uploads nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from components import application
from contract import artefact
from contract.dataclass import dataclass
from contract.errors import ConfigError, DrError, Fault, Refused
from contract.release import SUFFIX, Manifest
from contract.services.processes import Found, Process, processes, procfile

BUILD = ".build"
CONTRACT = "contract"  # the one package beside its own that either archive imports
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
_SKIPPED = frozenset({"__pycache__", ".git", ".bundle", "node_modules", "tmp", "log", "storage", ".pytest_cache"})
_SKIPPED_SUFFIXES = frozenset({".pyc", ".swp"})


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """One packed file."""

    path: str  # relative to the project, so that the state holds no path of one machine; empty: it lies in the buckets of releases
    digest: str  # hexadecimal digits of the contents' SHA-256: 32 are what nobody makes another file for, a release has all 64
    processes: tuple[Found, ...] | None = (
        None  # of a release; None of one that lies in the buckets, which nobody reads here
    )


def dr_host(root: Path) -> Bundle:
    """The hosts' software: `scripts/host` as the package `host`, started by `python3 dr-host.pyz <service> <verb>`."""
    return _zipapp(root, "dr-host", "host")


def _zipapp(root: Path, name: str, package: str) -> Bundle:
    """The package and the contract that all parts share, in one archive that runs on the system's Python alone."""
    source, packed = root / "scripts" / package, io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        _write(
            archive,
            "__main__.py",
            f"import runpy\n\nrunpy.run_module('{package}', run_name='__main__', alter_sys=True)\n".encode(),
        )
        for prefix, folder in ((package, source), (CONTRACT, root / CONTRACT)):
            for path in _files(folder):
                _write(archive, f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return _keep(root, name, ".pyz", packed.getvalue(), 32)


def dr_assets(root: Path) -> Bundle:
    """The copier: `scripts/assets` as the package `assets`, started by `python3 dr-assets.pyz <command>`."""
    return _zipapp(root, "dr-assets", "assets")


def release(root: Path, told: str, configured: Mapping[str, Process], most_mb: int) -> Bundle:
    """The shop's release, by `dr:shop.release`: the digest of one that lies in the buckets, a file of `drctl build`, or the application's folder.

    `configured`: `dr:app.processes`. Raises `ConfigError` when it is none of them, or its processes are none that a host could run.
    """
    if re.fullmatch(r"[0-9a-f]{64}", told):
        return Bundle(path="", digest=told)
    source, most = root / told, most_mb * 2**20
    try:
        if told.endswith(SUFFIX):
            runs = _runs(artefact.peek(source, most).procfile(), configured)
            return Bundle(path=told, digest=artefact.sha256(source), processes=runs)
        files = application.files(source)
        runs = _runs(procfile(source), configured)
        made = root / BUILD / f"release.{os.getpid()}"
        made.parent.mkdir(exist_ok=True)
        try:
            # Without revision and time: a commit that leaves the application alone brings nothing to hosts.
            if artefact.pack(Manifest(**vars(application.facts(files)), files={}), files, made).size > most:
                raise Refused(f"more than {most_mb} MB of files, which is dr:app.release_max_mb")
            digest = artefact.sha256(made)
            path = Path(BUILD) / f"shop-{digest[:12]}{SUFFIX}"
            made.replace(root / path)
        finally:
            made.unlink(missing_ok=True)
    except ConfigError:
        raise
    except OSError as error:
        raise _no_release(told, f"cannot be read or packed ({error.strerror})") from None
    except DrError as error:
        raise _no_release(told, str(error)) from None
    return Bundle(path=path.as_posix(), digest=digest, processes=runs)


def _runs(text: str | None, configured: Mapping[str, Process]) -> tuple[Found, ...]:
    """What it starts. `text`: of its Procfile. Raises ConfigError."""
    found, faults = processes(text or None, configured)
    if faults:
        raise ConfigError(faults)
    return tuple(found)


def _no_release(told: str, why: str) -> ConfigError:
    return ConfigError(
        [
            Fault(
                subject="dr:shop.release",
                found=f"{told!r}: {why}",
                wanted="the digest of a release, a file that `drctl build` made, or the folder of an application, with its Procfile",
                consequence="the hosts would get no shop to run",
                remedy="build it (docs/releases.md), or name it relative to the project",
            )
        ]
    )


def _files(source: Path) -> Iterator[Path]:
    """Every file worth shipping, in a fixed order."""
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            if Path(name).suffix not in _SKIPPED_SUFFIXES:
                yield Path(folder, name)


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def _keep(root: Path, name: str, suffix: str, content: bytes, digits: int) -> Bundle:
    """Writes the file once; its name says what is in it, so a file that is there is right. Two runs at once do not disturb each other."""
    digest = hashlib.sha256(content).hexdigest()[:digits]
    path = Path(BUILD) / f"{name}-{digest}{suffix}"
    target = root / path
    if not target.is_file() or target.read_bytes() != content:
        target.parent.mkdir(exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        partial.write_bytes(content)
        partial.replace(target)
    return Bundle(path=path.as_posix(), digest=digest)
