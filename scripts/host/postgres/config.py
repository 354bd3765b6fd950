"""PostgreSQL's managed files, whole, outside the data directory. The same on a primary and on a standby: only `standby.signal` differs,
so a promotion rewrites nothing. Pure, but for the size of the disk.

`floors`: values of `text.LIMITS` below which a standby may not go, because its primary has them: it holds them until it has replayed
that the primary was lowered. For a primary: empty.
"""

from __future__ import annotations

from collections.abc import Mapping

from contract.services.postgres import CONNECTIONS, PAIRS, REPLICATION_ROLE, Logins

from ..frame.files import ManagedFile
from ..frame.systemd import drop_in, guard_drop_in
from . import roles, session
from .archiving import postgres_settings
from .desired import Desired
from .layout import SLOT, Papers, PostgresLayout
from .text import conninfo, hba_word, passfile_line, setting
from .versions import VERSIONS

_HEAD = "# Written by dr-host; changes are overwritten.\n"
_CONNECT_S = "5"
_LIMITS = {  # PostgreSQL's own defaults, but for the last
    "max_connections": str(CONNECTIONS),
    "max_worker_processes": "8",
    "max_prepared_transactions": "0",
    "max_locks_per_transaction": "64",
    "max_wal_senders": "10",
}
# A standby keeps the primary's logical slots, and no subscriber gets ahead of the standby (a standby itself ignores the last one).
_KEPT_SLOTS = {"sync_replication_slots": "on", "hot_standby_feedback": "on", "synchronized_standby_slots": SLOT}
_REWIND_MB, _SEGMENTS_MB = 1024, 64
_DEAD_LINK_MS = 10_000  # a peer that says nothing for so long is gone


STANDBY, COPY, REWIND, ASK = (
    "dr_",
    "dr-copy_",
    "dr-rewind_",
    "dr-host_",
)  # who is calling; commits wait for a standby alone


def upstream(desired: Desired, *, caller: str, papers: Papers, database: str | None = None) -> dict[str, str]:
    """How this host reaches the peer's database. Password and key are in files, never here.

    `caller`: what of this host it is, for the name under which the peer sees it. Only the standby itself goes by the name for which a
    synchronous primary waits: it would acknowledge orders that nobody but an unfinished copy has.
    """
    values = {
        "host": desired.peer.name,
        "hostaddr": desired.peer.vrack,
        "port": str(desired.peer_port),
        "user": REPLICATION_ROLE,
        "passfile": str(papers.passfile),
        "sslmode": "verify-full",
        "sslrootcert": str(papers.ca),
        "sslcert": str(papers.cert),
        "sslkey": str(papers.key),
        "gssencmode": "disable",
        "application_name": f"{caller}{desired.envelope.site}",
        "connect_timeout": _CONNECT_S,
        "keepalives_idle": "5",
        "keepalives_interval": "3",
        "keepalives_count": "3",
        "tcp_user_timeout": str(_DEAD_LINK_MS),
        **({} if caller == STANDBY else {"options": session.options(desired.version)}),
    }
    return {**values, "dbname": database} if database else values


def settings(desired: Desired, layout: PostgresLayout, floors: Mapping[str, int] | None = None) -> dict[str, str]:
    """`conf.d/dr.conf`, unquoted."""
    chosen = _chosen(desired, layout)
    own = limits(desired)
    return {**chosen, **{name: str(floor) for name, floor in (floors or {}).items() if floor > own.get(name, floor)}}


def limits(desired: Desired) -> dict[str, int]:
    """What the configuration asks for of the parameters that a standby may not have less of than its primary."""
    asked = {**_LIMITS, **{name: value for name, value in desired.parameters.items() if name in _LIMITS}}
    return {name: int(value) for name, value in asked.items() if value.strip().isdecimal()}


def keep_size(desired: Desired, layout: PostgresLayout) -> str:
    """`max_slot_wal_keep_size`: as asked for, else two fifths of the data disk."""
    return desired.max_slot_wal_keep_size or f"{max(layout.disk() * 2 // 5 >> 20, _SEGMENTS_MB)}MB"


def _megabytes(size: str) -> int:
    """Of a size as PostgreSQL writes it."""
    units = {"kB": 1 / 1024, "MB": 1, "GB": 1024, "TB": 1 << 20}
    return int(int(size[:-2]) * units[size[-2:]])


def _chosen(desired: Desired, layout: PostgresLayout) -> dict[str, str]:
    keep = keep_size(desired, layout)
    database = "postgres" if desired.logical else None  # the worker that copies logical slots reads them there
    tls = layout.tls
    listen = dict.fromkeys((layout.local, desired.own.vrack))
    return {
        "cluster_name": f"dr_{desired.envelope.site}",
        "listen_addresses": ",".join(listen),
        "port": str(desired.port),
        "unix_socket_directories": str(layout.sockets),
        "ssl": "on",
        "ssl_cert_file": str(tls / "server.crt"),
        "ssl_key_file": str(tls / "server.key"),
        "ssl_ca_file": str(tls / "clients.pem"),
        "ssl_min_protocol_version": "TLSv1.2",
        "password_encryption": "scram-sha-256",
        "wal_level": "logical" if desired.logical else "replica",
        "hot_standby": "on",
        "wal_log_hints": "on",
        "full_page_writes": "on",
        "fsync": "on",
        "max_wal_senders": _LIMITS["max_wal_senders"],
        "max_replication_slots": "10",
        "max_slot_wal_keep_size": keep,
        # A rewind needs the WAL back to the last checkpoint before the fork, which no slot keeps.
        "wal_keep_size": f"{min(_REWIND_MB, _megabytes(keep))}MB",
        "synchronous_standby_names": "",
        "primary_conninfo": conninfo(upstream(desired, caller=STANDBY, papers=layout.papers, database=database)),
        "primary_slot_name": SLOT,
        "recovery_target_timeline": "latest",
        "recovery_min_apply_delay": "0",
        # Who reads here holds up neither what comes nor, at a take-over, what only the archives have.
        "max_standby_streaming_delay": "5s",
        "max_standby_archive_delay": "5s",
        "wal_receiver_timeout": "10s",
        "wal_sender_timeout": "10s",
        "wal_receiver_status_interval": "1s",
        "wal_retrieve_retry_interval": "1s",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "3",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": str(_DEAD_LINK_MS),
        "log_line_prefix": "%m [%p] %q%u@%d/%a ",
        "log_checkpoints": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        **(postgres_settings(layout) if desired.archive else {}),
        **({"shared_preload_libraries": ",".join(desired.preload)} if desired.preload else {}),
        # A standby that is away keeps its slot; how much WAL it may hold is `max_slot_wal_keep_size`.
        **({"idle_replication_slot_timeout": "0"} if VERSIONS[desired.version].idle_slots_expire else {}),
        **(_KEPT_SLOTS if desired.logical else {}),
        **desired.parameters,
    }


def managed_files(
    desired: Desired, layout: PostgresLayout, floors: Mapping[str, int] | None = None
) -> list[ManagedFile]:
    """Every file, in the order in which they are written. Unit files are among them."""

    def own(name: str, content: str, mode: int = 0o640) -> ManagedFile:
        return ManagedFile(path=layout.conf / name, content=content, mode=mode, owner=layout.user)

    tls, client = desired.envelope.tls, desired.tls
    secret = passfile_line(desired.peer.name, desired.peer_port, REPLICATION_ROLE, desired.passwords.replication)
    lines = (f"{name} = {setting(value)}\n" for name, value in settings(desired, layout, floors).items())
    return [
        own("postgresql.conf", _main(layout)),
        own("conf.d/dr.conf", _HEAD + "".join(lines)),
        own("pg_hba.conf", hba(desired)),
        own("pg_ident.conf", _HEAD + f"dr {layout.user} postgres\n"),
        own("start.conf", f"{_HEAD}manual\n", 0o644),
        own("pg_ctl.conf", f"{_HEAD}pg_ctl_options = ''\n", 0o644),
        own("environment", _HEAD, 0o644),
        own("tls/ca.pem", tls.ca, 0o600),
        own("tls/server.crt", tls.cert, 0o600),
        own("tls/server.key", tls.key, 0o600),
        own("tls/clients.pem", client.ca, 0o600),
        own("tls/client.crt", client.cert, 0o600),
        own("tls/client.key", client.key, 0o600),
        own(layout.passfile.name, secret, 0o600),
        ManagedFile(path=layout.memory, content=desired.memory.text(), mode=0o600),
        guard_drop_in(layout.base, layout.unit, "postgres"),
        drop_in(layout.base, layout.unit, "dr-limits", _UNIT),
    ]


# A server that ended by itself (a full disk, the kernel short of memory) is started again, through its guard; Debian's unit leaves it down.
# What this software stops it also tells systemd, long before the first attempt.
_UNIT = """[Unit]
StartLimitIntervalSec=0
[Service]
TimeoutStartSec=600
TimeoutStopSec=120
Restart=on-failure
RestartSec=5
RestartSteps=4
RestartMaxDelaySec=30
"""


def _main(layout: PostgresLayout) -> str:
    values = {
        "data_directory": layout.data,
        "hba_file": layout.conf / "pg_hba.conf",
        "ident_file": layout.conf / "pg_ident.conf",
        "external_pid_file": layout.pid_file,
    }
    return (
        _HEAD
        + "".join(f"{name} = {setting(str(value))}\n" for name, value in values.items())
        + "include_dir = 'conf.d'\n"
    )


_APPS = frozenset(Logins.pair(number).app for number in PAIRS)
# A password that somebody has found out opens nothing, nor does a certificate of another role.
_PROVEN = "scram-sha-256 clientcert=verify-full"


def hba(desired: Desired) -> str:
    """Who may come in: the server's own user over the socket, the shop's app hosts, the peer's database host; nobody without TLS,
    and nobody without a certificate of the clients' CA that bears the name of the role.

    The shop of a standby site has its connections ready; its workers have no business here: one that could not be stopped finds no writer.
    """
    rules = ["local all postgres peer map=dr"]
    database, replication = hba_word(desired.database), hba_word(REPLICATION_ROLE)
    for role in roles.logins(desired):
        clients = desired.app_clients if role in _APPS else desired.worker_clients
        rules += [f"hostssl {database} {hba_word(role)} {client} {_PROVEN}" for client in clients]
    peer = f"{desired.peer.vrack}/32"
    # A role has one password, and no two hosts change at a moment. The key lies beside the password on the one host that may come.
    proven = "cert" if desired.passwords.replication_rotated else _PROVEN
    rules += [f"hostssl {name} {replication} {peer} {proven}" for name in ("replication", hba_word("postgres"))]
    return (
        _HEAD
        + "\n".join([*rules, "local all all reject", "host all all all reject", "host replication all all reject"])
        + "\n"
    )
