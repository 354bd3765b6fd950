"""Data directories: made new, copied from the peer, swapped in. Always beside the old one, which is renamed and kept, never deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from contract.errors import Failed, Refused, say

from ..frame.commands import CommandFailed, Done, run
from ..frame.files import make_folder, sync_folder, write_atomically
from .config import COPY, upstream
from .desired import Desired
from .layout import MARK, SLOT, PostgresLayout
from .server import alive
from .text import conninfo
from .versions import VERSIONS

COMPLETE = "dr.complete"  # in a finished copy that is not in its place yet; holds the epoch in which it was made
_SPACES = "tablespaces"
INITDB_S, COPY_S = 120.0, 12 * 3600.0


def initialise(desired: Desired, layout: PostgresLayout) -> None:
    """A new cluster with checksums and a locale that no library update changes; in its place only when it is whole."""
    _parent(layout)
    discard(layout)
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if VERSIONS[desired.version].builtin_locale else []
    )
    argv = [
        layout.program("initdb"),
        "-D",
        str(layout.fresh),
        "-U",
        "postgres",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        *locale,
        "--data-checksums",
    ]
    run([*argv, "--auth-local=peer", "--auth-host=reject", "--no-instructions"], limit_s=INITDB_S, user=layout.user)
    with layout.acting():
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            (layout.fresh / name).unlink(missing_ok=True)  # the ones outside count; these would only mislead
    leave(layout, layout.fresh / MARK, {"site": desired.envelope.site})
    move(layout, layout.fresh, layout.data)


def copy(desired: Desired, layout: PostgresLayout, tablespaces: Mapping[str, str]) -> None:
    """A base backup of the peer, verified against its manifest, marked as complete, ready to be a standby. Raises Failed.

    `tablespaces`: where the peer has them, by oid. Here they lie beside the data directory: where the peer has them, data of an earlier copy,
    which is kept, may lie.
    """
    _parent(layout)
    with layout.acting():
        _remove(_spaces(layout))
    # Without a password file of its own libpq would look into a home directory; the managed one is in place by now.
    target = upstream(desired, caller=COPY, papers=layout.papers)
    argv = [
        layout.program("pg_basebackup"),
        "-D",
        str(layout.fresh),
        "-d",
        conninfo(target),
        "-X",
        "stream",
        "-c",
        "fast",
        "-S",
        SLOT,
        *(
            f"--tablespace-mapping={_side(place)}={_side(str(_spaces(layout) / oid))}"
            for oid, place in tablespaces.items()
        ),
    ]
    try:
        run([*argv, "--manifest-checksums=SHA256", "--no-password"], limit_s=COPY_S, user=layout.user)
        run([layout.program("pg_verifybackup"), "-q", str(layout.fresh)], limit_s=COPY_S, user=layout.user)
    except CommandFailed as error:
        raise Failed(
            say(
                subject=f"copy of {desired.peer.name}",
                found=_why(error.done),
                wanted="a whole base backup",
                consequence="this site has no standby yet, the old data directory is untouched",
                remedy="run the same again, it starts the copy anew",
            )
        ) from None
    _settle_spaces(layout)
    drop(layout, layout.fresh / "recovery.signal")
    signal_standby(layout, layout.fresh)
    leave(layout, layout.fresh / COMPLETE, {"epoch": desired.envelope.role().epoch})


def swap(layout: PostgresLayout, source: Path | None = None) -> None:
    """The finished copy, or `source`, takes its place."""
    move(layout, source or layout.fresh, layout.data)
    with layout.acting():
        (layout.data / COMPLETE).unlink(missing_ok=True)
        if layout.data.stat().st_mode & 0o077:
            layout.data.chmod(0o700)


def set_aside(layout: PostgresLayout, name: str) -> None:
    """Rename the data directory, `main.<name>`, with a number when there is one already. Refused while a server uses it."""
    if alive(layout) is not None:
        raise Refused(
            f"data directory {layout.data}: found a running server on it, wanted none; it was left where it is; stop the server first"
        )
    target, number = layout.data.with_name(f"{layout.data.name}.{name}"), 1
    while target.exists():
        number += 1
        target = layout.data.with_name(f"{layout.data.name}.{name}.{number}")
    move(layout, layout.data, target)


def discard(layout: PostgresLayout) -> None:
    """Remove an unfinished copy: never started, so it holds nothing that is not elsewhere."""
    with layout.acting():
        for link in _links(layout.fresh):
            if link.readlink().parent.name.startswith(f"{layout.data.name}.{_SPACES}-"):
                _remove(link.readlink().parent)
        _remove(layout.fresh)
        _remove(_spaces(layout))


def _spaces(layout: PostgresLayout) -> Path:
    """Tablespaces of a copy in the making."""
    return layout.fresh.with_name(f"{layout.fresh.name}.{_SPACES}")


def _settle_spaces(layout: PostgresLayout) -> None:
    """Under a name that this copy keeps for as long as it is kept: a link in a data directory names a whole path."""
    source = _spaces(layout)
    if not source.exists():
        return
    target, number = layout.data.with_name(f"{layout.data.name}.{_SPACES}-1"), 1
    while target.exists():
        number += 1
        target = layout.data.with_name(f"{layout.data.name}.{_SPACES}-{number}")
    move(layout, source, target)
    with layout.acting():
        for link in _links(layout.fresh):
            link.unlink()
            link.symlink_to(target / link.name)
        sync_folder(layout.fresh / "pg_tblspc")


def _links(data: Path) -> list[Path]:
    return [path for path in (data / "pg_tblspc").glob("*") if path.is_symlink()]


def _side(path: str) -> str:
    """One side of a mapping."""
    return path.replace("=", "\\=")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _why(done: Done) -> str:
    """The error; what pg_basebackup tidies up after it comes last."""
    return next((line for line in reversed(done.err.splitlines()) if "error:" in line), done.reason).strip()


def signal_standby(layout: PostgresLayout, data: Path) -> None:
    """From its next start on the cluster is a standby."""
    leave(layout, data / "standby.signal", None)


def _parent(layout: PostgresLayout) -> None:
    make_folder(layout.data.parent, 0o755, owner=layout.user)


def leave(layout: PostgresLayout, path: Path, document: dict[str, object] | None) -> None:
    """A small file of the server's user, empty or a JSON document, that lasts through a power cut."""
    with layout.acting():
        write_atomically(path, b"" if document is None else json.dumps(document, sort_keys=True).encode())


def drop(layout: PostgresLayout, path: Path) -> None:
    """Remove a small file of the server's user, where there is one."""
    with layout.acting():
        path.unlink(missing_ok=True)


def move(layout: PostgresLayout, source: Path, target: Path) -> None:
    """Rename, and make it last."""
    with layout.acting():
        source.rename(target)
        sync_folder(target.parent)
