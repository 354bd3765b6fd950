"""What is looked at: every panel of every board stands here once, for Grafana (`grafana.py`) and for `drctl dashboard`. Pure.

A panel's queries name metrics of the table alone. Both regions are on each board: what differs between them is what somebody wants to see.
"""

from __future__ import annotations

from enum import StrEnum

from ..dataclass import dataclass


class Unit(StrEnum):
    """In what a panel counts."""

    COUNT = "count"
    BYTES = "bytes"
    SECONDS = "seconds"
    RATIO = "ratio"  # 0 to 1, shown in percent
    PER_SECOND = "per second"
    FLAG = "yes or no"  # 1 or 0


@dataclass(frozen=True, kw_only=True)
class Query:
    """`legend`: what a series is called, with its labels as `{{host}}`."""

    expr: str
    legend: str = "{{host}}"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """`may_be_empty`: whether a healthy pair has nothing to show, and what that means; empty: there is always a series."""

    title: str
    about: str
    unit: Unit
    queries: tuple[Query, ...]
    may_be_empty: str = ""


@dataclass(frozen=True, kw_only=True)
class Board:
    """`key`: of files and addresses."""

    key: str
    title: str
    panels: tuple[Panel, ...]


# Where the epoch changes, the shop has moved: a line on each panel.
MOVES = Query(expr="max(dr_role_epoch)", legend="epoch")
_WRITES = "and on (host) dr_postgres_in_recovery == 0"
_DISKS = 'fstype!~"tmpfs|ramfs|squashfs|fuse.*|iso9660"'
_SITE, _CLOCK, _EVERY = "region {{site}}", "node_time_seconds", "2m"  # a counter's growth: over looks of 30 s


def _panel(title: str, about: str, unit: Unit, *queries: Query, may_be_empty: str = "") -> Panel:
    return Panel(title=title, about=about, unit=unit, queries=queries, may_be_empty=may_be_empty)


def _query(expr: str, legend: str = "{{host}}") -> Query:
    return Query(expr=expr, legend=legend)


def _growth(name: str) -> str:
    return f"rate({name}[{_EVERY}])"


OVERVIEW = Board(
    key="overview",
    title="Both regions",
    panels=(
        _panel(
            "The shop answers",
            "Under its public name, asked from each region.",
            Unit.FLAG,
            _query('probe_success{target="shop"}', "from region {{site}}"),
        ),
        _panel(
            "It answers within",
            "Of a whole question over TLS.",
            Unit.SECONDS,
            _query('probe_duration_seconds{target="shop"}', "from region {{site}}"),
        ),
        _panel(
            "Databases that take writes",
            "One, or none for the seconds of a move. Two are a fault.",
            Unit.COUNT,
            _query("count(dr_postgres_in_recovery == 0 and dr_postgres_up == 1) or vector(0)", "writers"),
        ),
        _panel(
            "Active region",
            "Whose database is told to lead.",
            Unit.FLAG,
            _query('max by (site) (dr_role{role="primary", kind="db"})', _SITE),
        ),
        _panel(
            "Would be lost now",
            "WAL that the standby has not, as the primary sees it.",
            Unit.BYTES,
            _query(f"dr_postgres_replication_lag_bytes {_WRITES}"),
        ),
        _panel(
            "Hosts that answer", "To either Prometheus.", Unit.COUNT, _query('sum by (site) (up{job="node"})', _SITE)
        ),
        _panel(
            "Alerts",
            "That somebody is told of now, by severity.",
            Unit.COUNT,
            _query('count by (severity) (ALERTS{alertstate="firing", severity!="none"})', "{{severity}}"),
            may_be_empty="nothing is wrong",
        ),
        _panel(
            "Lease left",
            "Until a primary that nobody hears stops by itself.",
            Unit.SECONDS,
            _query("dr_lease_left_seconds"),
        ),
        _panel("Epoch", "It grows by one with each move.", Unit.COUNT, _query("max by (site) (dr_role_epoch)", _SITE)),
    ),
)
REPLICATION = Board(
    key="replication",
    title="Replication",
    panels=(
        _panel(
            "Behind, in bytes",
            "WAL between primary and standby, as each host sees it.",
            Unit.BYTES,
            _query("dr_postgres_replication_lag_bytes"),
        ),
        _panel(
            "Behind, in seconds",
            "Of the primary: how long the standby takes to replay.",
            Unit.SECONDS,
            _query("dr_postgres_replication_lag_seconds"),
        ),
        _panel(
            "Streaming",
            "On a standby whether it receives, on a primary whether a standby is attached.",
            Unit.FLAG,
            _query("dr_postgres_streaming"),
        ),
        _panel(
            "WAL written",
            "By the primary.",
            Unit.BYTES,
            _query(_growth("dr_postgres_wal_bytes_total"), "{{host}}, per second"),
        ),
        _panel(
            "Until the slot may be lost",
            "WAL that may be written while the standby is away.",
            Unit.BYTES,
            _query("dr_postgres_slot_safe_bytes"),
            may_be_empty="the slot has no limit",
        ),
        _panel("Standby at its slot", "On the primary.", Unit.FLAG, _query("dr_postgres_slot_active")),
        _panel(
            "Replay stands still",
            "Nobody should have stopped it for long.",
            Unit.FLAG,
            _query("dr_postgres_replay_paused"),
        ),
        _panel(
            "Timeline", "Alike on both, and one more with each promotion.", Unit.COUNT, _query("dr_postgres_timeline")
        ),
    ),
)
DATABASE = Board(
    key="database",
    title="Database and archive",
    panels=(
        _panel(
            "Connections",
            "Of everybody, beside what the server lets in.",
            Unit.COUNT,
            _query("dr_postgres_connections"),
            _query("dr_postgres_max_connections", "{{host}}, most"),
        ),
        _panel(
            "Transactions",
            "Ended, of the shop's database.",
            Unit.PER_SECOND,
            _query(_growth("dr_postgres_commits_total"), "{{host}}, kept"),
            _query(_growth("dr_postgres_rollbacks_total"), "{{host}}, taken back"),
        ),
        _panel(
            "Read from memory",
            "Of the blocks that were asked for; low: the memory is too small for the data in use.",
            Unit.RATIO,
            _query(
                f"{_growth('dr_postgres_blocks_hit_total')} / ({_growth('dr_postgres_blocks_hit_total')} + {_growth('dr_postgres_blocks_read_total')} > 0)"
            ),
            may_be_empty="nothing is read",
        ),
        _panel(
            "Oldest transaction",
            "One that stays open holds up what others may clean.",
            Unit.SECONDS,
            _query("dr_postgres_oldest_transaction_seconds"),
        ),
        _panel(
            "Waits for a lock",
            "Sessions that another one holds up.",
            Unit.COUNT,
            _query("dr_postgres_waiting_sessions"),
        ),
        _panel("Size", "Of the shop's database.", Unit.BYTES, _query("dr_postgres_database_bytes")),
        _panel("Free on its disk", "Of the data's file system.", Unit.BYTES, _query("dr_postgres_disk_free_bytes")),
        _panel(
            "Segments that wait for the archive",
            "They stay on the server until a repository has them.",
            Unit.COUNT,
            _query("dr_archive_waiting_files"),
        ),
        _panel(
            "Last segment archived",
            "Ago, of the primary.",
            Unit.SECONDS,
            _query(f"dr_archive_last_age_seconds {_WRITES}"),
            may_be_empty="nothing was archived since its start",
        ),
        _panel(
            "Newest backup",
            "Ago, in each repository.",
            Unit.SECONDS,
            _query(
                "time() - max by (repository) (dr_archive_newest_backup_timestamp_seconds)", "in region {{repository}}"
            ),
        ),
    ),
)
CACHE = Board(
    key="cache",
    title="Cache",
    panels=(
        _panel("It leads", "One in the active region.", Unit.FLAG, _query('dr_redis_role{role="master"}')),
        _panel("Behind its master", "Of a replica.", Unit.BYTES, _query("dr_redis_lag_bytes")),
        _panel(
            "Memory",
            "In use, beside what it may use.",
            Unit.BYTES,
            _query("dr_redis_used_memory_bytes"),
            _query("dr_redis_max_memory_bytes > 0", "{{host}}, most"),
        ),
        _panel("Keys", "That it holds.", Unit.COUNT, _query("dr_redis_keys")),
        _panel("Commands", "Of everybody.", Unit.PER_SECOND, _query(_growth("dr_redis_commands_total"))),
        _panel(
            "Found",
            "Of the keys that were read.",
            Unit.RATIO,
            _query(
                f"{_growth('dr_redis_hits_total')} / ({_growth('dr_redis_hits_total')} + {_growth('dr_redis_misses_total')} > 0)"
            ),
            may_be_empty="nothing is read",
        ),
        _panel(
            "Pushed out", "Keys that had to go for others.", Unit.PER_SECOND, _query(_growth("dr_redis_evicted_total"))
        ),
        _panel("Clients", "Connected.", Unit.COUNT, _query("dr_redis_clients")),
    ),
)
APPLICATION = Board(
    key="application",
    title="Application",
    panels=(
        _panel("Puma takes requests", "On app hosts of both regions.", Unit.FLAG, _query("dr_app_healthy")),
        _panel("The worker runs", "In the active region alone.", Unit.FLAG, _query("dr_app_worker_up")),
        _panel("nginx runs", "Also in the standby, where it forwards.", Unit.FLAG, _query("dr_app_nginx_up")),
        _panel("Requests", "That nginx has taken.", Unit.PER_SECOND, _query(_growth("dr_nginx_requests_total"))),
        _panel("Connections", "That nginx has open.", Unit.COUNT, _query("dr_nginx_connections")),
        _panel(
            "Processor",
            "Busy, of app hosts.",
            Unit.RATIO,
            _query('1 - avg by (host, site) (rate(node_cpu_seconds_total{mode="idle", kind="app"}[2m]))'),
        ),
        _panel(
            "Memory left",
            "Of app hosts.",
            Unit.RATIO,
            _query('node_memory_MemAvailable_bytes{kind="app"} / node_memory_MemTotal_bytes'),
        ),
    ),
)
ENTRANCE = Board(
    key="entrance",
    title="Entrance",
    panels=(
        _panel(
            "Under its name",
            "As customers ask, from each region.",
            Unit.FLAG,
            _query('probe_success{target="shop"}', "from region {{site}}"),
        ),
        _panel(
            "Own entrance",
            "Each region's load balancer by its address.",
            Unit.FLAG,
            _query('probe_success{target="entrance"}', _SITE),
        ),
        _panel(
            "Time",
            "Of a whole question.",
            Unit.SECONDS,
            _query("probe_duration_seconds", "{{target}}, region {{site}}"),
        ),
        _panel(
            "Well answered in the last hour",
            "Of the questions under its name; the objective is 99.9 %.",
            Unit.RATIO,
            _query('avg by (target) (avg_over_time(probe_success{target="shop"}[1h]))', "{{target}}"),
        ),
        _panel(
            "Certificate ends in",
            "Of the one that customers are shown.",
            Unit.SECONDS,
            _query("min by (target) (probe_ssl_earliest_cert_expiry) - time()", "{{target}}"),
        ),
    ),
)
ASSETS = Board(
    key="assets",
    title="Assets",
    panels=(
        _panel(
            "Not in the other region yet",
            "Objects, as the standby's copier counts them.",
            Unit.COUNT,
            _query("dr_assets_unreplicated_objects"),
            may_be_empty="the copier has not run",
        ),
        _panel(
            "Oldest of them",
            "Since it was written.",
            Unit.SECONDS,
            _query("time() - dr_assets_oldest_unreplicated_timestamp_seconds"),
            may_be_empty="nothing is missing",
        ),
        _panel(
            "Last run",
            "Ago.",
            Unit.SECONDS,
            _query("time() - dr_assets_last_run_timestamp_seconds"),
            may_be_empty="the copier has not run",
        ),
        _panel(
            "Last run was well",
            "Of each region's copier.",
            Unit.FLAG,
            _query("dr_assets_last_run_success"),
            may_be_empty="the copier has not run",
        ),
    ),
)
HOSTS = Board(
    key="hosts",
    title="Hosts",
    panels=(
        _panel("Answers", "To Prometheus.", Unit.FLAG, _query('min by (host, site) (up{job="node"})')),
        _panel(
            "Processor",
            "Busy.",
            Unit.RATIO,
            _query('1 - avg by (host, site) (rate(node_cpu_seconds_total{mode="idle"}[2m]))'),
        ),
        _panel(
            "Memory left",
            "That programs may still have.",
            Unit.RATIO,
            _query("node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"),
        ),
        _panel(
            "Disk left",
            "Of the fullest file system of each host.",
            Unit.RATIO,
            _query(f"min by (host, site) (node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes)"),
        ),
        _panel("Failed units", "Of systemd.", Unit.COUNT, _query("dr_host_failed_units")),
        _panel("Wants a reboot", "For an update.", Unit.FLAG, _query("dr_host_reboot_due")),
        _panel("Clock off", "Of the watcher's.", Unit.SECONDS, _query(f"{_CLOCK} - timestamp({_CLOCK})")),
        _panel(
            "Certificate ends in",
            "By which the others know it.",
            Unit.SECONDS,
            _query("dr_host_certificate_expiry_timestamp_seconds - time()"),
        ),
        _panel(
            "Age of its figures",
            "Some 30 s; old ones say that its timer stands still.",
            Unit.SECONDS,
            _query("time() - dr_host_survey_timestamp_seconds"),
        ),
        _panel("The witness answers it", "Its lease's agent.", Unit.FLAG, _query("dr_agent_witness_up")),
        _panel("Alertmanagers that hear each other", "Two.", Unit.COUNT, _query("alertmanager_cluster_members")),
    ),
)
BOARDS = {board.key: board for board in (OVERVIEW, REPLICATION, DATABASE, CACHE, APPLICATION, ENTRANCE, ASSETS, HOSTS)}
