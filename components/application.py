"""A Rails application in a folder: which of its files belong into a release, what may never be in one, and what they say of themselves.

It runs nothing of the application. `bundle.release` takes the folder as it is; `drctl build` brings its gems and assets first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract import release
from contract.errors import Refused
from contract.plain import phrase, shown
from contract.release import MOST_FILES, WRITTEN_AT_WORK, Facts
from contract.services.processes import PROCFILE, processes

VENDORED = "vendor/"  # others' code: it has test keys and files with dots, and they belong to it
GEMS, LOCK = "vendor/bundle", "Gemfile.lock"
_MOST_TEXT = 4 * 2**20  # bytes that are read of a file that says something of the application
_NOWHERE = frozenset({".git", ".hg", ".svn", "__pycache__", ".pytest_cache", "node_modules"})
_NOT_AT_TOP = frozenset({*WRITTEN_AT_WORK, "storage", "coverage"})
_SUFFIXES = frozenset({".pyc", ".swp"})
_KEPT = frozenset({".ruby-version"})  # of what begins with a dot at the top
_SECRET = re.compile(
    r"(.*/)?(id_(rsa|dsa|ecdsa|ed25519)|\.netrc|\.pgpass|[^/]+\.(p12|pfx|jks|keystore))|config/(master|.*/[^/]+|[^/]+)\.key"
)
_PRIVATE = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----")
_WITHIN = 4096  # bytes of a file in which a private key would begin
_RUBY = re.compile(r"(?:ruby-)?([1-9][0-9]?\.[0-9]{1,2}(?:\.[0-9]{1,2})?)")


def files(folder: Path) -> dict[str, Path]:
    """What belongs into the release, by its name there. Raises Refused for what can be in none."""
    if not folder.is_dir():
        raise _refused("no folder", "that of an application", "name it")
    found, secrets = dict[str, Path](), list[str]()
    for name, path in _walk(folder):
        target = _plain(folder, name, path)
        if _hides(name, target):
            secrets.append(name)
        found[name] = target
        if len(found) > MOST_FILES:
            raise _refused(f"more than {MOST_FILES} files", "no more than that", "see what else lies there")
    if secrets:
        raise _refused(
            f"secrets ({', '.join(map(shown, secrets[:4]))}{' and more' if len(secrets) > 4 else ''})",
            "none in a file that is copied to buckets and hosts",
            "take them out of the folder, or build from a fresh checkout; what the shop needs of them goes into dr:secrets",
        )
    return found


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    def broken(error: OSError) -> None:
        raise _unreadable(Path(error.filename or folder), error)

    for at, folders, names in os.walk(folder, onerror=broken):
        here = Path(at).relative_to(folder).as_posix()
        prefix = "" if here == "." else f"{here}/"
        links = [it for it in folders if Path(at, it).is_symlink()]  # of folders; those of files are among the names
        folders[:] = sorted(it for it in folders if _belongs(prefix, it) and it not in links)
        for name in sorted([*names, *links]):
            if _belongs(prefix, name):
                yield f"{prefix}{name}", Path(at, name)


def _belongs(prefix: str, name: str) -> bool:
    if name in _NOWHERE and not (name == "node_modules" and prefix.startswith(VENDORED)):
        return False
    if not prefix:
        return name not in _NOT_AT_TOP and (not name.startswith(".") or name in _KEPT) and _named(name)
    return prefix.startswith(VENDORED) or (not name.startswith(".env") and _named(name))


def _named(name: str) -> bool:
    return Path(name).suffix not in _SUFFIXES


def _plain(folder: Path, name: str, path: Path) -> Path:
    """The file that is meant: itself, or what a link within the folder leads to."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _unreadable(path, error) from None
    if not target.is_relative_to(folder.resolve()):
        raise _refused(
            f"{shown(name)}, a link that leads out of it",
            "what is meant in the folder itself",
            "put the file there, or remove the link",
        )
    if not target.is_file() or not release.is_path(name):
        raise _refused(
            f"{shown(name)}, which is no plain file with a plain name",
            "files, and links to files within the folder",
            "remove it, or rename it",
        )
    return target


def _hides(name: str, path: Path) -> bool:
    if _SECRET.fullmatch(name) and not name.startswith(VENDORED):
        return True
    try:
        with path.open("rb") as stream:
            return not name.startswith(VENDORED) and _PRIVATE.search(stream.read(_WITHIN)) is not None
    except OSError as error:
        raise _unreadable(path, error) from None


def facts(found: Mapping[str, Path]) -> Facts:
    """What the files say of the application; nothing of the build. Raises Refused."""
    lock = _text(found, LOCK)
    gems = dict(re.findall(r"^ {4}([A-Za-z0-9][\w.-]*) \(([A-Za-z0-9][\w.+-]*)\)$", lock, re.MULTILINE))
    return Facts(
        ruby=_ruby(found, lock),
        rails=gems.get("rails") or gems.get("railties"),
        gems=gems,
        schema=_schema(found),
        processes={it.name: phrase(it.command) for it in processes(_text(found, PROCFILE), {})[0]},
    )


def _ruby(found: Mapping[str, Path], lock: str) -> str | None:
    told = (
        _RUBY.match(_text(found, ".ruby-version").strip()),
        re.search(rf"^RUBY VERSION\n\s+ruby {_RUBY.pattern}", lock, re.MULTILINE),
        re.search(rf"^\s*ruby\s+[\"'](?:~>\s*)?{_RUBY.pattern}", _text(found, "Gemfile"), re.MULTILINE),
    )
    return next((it[1] for it in told if it), None)


def _schema(found: Mapping[str, Path]) -> str | None:
    told = re.search(r"Schema(?:\[[\d.]+\])?\.define\(version: ([\d_]{1,30})\)", _text(found, "db/schema.rb"))
    if told:
        return told[1].replace("_", "")
    numbers = [
        it[1] for name in found if (it := re.fullmatch(r"db/migrate/(?:[^/]+/)*(\d{1,30})_\w*(?:\.\w*)?\.rb", name))
    ]
    return max(numbers, key=int, default=None)


def _text(found: Mapping[str, Path], name: str) -> str:
    if name not in found:
        return ""
    try:
        with found[name].open("rb") as stream:
            return stream.read(_MOST_TEXT).decode(errors="replace")
    except OSError as error:
        raise _unreadable(found[name], error) from None


def _unreadable(path: Path, error: Exception) -> Refused:
    why = getattr(error, "strerror", None) or "leads nowhere"
    return _refused(f"{shown(path.name)}, which cannot be read ({why})", "files that can be", "see who owns it")


def _refused(found: str, wanted: str, remedy: str) -> Refused:
    return Refused(f"application: found {found}, wanted {wanted}; no release was made; {remedy}")
