"""Every metric that rules and dashboards may name: the product's own, and those of Debian's exporters that are used.

The product's own come from `host survey` (`contract/survey.py`) and from what its servers count (`inside`), by a path into it; three other jobs of a
host tell theirs themselves. What is unknown
is left out, never zero: a rule says by `absent` or by the age of the figures what silence means.
"""

from __future__ import annotations

from ..dataclass import dataclass
from ..hosts import APP, CACHE, CONTROL, DATABASE, KINDS
from ..lease import LeaseState
from ..sites import Role

EVERY = tuple(KINDS)
# Who exports a metric: jobs of the hosts, and Debian's packages.
SURVEY, ARCHIVE, ASSETS, LOGS = "dr_host", "dr_archive", "dr_assets", "dr_logs"
NODE, BLACKBOX, PROMETHEUS, ALERTMANAGER = "node", "blackbox", "prometheus", "alertmanager"
STORE = "prometheus, with a store"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric. `path`: where its value is in what a host says of itself, `postgres.lag_bytes`; empty for what others export.

    `words`: the value is one of these, and each has a sample, 1 or 0, with the word as the label. `told`: the value is a text and stands in the
    label of a sample that is always 1. Truth is 1 or 0.
    """

    name: str
    help: str
    by: str = SURVEY
    on: tuple[str, ...] = EVERY  # kinds of hosts
    type: str = "gauge"  # or counter
    path: str = ""
    label: str = ""  # of `words` and `told`
    words: tuple[str, ...] = ()
    told: bool = False
    labels: tuple[str, ...] = ()  # of what others export, as far as rules name them

    @property
    def unit(self) -> str:
        """By its name, as Prometheus wants it; empty for counts, flags and words."""
        for unit in ("timestamp_seconds", "seconds", "bytes", "ratio"):
            if self.name.removesuffix("_total").endswith(f"_{unit}"):
                return unit.replace("timestamp_seconds", "seconds since 1970")
        return ""


def _own(name: str, path: str, text: str, on: tuple[str, ...] = EVERY, type: str = "gauge") -> Metric:
    return Metric(name=f"dr_{name}", help=text, on=on, type=type, path=path)


def _words(
    name: str, path: str, label: str, words: tuple[str, ...], text: str, *, on: tuple[str, ...] = EVERY
) -> Metric:
    return Metric(name=f"dr_{name}", help=text, on=on, path=path, label=label, words=words)


def _of(by: str, name: str, text: str, *labels: str, on: tuple[str, ...] = EVERY, type: str = "gauge") -> Metric:
    return Metric(name=name, help=text, by=by, on=on, type=type, labels=labels)


_DB, _CACHE, _APP, _CONTROL, _LEASED = (DATABASE,), (CACHE,), (APP,), (CONTROL,), (DATABASE, CACHE)
METRICS = (
    # --- every host
    _own("host_survey_timestamp_seconds", "at", "When these figures were read, by the host's clock."),
    _own("host_silent_services", "silent_count", "Services of this host that could not be asked."),
    _own("host_failed_units", "failed_count", "Units of systemd that have failed."),
    _own("host_reboot_due", "reboot_due", "Whether a package wants a reboot."),
    _own(
        "host_certificate_expiry_timestamp_seconds",
        "certificate_ends",
        "When the certificate ends by which this host is known to the others.",
    ),
    Metric(
        name="dr_host_software", help="Version of the hosts' software.", path="version", label="version", told=True
    ),
    _words("role", "role.role", "role", tuple(Role), "Role of the host, by its role file."),
    _own("role_epoch", "role.epoch", "Epoch of that role."),
    # --- database
    _own("postgres_up", "postgres.running", "Whether the server runs.", _DB),
    _own("postgres_in_recovery", "postgres.in_recovery", "Whether it follows: 0 takes writes.", _DB),
    _own("postgres_timeline", "postgres.timeline", "Timeline of its WAL.", _DB),
    _own("postgres_streaming", "postgres.streaming", "On a standby whether it receives, on a primary whether a standby is attached.", _DB),
    _own("postgres_replication_lag_bytes", "postgres.lag_bytes", "WAL between primary and standby, as the host itself sees it.", _DB),
    _own("postgres_replication_lag_seconds", "postgres.lag_s", "Of a primary: how long its standby takes to replay; of a standby: how old that is.", _DB),
    _own("postgres_replay_paused", "postgres.paused", "Whether its replay stands still.", _DB),
    _words("postgres_synchronous", "postgres.sync", "state", ("on", "off", "degraded"), "Whether commits wait for the standby.", on=_DB),
    _own("postgres_slot_active", "postgres.slot.active", "Whether the standby is at its slot.", _DB),
    _words("postgres_slot_status", "postgres.slot.wal_status", "status", ("reserved", "extended", "unreserved", "lost"), "What the slot still keeps.", on=_DB),
    _own("postgres_slot_safe_bytes", "postgres.slot.safe_wal_size", "WAL that may be written until the slot may be lost.", _DB),
    _own("postgres_disk_free_bytes", "postgres.disk_free", "Free on the data's file system.", _DB),
    _own("archive_checked_age_seconds", "archive.age_s", "Since the last check of the archive.", _DB),
    _own("archive_rehearsed_timestamp_seconds", "archive.rehearsed", "When a rehearsal here last proved a restore.", _DB),
    _own("postgres_connections", "inside.postgres.connections", "Sessions of clients.", _DB),
    _own("postgres_max_connections", "inside.postgres.max_connections", "How many it lets in.", _DB),
    _own("postgres_waiting_sessions", "inside.postgres.waiting", "Sessions that wait for a lock.", _DB),
    _own("postgres_oldest_transaction_seconds", "inside.postgres.oldest_transaction_s", "How long the oldest open transaction of a client is open.", _DB),
    _own("postgres_commits_total", "inside.postgres.commits", "Transactions that were kept, of all databases.", _DB, "counter"),
    _own("postgres_rollbacks_total", "inside.postgres.rollbacks", "Transactions that were taken back.", _DB, "counter"),
    _own("postgres_blocks_hit_total", "inside.postgres.blocks_hit", "Blocks that were found in its memory.", _DB, "counter"),
    _own("postgres_blocks_read_total", "inside.postgres.blocks_read", "Blocks that were not.", _DB, "counter"),
    _own("postgres_deadlocks_total", "inside.postgres.deadlocks", "Deadlocks that it has ended.", _DB, "counter"),
    _own("postgres_database_bytes", "inside.postgres.size", "Size of all its databases.", _DB),
    _own("postgres_wal_bytes_total", "inside.postgres.wal", "WAL that it has written; none of a standby.", _DB, "counter"),
    # --- cache
    _own("redis_up", "redis.running", "Whether the server runs.", _CACHE),
    _words("redis_role", "redis.role", "role", ("master", "replica"), "What it is.", on=_CACHE),
    _own("redis_link_up", "redis.link_up", "Of a replica, whether its master answers.", _CACHE),
    _own("redis_offset_bytes", "redis.offset", "Position in its stream.", _CACHE),
    _own("redis_lag_bytes", "redis.lag_bytes", "Of a replica, behind its master's stream.", _CACHE),
    _own("redis_keys", "redis.keys", "Keys that it holds.", _CACHE),
    _own("redis_used_memory_bytes", "redis.used_memory", "Memory in use.", _CACHE),
    _own("redis_max_memory_bytes", "redis.maxmemory", "Memory that it may use; 0: no limit.", _CACHE),
    _own("redis_disk_free_bytes", "redis.disk_free", "Free on the data's file system.", _CACHE),
    _own("redis_commands_total", "inside.redis.commands", "Commands that it has run.", _CACHE, "counter"),
    _own("redis_hits_total", "inside.redis.hits", "Keys that were read and there.", _CACHE, "counter"),
    _own("redis_misses_total", "inside.redis.misses", "Keys that were read and not there.", _CACHE, "counter"),
    _own("redis_evicted_total", "inside.redis.evicted", "Keys that had to go for others.", _CACHE, "counter"),
    _own("redis_clients", "inside.redis.clients", "Clients that are connected.", _CACHE),
    # --- lease
    _own("agent_up", "agent.running", "Whether the lease's agent is at work.", _LEASED),
    _own("agent_epoch", "agent.epoch", "Epoch that it knows.", _LEASED),
    _own("agent_beat_age_seconds", "agent.beat_s", "Since its last beat.", _LEASED),
    _own("agent_witness_up", "agent.witness_up", "Whether the witness answers it.", _LEASED),
    _own("agent_counterpart_grants", "agent.counterpart_grants", "Whether its counterpart in the other region grants it its lease.", _LEASED),
    _words("lease_state", "agent.state", "state", tuple(LeaseState), "How its lease stands.", on=_LEASED),
    _own("lease_silent_seconds", "agent.silent_s", "Since anybody has heard it.", _LEASED),
    _own("lease_left_seconds", "agent.left_s", "Until it stops its service, unless it is heard.", _LEASED),
    # --- shop
    _own("app_web_up", "app.web", "Whether its requests' service runs.", _APP),
    _own("app_worker_up", "app.worker", "Whether its worker runs: it does in the active region alone.", _APP),
    _own("app_nginx_up", "app.nginx", "Whether nginx runs.", _APP),
    _own("app_healthy", "app.healthy", "Whether Puma takes requests.", _APP),
    _own("nginx_connections", "inside.nginx.connections", "Connections that nginx has open.", _APP),
    _own("nginx_requests_total", "inside.nginx.requests", "Requests that nginx has taken.", _APP, "counter"),
    Metric(name="dr_app_release", help="Release that runs.", on=_APP, path="app.release", label="release", told=True),
    # --- archive, assets, logs: jobs of their own, as often as they run
    _of(ARCHIVE, "dr_archive_split_brain", "Whether two writers were seen in the archive.", on=_DB),
    _of(ARCHIVE, "dr_archive_hold", "Whether the archive holds back, because a newer epoch is known.", on=_DB),
    _of(ARCHIVE, "dr_archive_dropped", "Whether there is WAL that no repository has.", on=_DB),
    _of(ARCHIVE, "dr_archive_waiting_files", "Segments that the server keeps for the archive.", on=_DB),
    _of(ARCHIVE, "dr_archive_failed_total", "Segments that could not be archived.", on=_DB, type="counter"),
    _of(ARCHIVE, "dr_archive_last_age_seconds", "Since the last segment was archived.", on=_DB),
    _of(ARCHIVE, "dr_archive_repository_up", "Whether the repository answers.", "repository", on=_DB),
    _of(ARCHIVE, "dr_archive_repository_left_out", "Whether new WAL goes past it.", "repository", on=_DB),
    _of(ARCHIVE, "dr_archive_repository_gap", "Whether it lacks WAL that is still owed.", "repository", on=_DB),
    _of(ARCHIVE, "dr_archive_backup_failed", "Whether the last backup failed.", "repository", on=_DB),
    _of(ARCHIVE, "dr_archive_damaged_pages", "Whether that was for damaged pages.", "repository", on=_DB),
    _of(ARCHIVE, "dr_archive_newest_backup_timestamp_seconds", "When the newest backup ended.", "repository", on=_DB),
    _of(ASSETS, "dr_assets_last_run_timestamp_seconds", "End of the copier's last run.", on=_CONTROL),
    _of(ASSETS, "dr_assets_last_run_success", "1 when that ended without an error.", on=_CONTROL),
    _of(ASSETS, "dr_assets_unreplicated_objects", "Objects that the own bucket does not have, or not in this version.", on=_CONTROL),
    _of(ASSETS, "dr_assets_oldest_unreplicated_timestamp_seconds", "When the oldest of them was written.", on=_CONTROL),
    _of(LOGS, "dr_logs_behind_seconds", "For how long the oldest line of the journal waits that the other region has not taken; with `dr:logs`."),
    _of(LOGS, "dr_logs_store_behind_seconds", "The same of the store of `dr:logs.store`, where there is one."),
    # --- Debian's exporters, and what Prometheus makes itself
    _of(PROMETHEUS, "up", "Whether a target was scraped.", "job", "host", "site", "kind"),
    _of(PROMETHEUS, "prometheus_notifications_alertmanagers_discovered", "Alertmanagers that it knows.", on=_CONTROL),
    _of(PROMETHEUS, "prometheus_notifications_dropped_total", "Alerts that none of them took.", on=_CONTROL, type="counter"),
    _of(PROMETHEUS, "prometheus_rule_evaluation_failures_total", "Rules that could not be judged.", on=_CONTROL, type="counter"),
    _of(STORE, "prometheus_remote_storage_queue_highest_sent_timestamp_seconds", "Of the newest figure that it took; absent before any.", on=_CONTROL),
    _of(STORE, "prometheus_remote_storage_samples_failed_total", "Figures that it has refused for good.", on=_CONTROL, type="counter"),
    _of(ALERTMANAGER, "alertmanager_cluster_members", "Alertmanagers that hear each other, this one among them.", on=_CONTROL),
    _of(ALERTMANAGER, "alertmanager_notifications_failed_total", "Messages that a receiver did not take.", "integration", on=_CONTROL, type="counter"),
    _of(ALERTMANAGER, "alertmanager_notifications_total", "Messages that were begun.", "integration", on=_CONTROL, type="counter"),
    _of(ALERTMANAGER, "alertmanager_notification_requests_total", "Attempts that have ended.", "integration", on=_CONTROL, type="counter"),
    _of(ALERTMANAGER, "alertmanager_notification_requests_failed_total", "Those in vain.", "integration", on=_CONTROL, type="counter"),
    _of(BLACKBOX, "probe_success", "Whether a question from here was answered as it should be.", "target", on=_CONTROL),
    _of(BLACKBOX, "probe_duration_seconds", "How long that took.", "target", on=_CONTROL),
    _of(BLACKBOX, "probe_ssl_earliest_cert_expiry", "When the first certificate ends that was shown, in seconds since 1970.", "target", on=_CONTROL),
    _of(NODE, "node_filesystem_avail_bytes", "Free for programs.", "mountpoint", "fstype"),
    _of(NODE, "node_filesystem_size_bytes", "Size of it.", "mountpoint", "fstype"),
    _of(NODE, "node_memory_MemAvailable_bytes", "Memory that programs may still have."),
    _of(NODE, "node_memory_MemTotal_bytes", "Memory there is."),
    _of(NODE, "node_cpu_seconds_total", "Seconds that processors spent, by what.", "cpu", "mode", type="counter"),
    _of(NODE, "node_textfile_scrape_error", "1 when a file of figures could not be read."),
    _of(NODE, "node_time_seconds", "Its clock, in seconds since 1970."),
    _of(NODE, "node_timex_offset_seconds", "What its kernel knows of the clock against its source."),
)  # fmt: skip
BY_NAME = {it.name: it for it in METRICS}


def of_host(kind: str) -> tuple[Metric, ...]:
    """What a host of this kind tells of itself."""
    return tuple(it for it in METRICS if it.by == SURVEY and kind in it.on)
