"""A restore from a copy in another account: its place, and a configuration that is there only while something is fetched, for it holds a key that is
nobody's here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from contract.errors import Refused, say

from ..frame.files import ManagedFile, make_folder
from .desired import Memory
from .layout import OUTSIDE, ArchiveLayout
from .order import Outside


@contextmanager
def reaching(it: Outside | None, memory: Memory, layout: ArchiveLayout) -> Iterator[None]:
    """While the block runs pgBackRest finds the copy under the name OUTSIDE; nothing for None. Raises Refused."""
    if it is None:
        yield
        return
    own = layout.config(memory.site)
    if not own.is_file():
        raise Refused(
            say(
                subject=f"file {own}",
                found="none",
                wanted="the configuration of this host's own repository, whose passphrase the copy shares",
                consequence="nothing was restored",
                remedy="run `pulumi up` for this site, with the passphrase of the archive that was copied",
            )
        )
    group = layout.user if layout.user == "postgres" else None
    text = outside(own.read_text(), it, layout)
    files = [ManagedFile(path=layout.config(OUTSIDE), content=text, mode=0o640, group=group)]
    if it.ca is not None:
        files.append(ManagedFile(path=layout.outside_ca, content=it.ca))
    for folder in (layout.spool(OUTSIDE), layout.locks(OUTSIDE), layout.logs / OUTSIDE):
        make_folder(folder, 0o750, layout.user)
    try:
        for file in files:
            file.write()
        yield
    finally:
        for file in files:
            file.path.unlink(missing_ok=True)


def outside(own: str, it: Outside, layout: ArchiveLayout) -> str:
    """The configuration of a copy elsewhere, made of that of an own repository (`own`), whose passphrase and manners it shares."""
    host, _, port = it.endpoint.removeprefix("https://").rstrip("/").partition(":")
    of_it = {
        "repo1-s3-bucket": it.bucket,
        "repo1-s3-endpoint": host,
        "repo1-storage-port": port or None,
        "repo1-s3-region": it.region,
        "repo1-s3-key": it.access_key,
        "repo1-s3-key-secret": it.secret_key,
        "repo1-storage-ca-file": str(layout.outside_ca) if it.ca is not None else None,
        "spool-path": str(layout.spool(OUTSIDE)),
        "lock-path": str(layout.locks(OUTSIDE)),
        "log-path": str(layout.logs / OUTSIDE),
    }
    kept = [line for line in own.splitlines() if line.partition("=")[0] not in of_it]
    return "\n".join([*kept, *(f"{name}={value}" for name, value in of_it.items() if value is not None)]) + "\n"
