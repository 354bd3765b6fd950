"""The archive's managed files and command lines. Pure.

One configuration, queue and lock folder for each repository, never one with both: pgBackRest drops WAL for all its repositories when
the queue of one is full, and waits for all of them. Here each goes on alone (see `push`).
"""

from __future__ import annotations

from pathlib import Path

from ..frame.files import ManagedFile
from ..frame.systemd import sandbox, verified_line
from .desired import Desired
from .layout import ArchiveLayout
from .word import KEY, TOLD

TOOL = "/opt/dr/dr-host.pyz"
CHECK, DUE, FULL, INCREMENTAL = "dr-archive-check", "dr-archive-due", "dr-archive-full", "dr-archive-incremental"
EPOCH = "dr-archive-epoch"  # see `word`
IO_S, PUSH_S = 15, 10  # how long a repository may be silent, and how long the archiver waits for one segment
_WRITABLE = ("/var/lib/dr/archive", "/var/lib/dr/metrics/dr_archive", "/var/lib/postgresql", "/var/log/pgbackrest")
_HEAD = "# Written by dr-host; changes are overwritten.\n"


def managed_files(desired: Desired, layout: ArchiveLayout) -> list[ManagedFile]:
    """Every file that does not depend on the role, in the order in which they are written."""
    group = layout.user if layout.user == "postgres" else None
    files = [
        ManagedFile(path=layout.config(name), content=pgbackrest(desired, layout, name), mode=0o640, group=group)
        for name in desired.repositories
    ]
    if desired.ca is not None:
        files.append(ManagedFile(path=layout.ca, content=desired.ca))
    files.append(ManagedFile(path=layout.memory, content=desired.memory.text()))
    files.append(epoch_service(layout))
    files.append(_service(layout, CHECK, "Look after the WAL archive", "check", "{}"))
    files.append(_timer(layout, CHECK, "OnBootSec=60\nOnUnitActiveSec=60\nAccuracySec=5\n"))
    files.append(_service(layout, DUE, "Backup of PostgreSQL where one is due at once", "backup", '{"type": "due"}'))
    files.append(_path(layout, DUE, layout.due))
    for name, kind, when in ((FULL, "full", desired.full), (INCREMENTAL, "incr", desired.incremental)):
        files.append(
            _service(layout, name, f"Backup ({kind}) of PostgreSQL to both regions", "backup", f'{{"type": "{kind}"}}')
        )
        files.append(_timer(layout, name, f"OnCalendar={when}\nRandomizedDelaySec=300\nPersistent=true\n"))
    return files


def pgbackrest(desired: Desired, layout: ArchiveLayout, name: str) -> str:
    """Configuration of the repository `name`. The stanza, which is the cluster's identity, is said on each call."""
    repository = desired.repositories[name]
    host, _, port = desired.server(name).partition(":")
    values = {
        "repo1-type": "s3",
        "repo1-path": "/pgbackrest",
        "repo1-s3-bucket": repository.bucket,
        "repo1-s3-endpoint": host,
        **({"repo1-storage-port": port} if port else {}),
        "repo1-s3-region": repository.region,
        "repo1-s3-uri-style": "path",
        "repo1-s3-key": desired.keys.access_key,
        "repo1-s3-key-secret": desired.keys.secret_key,
        **({"repo1-storage-ca-file": str(layout.ca)} if desired.ca is not None else {}),
        "repo1-cipher-type": "aes-256-cbc",
        "repo1-cipher-pass": desired.passphrase,
        "repo1-bundle": "y",
        "repo1-retention-full": str(desired.retention_full),
        "expire-auto": "n",  # see `backup`
        "archive-async": "y",
        "archive-timeout": str(PUSH_S),
        "compress-type": "zst",
        "process-max": str(desired.process_max),
        "start-fast": "y",
        "io-timeout": str(IO_S),
        "protocol-timeout": "600",
        "db-timeout": "300",
        "spool-path": str(layout.spool(name)),
        "lock-path": str(layout.locks(name)),
        "log-path": str(layout.logs / name),
        "log-level-console": "off",
        "log-level-stderr": "warn",
        "log-level-file": "info",
    }
    return _HEAD + "[global]\n" + "".join(f"{key}={value}\n" for key, value in values.items())


def folders(desired: Desired, layout: ArchiveLayout) -> list[Path]:
    """Folders of PostgreSQL's user."""
    own = [layout.folder, layout.repair, layout.logs]
    return own + [
        make(name)
        for name in desired.repositories
        for make in (layout.spool, layout.locks, lambda name: layout.logs / name)
    ]


def _service(layout: ArchiveLayout, name: str, about: str, verb: str, document: str) -> ManagedFile:
    """A job of PostgreSQL's user: the queues are its own, and pgBackRest reads its data directory."""
    text = (
        f"{_HEAD}[Unit]\nDescription={about}\nAfter=network-online.target {EPOCH}.service\nWants={EPOCH}.service\n\n[Service]\nType=oneshot\n"
        f"User={layout.user}\nStandardInput=data\n"
        f"StandardInputText={document}\n{verified_line(TOOL)}ExecStart=/usr/bin/python3 {TOOL} archive {verb}\nNice=5\nIOSchedulingClass=best-effort\n"
        "IOSchedulingPriority=6\nTimeoutStartSec=24h\nUMask=0077\n" + sandbox(_WRITABLE)
    )
    return ManagedFile(path=layout.postgres.base.units / f"{name}.service", content=text)


def epoch_service(layout: ArchiveLayout) -> ManagedFile:
    """Asks the witness before each job, as nobody in particular: the key is handed to this process alone, and its answer is in a file of root's."""
    text = (
        f"{_HEAD}[Unit]\nDescription=Ask the witness which site is active, for jobs without its key\nAfter=network-online.target\n\n[Service]\n"
        f"Type=oneshot\nDynamicUser=yes\nLoadCredential={KEY}:/etc/dr/{KEY}\nStandardOutput=truncate:{TOLD}\nUMask=0022\n{verified_line(TOOL)}"
        f"ExecStart=/usr/bin/python3 {TOOL} archive ask\nTimeoutStartSec=30\nPrivateUsers=yes\n" + sandbox([])
    )
    return ManagedFile(path=layout.postgres.base.units / f"{EPOCH}.service", content=text)


def _path(layout: ArchiveLayout, name: str, looked_at: Path) -> ManagedFile:
    text = f"{_HEAD}[Unit]\nDescription=When {name}.service runs\n\n[Path]\nPathChanged={looked_at}\n\n[Install]\nWantedBy=paths.target\n"
    return ManagedFile(path=layout.postgres.base.units / f"{name}.path", content=text)


def _timer(layout: ArchiveLayout, name: str, when: str) -> ManagedFile:
    text = (
        f"{_HEAD}[Unit]\nDescription=When {name}.service runs\n\n[Timer]\n{when}\n[Install]\nWantedBy=timers.target\n"
    )
    return ManagedFile(path=layout.postgres.base.units / f"{name}.timer", content=text)
