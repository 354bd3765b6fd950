"""Series for which each rule fires, series for which it does not, and what it says. Times begin at 0, so what happened before is negative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

GIB, HOUR, DAY = 2**30, 3600, 86_400
# Series to its value: "1" stays, "0+10" grows by 10 every 15 s; None: it is there at the beginning and never again.
Series = Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`labels`: of the alert beside its severity; `at_s`: until when it runs, longer than the rule waits."""

    fires: Series
    quiet: Series
    labels: dict[str, str] = field(default_factory=dict)
    said: str
    at_s: int = 0


def on(host: str) -> str:
    """Labels of a target, as they stand in a series."""
    return ",".join(f'{name}="{value}"' for name, value in of(host).items())


def of(host: str) -> dict[str, str]:
    """The same as labels of an alert."""
    name, _, site = host.partition(".")
    return {"host": host, "kind": name.rpartition("-")[0], "site": site}


DB, DB_B, CACHE, CACHE_B, APP, CONTROL, CONTROL_B = map(
    on, ("db-1.a", "db-1.b", "cache-1.a", "cache-1.b", "app-1.a", "control-1.a", "control-1.b")
)
SHOP = f'probe_success{{target="shop",{CONTROL}}}'
PRIMARY = 'dr_role{%s,role="primary"}'
STANDBY = 'dr_role{%s,role="standby"}'


def gauge(name: str, host: str, bad: str, good: str, said: str, **more: str) -> Case:
    """Of a metric of one host alone."""
    extra = "".join(f',{label}="{value}"' for label, value in more.items())
    series = f"{name}{{{on(host)}{extra}}}"
    return Case(fires={series: bad}, quiet={series: good}, labels={**of(host), **more}, said=said)


def writer(case: Case) -> list[Case]:
    """Of a database that takes writes alone: with a good value, and of one that follows."""
    name = f"dr_postgres_in_recovery{{{DB}}}"
    return [
        Case(fires={**case.fires, name: "0"}, quiet={**case.quiet, name: "0"}, labels=case.labels, said=case.said),
        Case(fires={**case.fires, name: "0"}, quiet={**case.fires, name: "1"}, labels=case.labels, said=case.said),
    ]


def primary(case: Case, host: str) -> list[Case]:
    """Of a primary alone: with a good value, and of a standby."""
    name = PRIMARY % on(host)
    return [
        Case(fires={**case.fires, name: "1"}, quiet={**case.quiet, name: "1"}, labels=case.labels, said=case.said),
        Case(fires={**case.fires, name: "1"}, quiet={**case.fires, name: "0"}, labels=case.labels, said=case.said),
    ]


def standby(case: Case, host: str) -> list[Case]:
    """Of a standby alone, likewise."""
    name = STANDBY % on(host)
    return [
        Case(fires={**case.fires, name: "1"}, quiet={**case.quiet, name: "1"}, labels=case.labels, said=case.said),
        Case(fires={**case.fires, name: "1"}, quiet={**case.fires, name: "0"}, labels=case.labels, said=case.said),
    ]


def up(host: str, job: str = "node") -> str:
    return f'up{{job="{job}",{on(host)}}}'


ASKED = {up("control-1.a", "prometheus"): "1"}
SENT = f"prometheus_remote_storage_queue_highest_sent_timestamp_seconds{{{CONTROL}}}"
REFUSED = f"prometheus_remote_storage_samples_failed_total{{{CONTROL}}}"
UNTAKEN = "control-1.a: the store of figures does not take what it is sent"
FREE = f'node_filesystem_avail_bytes{{{DB},mountpoint="/",fstype="ext4"}}'
SIZE = f'node_filesystem_size_bytes{{{DB},mountpoint="/",fstype="ext4"}}'
LEADING = {PRIMARY % it: "1" for it in (CACHE, CACHE_B)}
REPOSITORY = {"repository": "b"}
DISK = {"mountpoint": "/", "fstype": "ext4"}
NAME_DEAD = {f'probe_success{{target="shop",{CONTROL}}}': "0", up("app-1.a"): "1"}
B_GONE = {up("app-1.b"): "0", up("db-1.b"): "0"}


def clocks(*off_s: int) -> dict[str, str]:
    """Of three hosts, by how much they are off that of whoever asks."""
    return {f"node_time_seconds{{{host}}}": f"{off}+15" for host, off in zip((DB, CACHE, CONTROL), off_s, strict=True)}


def mails(begun: int, ended: int, in_vain: int, failed: int) -> dict[str, str]:
    """Alertmanager's own counts of mails."""
    told = {
        "notifications": begun,
        "notification_requests": ended,
        "notification_requests_failed": in_vain,
        "notifications_failed": failed,
    }
    return {f'alertmanager_{name}_total{{integration="email",{CONTROL}}}': str(count) for name, count in told.items()}


CASES: dict[str, list[Case]] = {
    "RegionGone": [
        Case(
            fires={up("db-1.a"): "0", up("app-1.a"): "0", up("db-1.b"): "1"},
            quiet={up("db-1.a"): "0", up("app-1.a"): "1", up("db-1.b"): "1"},
            labels={"site": "a"},
            said="no host of region a answers region b: it is lost, or cut off",
        ),
        *(
            Case(
                fires={up("db-1.a"): "0", f'probe_success{{{CONTROL_B},target="shop"}}': probe},
                quiet={up("db-1.a"): "1", f'probe_success{{{CONTROL_B},target="shop"}}': probe},
                labels={"site": "a"},
                said=f"no host of region a answers region b: it is lost, or cut off; the shop {said} under its name",
            )
            for probe, said in (("0", "does not answer"), ("1", "answers"))
        ),
    ],
    "RegionNotWatched": [
        Case(
            fires={up("db-1.a"): "1"},
            quiet={up("db-1.a"): "1", up("db-1.b"): "0"},
            labels={"job": "node", "site": "b"},
            said="no host of region b is known here",
        )
    ],
    "DatabaseHostDown": [
        Case(
            fires={up("db-1.a"): "0"}, quiet={up("db-1.a"): "1", up("app-1.a"): "0"},
            labels={"job": "node", **of("db-1.a")}, said="db-1.a does not answer",
        )
    ],
    "HostDown": [
        Case(
            fires={up("app-1.a"): "0"}, quiet={up("app-1.a"): "1", up("db-1.a"): "0"},
            labels={"job": "node", **of("app-1.a")}, said="app-1.a does not answer",
        )
    ],
    "FiguresMissing": [
        Case(
            fires={up("db-1.a"): "1", f"dr_host_survey_timestamp_seconds{{{DB_B}}}": "1"},
            quiet={up("db-1.a"): "1", f"dr_host_survey_timestamp_seconds{{{DB}}}": "1"},
            labels={"job": "node", **of("db-1.a")}, said="db-1.a answers and says nothing of its services",
        )
    ],
    "FiguresOld": [
        Case(
            fires={f"dr_host_survey_timestamp_seconds{{{DB}}}": "0", f"node_time_seconds{{{DB}}}": "0+15"},
            # Of a host whose clock is an hour behind that of whoever asks.
            quiet={f"dr_host_survey_timestamp_seconds{{{DB}}}": "-3630+15", f"node_time_seconds{{{DB}}}": "-3600+15"},
            labels=of("db-1.a"), said="db-1.a: its figures are 5m 0s old", at_s=300,
        )
    ],
    "FiguresUnreadable": [gauge("node_textfile_scrape_error", "db-1.a", "1", "0", "db-1.a: a file of figures cannot be read")],
    "LogsBehind": [
        gauge("dr_logs_behind_seconds", "db-1.a", "720", "30", "db-1.a: the other region has its journal only until 12m 0s ago"),
        Case(  # told already, by another
            fires={f"dr_logs_behind_seconds{{{DB}}}": "720"},
            quiet={f"dr_logs_behind_seconds{{{DB}}}": "720", 'up{job="node",site="a",host="db-1.a"}': "1", 'up{job="node",site="b",host="db-1.b"}': "0"},
            labels=of("db-1.a"), said="db-1.a: the other region has its journal only until 12m 0s ago",
        ),
    ],
    "LogsStoreBehind": [
        Case(  # one for all hosts of a region, by the one that waits longest
            fires={f"dr_logs_store_behind_seconds{{{DB}}}": "2400", 'dr_logs_store_behind_seconds{site="a",host="app-1.a"}': "2100"},
            quiet={f"dr_logs_store_behind_seconds{{{DB}}}": "1200"},
            labels={"site": "a"}, said="the store of journals has those of region a only until 40m 0s ago",
        )
    ],
    "ServiceSilent": [gauge("dr_host_silent_services", "db-1.a", "2", "0", "db-1.a: 2 services could not be asked")],
    "UnitFailed": [gauge("dr_host_failed_units", "db-1.a", "1", "0", "db-1.a: 1 units have failed")],
    "RebootDue": [gauge("dr_host_reboot_due", "db-1.a", "1", "0", "db-1.a wants a reboot since a week")],
    "DiskFull": [
        Case(
            fires={FREE: "5", SIZE: "100"},
            quiet={
                FREE: "9", SIZE: "100",
                f'node_filesystem_avail_bytes{{{DB},mountpoint="/run",fstype="tmpfs"}}': "0",
                f'node_filesystem_size_bytes{{{DB},mountpoint="/run",fstype="tmpfs"}}': "1",
            },
            labels={**of("db-1.a"), **DISK}, said="db-1.a: 5% of / is free",
        )
    ],
    "DiskFilling": [
        Case(  # as fast, where most of it is free
            fires={FREE: "2000-1", SIZE: "100000"},
            quiet={FREE: "2000-1", SIZE: "3000"},
            labels={**of("db-1.a"), **DISK}, said="db-1.a: / is full within a day", at_s=3900,
        ),
    ],
    "MemoryShort": [
        Case(
            fires={f"node_memory_MemAvailable_bytes{{{DB}}}": "4", f"node_memory_MemTotal_bytes{{{DB}}}": "100"},
            quiet={f"node_memory_MemAvailable_bytes{{{DB}}}": "6", f"node_memory_MemTotal_bytes{{{DB}}}": "100"},
            labels=of("db-1.a"), said="db-1.a: 4% of its memory is left",
        )
    ],
    "ProcessorBusy": [
        Case(
            fires={f'node_cpu_seconds_total{{{DB},mode="idle",cpu="0"}}': "0+0.3"}, quiet={f'node_cpu_seconds_total{{{DB},mode="idle",cpu="0"}}': "0+3"},
            labels={"host": "db-1.a", "site": "a"}, said="db-1.a: 2% of its processors is idle", at_s=1500,
        )
    ],
    "ClockOff": [
        Case(fires=clocks(-600, 0, 0), quiet=clocks(-4, 0, 0), labels=of("db-1.a"), said="db-1.a: its clock is 10m 0s off"),
        # The clock of whoever asks is off: it says so of itself, and of nobody else.
        Case(fires=clocks(0, 600, 600), quiet=clocks(600, 600, 600), labels=of("db-1.a"), said="db-1.a: its clock is 10m 0s off"),
        gauge("node_timex_offset_seconds", "db-1.a", "-0.75", "0.1", "db-1.a: its clock is 750ms off"),
    ],
    "HostCertificateEnds": [
        Case(
            fires={f"dr_host_certificate_expiry_timestamp_seconds{{{DB}}}": str(7200 + 20 * DAY)},
            quiet={f"dr_host_certificate_expiry_timestamp_seconds{{{DB}}}": str(7200 + 31 * DAY)},
            labels=of("db-1.a"), said="db-1.a: its certificate ends in 20d 0h 0m 0s", at_s=7200,
        )
    ],
    "HostCertificateEndsSoon": [
        Case(
            fires={f"dr_host_certificate_expiry_timestamp_seconds{{{DB}}}": str(7200 + DAY)},
            quiet={f"dr_host_certificate_expiry_timestamp_seconds{{{DB}}}": str(7200 + 4 * DAY)},
            labels=of("db-1.a"), said="db-1.a: its certificate ends in 1d 0h 0m 0s", at_s=7200,
        )
    ],
    "TwoWriters": [
        Case(
            fires={f"dr_postgres_in_recovery{{{it}}}": "0" for it in (DB, DB_B)} | {f"dr_postgres_up{{{it}}}": "1" for it in (DB, DB_B)},
            quiet={f"dr_postgres_in_recovery{{{DB}}}": "0", f"dr_postgres_in_recovery{{{DB_B}}}": "1"} | {f"dr_postgres_up{{{it}}}": "1" for it in (DB, DB_B)},
            said="2 databases take writes",
        ),
        Case(  # a figure of before a move is no second writer
            fires={f"dr_postgres_in_recovery{{{it}}}": "0" for it in (DB, DB_B)} | {f"dr_postgres_up{{{it}}}": "1" for it in (DB, DB_B)},
            quiet={f"dr_postgres_in_recovery{{{DB}}}": None, f"dr_postgres_in_recovery{{{DB_B}}}": "0"} | {f"dr_postgres_up{{{it}}}": "1" for it in (DB, DB_B)},
            said="2 databases take writes", at_s=400,
        ),
    ],
    "NoWriter": [
        Case(
            fires={f"dr_postgres_in_recovery{{{DB}}}": "1", f"dr_postgres_up{{{DB}}}": "1"},
            quiet={f"dr_postgres_in_recovery{{{DB}}}": "0", f"dr_postgres_up{{{DB}}}": "1"},
            said="no database is known to take writes",
        ),
        Case(  # nothing is known of any
            fires={up("app-1.a"): "1"}, quiet={f"dr_postgres_in_recovery{{{DB_B}}}": "0", f"dr_postgres_up{{{DB_B}}}": "1"},
            said="no database is known to take writes",
        ),
    ],
    "DatabaseDown": [gauge("dr_postgres_up", "db-1.a", "0", "1", "db-1.a: PostgreSQL does not run")],
    "EpochsDiffer": [
        Case(
            fires={f"dr_role_epoch{{{DB}}}": "4", f"dr_role_epoch{{{APP}}}": "5"}, quiet={f"dr_role_epoch{{{DB}}}": "5", f"dr_role_epoch{{{APP}}}": "5"},
            labels=of("db-1.a"), said="db-1.a is in epoch 4, others are in a newer one",
        )
    ],
    "ArchiveSplitBrain": [gauge("dr_archive_split_brain", "db-1.a", "1", "0", "db-1.a: two writers were seen in the archive")],
    "TwoCacheLeaders": [
        Case(
            fires={f'dr_redis_role{{{it},role="master"}}': "1" for it in (CACHE, CACHE_B)} | LEADING,
            quiet={f'dr_redis_role{{{CACHE},role="master"}}': "1", f'dr_redis_role{{{CACHE_B},role="master"}}': "0"} | LEADING,
            said="2 caches lead",
        )
    ],
    "StandbyMissing": writer(gauge("dr_postgres_streaming", "db-1.a", "0", "1", "no standby is attached to db-1.a: what it takes is in one region alone")),
    "ReplicationLagBytes": writer(
        gauge(
            "dr_postgres_replication_lag_bytes", "db-1.a", str(32 * 2**20), str(2**20),
            "32MiB would be lost with db-1.a now, the budget is 16777216 bytes",
        )
    ),
    "ReplicationLagSeconds": writer(
        gauge("dr_postgres_replication_lag_seconds", "db-1.a", "90", "1", "commits of db-1.a take 1m 30s to the standby, the budget is 30 s")
    ),
    "ReplayPaused": [gauge("dr_postgres_replay_paused", "db-1.a", "1", "0", "db-1.a: replay stands still")],
    "SlotLost": [
        gauge(
            "dr_postgres_slot_status", "db-1.a", "1", "0",
            "db-1.a: the standby's slot is lost; a copy of the whole database may be due", status="lost",
        ),
        Case(
            fires={f'dr_postgres_slot_status{{{DB},status="unreserved"}}': "1"}, quiet={f'dr_postgres_slot_status{{{DB},status="extended"}}': "1"},
            labels={**of("db-1.a"), "status": "unreserved"}, said="db-1.a: the standby's slot is unreserved; a copy of the whole database may be due",
        ),
    ],
    "SlotNearLimit": [
        gauge("dr_postgres_slot_safe_bytes", "db-1.a", str(GIB // 2), str(2 * GIB), "db-1.a: the standby's slot may be lost after 512MiB of WAL")
    ],
    "CommitsDoNotWait": [
        Case(
            fires={f'dr_postgres_synchronous{{{DB},state="degraded"}}': "1"},
            quiet={f'dr_postgres_synchronous{{{DB},state="degraded"}}': "0", f'dr_postgres_synchronous{{{DB},state="off"}}': "1"},
            labels={**of("db-1.a"), "state": "degraded"}, said="db-1.a: commits were to wait for the standby and do not",
        )
    ],
    "DatabaseVolumeFull": [gauge("dr_postgres_disk_free_bytes", "db-1.a", str(GIB // 4), str(2 * GIB), "db-1.a: 256MiB are free")],
    "ArchiveNotChecked": [gauge("dr_archive_checked_age_seconds", "db-1.a", "400", "50", "db-1.a: nobody looks after the archive")],
    "ArchiveMissing": [
        Case(
            fires={f"dr_postgres_up{{{DB}}}": "1"}, quiet={f"dr_postgres_up{{{DB}}}": "1", f"dr_archive_checked_age_seconds{{{DB}}}": "1"},
            labels=of("db-1.a"), said="db-1.a says nothing of its archive",
        )
    ],
    "ArchiveBehind": [gauge("dr_archive_waiting_files", "db-1.a", "20", "3", "db-1.a: 20 segments wait for the archive")],
    "ArchiveOld": writer(gauge("dr_archive_last_age_seconds", "db-1.a", "7200", "60", "db-1.a: the last segment was archived 2h 0m 0s ago")),
    "ArchiveRepositoryDown": [gauge("dr_archive_repository_up", "db-1.a", "0", "1", "db-1.a: repository b does not answer", **REPOSITORY)],
    "ArchiveGap": [gauge("dr_archive_repository_gap", "db-1.a", "1", "0", "db-1.a: repository b lacks WAL", **REPOSITORY)],
    "ArchiveDropped": [gauge("dr_archive_dropped", "db-1.a", "1", "0", "db-1.a: there is WAL that no repository has")],
    "BackupOld": [
        Case(
            fires={f'dr_archive_newest_backup_timestamp_seconds{{{DB},repository="b"}}': str(900 - 27 * HOUR)},
            quiet={
                f'dr_archive_newest_backup_timestamp_seconds{{{DB},repository="b"}}': str(900 - 27 * HOUR),
                f'dr_archive_newest_backup_timestamp_seconds{{{DB_B},repository="b"}}': "0",
            },
            labels=REPOSITORY, said="the newest backup in repository b is 1d 3h 0m 0s old", at_s=900,
        )
    ],
    "BackupFailed": [gauge("dr_archive_backup_failed", "db-1.a", "1", "0", "db-1.a: the last backup to repository b failed", **REPOSITORY)],
    "BackupDamaged": [gauge("dr_archive_damaged_pages", "db-1.a", "1", "0", "db-1.a: the database has damaged pages", **REPOSITORY)],
    "RestoreNotRehearsed": [
        Case(
            fires={f"dr_archive_rehearsed_timestamp_seconds{{{DB}}}": str(7200 - 36 * DAY)},
            quiet={f"dr_archive_rehearsed_timestamp_seconds{{{DB}}}": str(7200 - 36 * DAY), f"dr_archive_rehearsed_timestamp_seconds{{{DB_B}}}": "0"},
            said="the last proof of a restore is 36d 0h 0m 0s old", at_s=7200,
        )
    ],
    "CacheDown": [gauge("dr_redis_up", "cache-1.a", "0", "1", "cache-1.a: Redis does not run")],
    "CacheLinkDown": [gauge("dr_redis_link_up", "cache-1.a", "0", "1", "cache-1.a: its master does not answer")],
    "CacheBehind": [gauge("dr_redis_lag_bytes", "cache-1.a", str(2**22), "100", "cache-1.a is 4MiB behind")],
    "CacheFull": [
        Case(
            fires={f"dr_redis_used_memory_bytes{{{CACHE}}}": "98", f"dr_redis_max_memory_bytes{{{CACHE}}}": "100"},
            quiet={f"dr_redis_used_memory_bytes{{{CACHE}}}": "98", f"dr_redis_max_memory_bytes{{{CACHE}}}": "0"},
            labels=of("cache-1.a"), said="cache-1.a: 98% of its memory is used",
        )
    ],
    "AgentDown": [gauge("dr_agent_up", "db-1.a", "0", "1", "db-1.a: the lease's agent is not at work")],
    "LeaseNearlyOut": primary(gauge("dr_lease_left_seconds", "db-1.a", "6", "28", "db-1.a stops its service in 6 s, unless it is heard"), "db-1.a"),
    "LeaseStopped": primary(
        gauge("dr_lease_state", "db-1.a", "1", "0", "db-1.a has stopped its service: nobody heard it", state="stopped"), "db-1.a"
    ),
    "WitnessSilent": [gauge("dr_agent_witness_up", "db-1.a", "0", "1", "db-1.a: the witness does not answer")],
    "CounterpartSilent": primary(
        gauge("dr_agent_counterpart_grants", "db-1.a", "0", "1", "db-1.a is not granted its lease by the other region, the witness alone keeps it"), "db-1.a"
    ),
    "ShopDown": [
        Case(
            fires={f'probe_success{{target="shop",{it}}}': "0" for it in (CONTROL, CONTROL_B)},
            quiet={f'probe_success{{target="shop",{CONTROL}}}': "0", f'probe_success{{target="shop",{CONTROL_B}}}': "1"},
            said="the shop does not answer under its name",
        ),
        # Region b is gone, and its address is still in DNS: told of by RegionGone, as long as the entrance of region a sells.
        Case(
            fires={**NAME_DEAD, **B_GONE, f'probe_success{{target="entrance",{CONTROL}}}': "0"},
            quiet={**NAME_DEAD, **B_GONE, f'probe_success{{target="entrance",{CONTROL}}}': "1"},
            said="the shop does not answer under its name",
        ),
        # Both regions are there and their entrances sell: it is the name that leads nowhere.
        Case(
            fires={**NAME_DEAD, up("app-1.b"): "1", f'probe_success{{target="entrance",{CONTROL}}}': "1"},
            quiet={**NAME_DEAD, **B_GONE, f'probe_success{{target="entrance",{CONTROL}}}': "1"},
            said="the shop does not answer under its name",
        ),
    ],
    "ShopNotAsked": [
        Case(
            fires={f'probe_success{{target="entrance",{CONTROL}}}': "1"}, quiet={f'probe_success{{target="shop",{CONTROL}}}': "0"},
            labels={"target": "shop"}, said="nobody asks the shop as a customer does",
        )
    ],
    "EntranceDown": [gauge("probe_success", "control-1.a", "0", "1", "the entrance of region a does not answer", target="entrance")],
    "StatusPageUnread": [
        Case(
            fires={f'probe_success{{target="page",{CONTROL}}}': "0", f'probe_success{{target="page",{on("control-1.b")}}}': "0"},
            quiet={f'probe_success{{target="page",{CONTROL}}}': "0", f'probe_success{{target="page",{on("control-1.b")}}}': "1"},
            labels={}, said="neither region is shown the page for customers where they are told that it is",
        ),
        Case(  # one region watches alone
            fires={f'probe_success{{target="page",{CONTROL}}}': "0"}, quiet={f'probe_success{{target="shop",{CONTROL}}}': "0"},
            labels={}, said="neither region is shown the page for customers where they are told that it is",
        ),
    ],
    "NoAppHealthy": [
        Case(
            fires={f"dr_app_healthy{{{APP}}}": "0", f"dr_app_healthy{{{on('app-2.a')}}}": "0", PRIMARY % APP: "1", PRIMARY % on("app-2.a"): "1"},
            quiet={f"dr_app_healthy{{{APP}}}": "0", f"dr_app_healthy{{{on('app-2.a')}}}": "1", PRIMARY % APP: "1", PRIMARY % on("app-2.a"): "1"},
            labels={"site": "a"}, said="no app host of region a takes requests",
        ),
        Case(  # those of the standby need not
            fires={f"dr_app_healthy{{{APP}}}": "0", PRIMARY % APP: "1"}, quiet={f"dr_app_healthy{{{APP}}}": "0", PRIMARY % APP: "0"},
            labels={"site": "a"}, said="no app host of region a takes requests",
        ),
    ],
    "AppUnhealthy": primary(gauge("dr_app_healthy", "app-1.a", "0", "1", "app-1.a: Puma takes no requests"), "app-1.a"),
    "WorkerDown": primary(gauge("dr_app_worker_up", "app-1.a", "0", "1", "app-1.a: its worker does not run"), "app-1.a"),
    # One question that failed when nobody had watched for an hour is not the hour's.
    "ErrorBudgetBurnsFast": [
        Case(fires={SHOP: "0"}, quiet={SHOP: good}, labels={"target": "shop"}, said="5.417% of the questions of the last hour failed", at_s=180)
        for good in ("1", "0x1 1")
    ],
    "ErrorBudgetBurns": [
        Case(fires={SHOP: "0"}, quiet={SHOP: good}, labels={"target": "shop"}, said="5.486% of the questions of the last six hours failed", at_s=1170)
        for good in ("1", "0x4 1")
    ],
    "ShopSlow": [
        Case(
            fires={f'probe_duration_seconds{{target="shop",{CONTROL}}}': "4"}, quiet={f'probe_duration_seconds{{target="shop",{CONTROL}}}': "0.2"},
            labels={"target": "shop"}, said="the shop answers in 4s",
        )
    ],
    "ServedCertificateEnds": [
        Case(
            fires={f'probe_ssl_earliest_cert_expiry{{target="shop",{CONTROL}}}': str(7200 + 10 * DAY)},
            quiet={f'probe_ssl_earliest_cert_expiry{{target="shop",{CONTROL}}}': str(7200 + 30 * DAY)},
            labels={"target": "shop"}, said="customers are shown a certificate that ends in 10d 0h 0m 0s", at_s=7200,
        )
    ],
    "AssetsBehind": standby(
        Case(
            fires={f"dr_assets_oldest_unreplicated_timestamp_seconds{{{CONTROL}}}": "-3000"}, quiet={f"dr_assets_unreplicated_objects{{{CONTROL}}}": "0"},
            labels=of("control-1.a"), said="the other region lacks a file since 1h 1m 0s",
        ),
        "control-1.a",
    ),
    "AssetsFailed": standby(gauge("dr_assets_last_run_success", "control-1.a", "0", "1", "runs of the copier fail"), "control-1.a"),
    "AssetsNotCopied": standby(
        Case(
            fires={f"dr_assets_last_run_timestamp_seconds{{{CONTROL}}}": str(-2 * HOUR)}, quiet={f"dr_assets_last_run_timestamp_seconds{{{CONTROL}}}": "0"},
            labels=of("control-1.a"), said="the copier has not run since 2h 11m 0s",
        ),
        "control-1.a",
    ),
    "Watchdog": [
        Case(fires={up("db-1.a"): "1"}, quiet={}, said="alerting is alive: whoever does not hear this any more is to look"),
    ],
    "WatcherDown": [
        Case(
            fires={up("control-1.a", "blackbox"): "0"}, quiet={up("control-1.a", "blackbox"): "1", up("control-1.a"): "0"},
            labels={"job": "blackbox", **of("control-1.a")}, said="blackbox of control-1.a does not answer",
        )
    ],
    "AlertmanagersApart": [gauge("alertmanager_cluster_members", "control-1.a", "1", "2", "control-1.a hears no other Alertmanager")],
    "AlertmanagerMissing": [
        gauge("prometheus_notifications_alertmanagers_discovered", "control-1.a", "0", "2", "control-1.a: Prometheus knows nobody to tell")
    ],
    "MessagesFail": [
        gauge(
            "alertmanager_notifications_failed_total", "control-1.a", "0+1", "7", "slack does not take what control-1.a sends", integration="slack"
        )
    ],
    # One that was told at the third attempt, and one that failed at its second, are behind; the third does not end.
    "MailHangs": [
        Case(
            fires=mails(3, 5, 4, 1), quiet=mails(2, 5, 4, 1), labels={"host": "control-1.a", "site": "a"},
            said="a mail server has let control-1.a in and says nothing: no mail is sent from there until it does",
        )
    ],
    # What was dropped while an Alertmanager began is said again, and is none.
    "AlertsDropped": [
        gauge("prometheus_notifications_dropped_total", "control-1.a", "0+1", good, "control-1.a: alerts reached no Alertmanager")
        for good in ("7", "0x1 3")
    ],
    "RemoteWriteFails": [
        # Never anything, nothing any more, and not all of it.
        Case(fires=ASKED, quiet={**ASKED, SENT: "0+15"}, labels=of("control-1.a"), said=UNTAKEN),
        Case(fires={**ASKED, SENT: "0"}, quiet={up("control-1.a", "prometheus"): "0"}, labels=of("control-1.a"), said=UNTAKEN, at_s=450),
        Case(
            fires={**ASKED, SENT: "0+15", REFUSED: "0+1"}, quiet={**ASKED, SENT: "0+15", REFUSED: "7"},
            labels=of("control-1.a"), said=UNTAKEN,
        ),
    ],
    "RulesFail": [
        Case(  # of several groups of rules, one alert
            fires={f'prometheus_rule_evaluation_failures_total{{{CONTROL},rule_group="{it}"}}': "0+1" for it in ("host", "shop")},
            quiet={f'prometheus_rule_evaluation_failures_total{{{CONTROL},rule_group="host"}}': "7"},
            labels=of("control-1.a"), said="control-1.a: rules could not be judged, or figures not be kept",
        )
    ],
}  # fmt: skip
