"""What is uploaded to hosts, packed at the program's edge: the dr-host archive and the shop's release.

The same sources give the same bytes on every machine (fixed times, owners, modes and order; no caches), so an unchanged tree is an
unchanged asset and a run from another checkout uploads nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.errors import ConfigError, Fault
from contract.services.processes import Process, processes, procfile

BUILD = ".build"
CONTRACT = "contract"  # the one package beside its own that either archive imports
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
_SKIPPED = frozenset({"__pycache__", ".git", ".bundle", "node_modules", "tmp", "log", "storage", ".pytest_cache"})
_SKIPPED_SUFFIXES = frozenset({".pyc", ".swp"})


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """One packed file."""

    path: str  # relative to the project, so that the state holds no path of one machine
    digest: str  # hexadecimal digits of the contents' SHA-256: 12 tell releases apart, 32 are what nobody makes another file for


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


def release(root: Path, folder: str, configured: Mapping[str, Process]) -> Bundle:
    """The shop's release as a gzipped tar. Raises `ConfigError` when the folder holds no application whose processes a host could run."""
    source = root / folder
    if not source.is_dir():
        fault = Fault(
            subject="dr:shop.release",
            found=f"{folder!r}, no folder",
            wanted="the folder of an application, with its Procfile",
            consequence="the hosts would get no shop to run",
            remedy="name the folder that holds the release, relative to the project",
        )
        raise ConfigError([fault])
    _, faults = processes(procfile(source), configured)
    if faults:
        raise ConfigError(faults)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path in _files(source):
            archive.add(path, arcname=path.relative_to(source).as_posix(), recursive=False, filter=_plain)
    return _keep(root, "shop", ".tar.gz", packed.getvalue())


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


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


def _keep(root: Path, name: str, suffix: str, content: bytes, digits: int = 12) -> Bundle:
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
