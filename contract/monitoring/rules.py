"""Every rule that somebody is told by: one source, written to control hosts as a file of Prometheus. Pure.

Figures of a host are read each 30 s and scraped each 15 s, so a rule that sees both sides of a move waits at least a minute: what was true on one
side 45 s ago is no second writer. Rules look at the primary where there are two views of one thing, and each gauge that may vanish has one that
misses it (`absent`, `up`, `unless`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from ..dataclass import dataclass
from ..sites import SITES

GIB, MIB, HOUR, DAY = 2**30, 2**20, 3600, 86_400
REGION_GONE, WATCHDOG = "RegionGone", "Watchdog"
UNDELIVERED = MESSAGES_FAIL, MAIL_HANGS = "MessagesFail", "MailHangs"  # what only another way can tell


class Severity(StrEnum):
    """Who is told, and when."""

    PAGE = "page"  # at once, whatever the hour
    WARN = "warn"  # by day
    NONE = "none"  # that alerting itself is alive


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is configured elsewhere and judged here. `archived`: whether there is an archive; `stored`: whether figures go to a store as well."""

    max_lag_bytes: int = 16 * MIB
    max_lag_s: int = 30
    archived: bool = True
    stored: bool = True


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`for_s`: how long `expr` must hold. `summary`: with the value and the labels of the series. `page`: of docs/runbook, without its ending."""

    name: str
    severity: Severity
    expr: str
    for_s: int
    summary: str
    page: str


def _page(name: str, expr: str, for_s: int, summary: str, page: str) -> Rule:
    return Rule(name=name, severity=Severity.PAGE, expr=expr, for_s=for_s, summary=summary, page=page)


def _warn(name: str, expr: str, for_s: int, summary: str, page: str) -> Rule:
    return Rule(name=name, severity=Severity.WARN, expr=expr, for_s=for_s, summary=summary, page=page)


_PRIMARY = 'and on (host) dr_role{role="primary"} == 1'
_STANDBY = 'and on (host) dr_role{role="standby"} == 1'
_WRITES = "and on (host) dr_postgres_in_recovery == 0"
_DISKS = 'fstype!~"tmpfs|ramfs|squashfs|fuse.*|iso9660"'
_BOTH = 'unless on () (min(sum by (site) (up{job="node"})) == 0)'  # while both regions are there
_HOST = "{{ $labels.host }}"
# A scrape has five seconds, so a clock that is right is no more than that behind what it was asked at.
CLOCK_S = 10
_CLOCK = "(node_time_seconds - timestamp(node_time_seconds))"
_HANGING = " ".join(
    f'{sign} sum by (host, site) (alertmanager_{name}{{integration="email"}})'
    for sign, name in (
        ("", "notifications_total"),
        ("-", "notification_requests_total"),
        ("+", "notification_requests_failed_total"),
        ("-", "notifications_failed_total"),
    )
).strip() + " > 0"  # fmt: skip
# A region that is cut off sells on: whoever is woken need not look first.
_SELLS = (
    '{{ with query `max(probe_success{target="shop"})` }}; the shop {{ if eq (. | first | value) 1.0 }}answers{{ else }}does not answer{{ end }}'
    " under its name{{ end }}"
)


def groups(limits: Limits) -> dict[str, tuple[Rule, ...]]:
    """All rules by group."""
    return {
        "region": _region(),
        "host": _host(),
        "role": _role(),
        "replication": _replication(limits),
        **({"archive": _archive()} if limits.archived else {}),
        "cache": _cache(),
        "lease": _lease(),
        "shop": _shop(),
        "assets": _assets(),
        "monitoring": _monitoring(),
        **({"store": _store()} if limits.stored else {}),
    }


def document(limits: Limits, runbook: str) -> dict[str, Any]:
    """A rule file of Prometheus. `runbook`: where the pages of docs/runbook are, without a slash at its end."""
    return {
        "groups": [
            {"name": f"dr-{name}", "rules": [_written(rule, runbook) for rule in rules]}
            for name, rules in groups(limits).items()
        ]
    }


def _written(rule: Rule, runbook: str) -> Mapping[str, Any]:
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": f"{rule.for_s}s",
        "labels": {"severity": str(rule.severity)},
        "annotations": {"summary": rule.summary, "runbook_url": f"{runbook}/{rule.page}.md"},
    }


def _region() -> tuple[Rule, ...]:
    missing = " or ".join(f'absent(up{{job="node", site="{site}"}})' for site in SITES)
    return (
        _page(
            REGION_GONE, 'sum by (site) (up{job="node"}) == 0', 15,
            "no host of region {{ $labels.site }} answers region {{ $externalLabels.seen_from }}: it is lost, or cut off" + _SELLS, "region-lost",
        ),
        _warn("RegionNotWatched", missing, 300, "no host of region {{ $labels.site }} is known here", "by-day"),
    )  # fmt: skip


def _host() -> tuple[Rule, ...]:
    return (
        _page("DatabaseHostDown", 'up{job="node", kind="db"} == 0', 60, f"{_HOST} does not answer", "host-lost"),
        _warn("HostDown", 'up{job="node", kind!="db"} == 0', 120, f"{_HOST} does not answer", "host-lost"),
        _warn(
            "FiguresMissing", 'up{job="node"} == 1 unless on (host) dr_host_survey_timestamp_seconds', 300,
            f"{_HOST} answers and says nothing of its services", "by-day",
        ),
        # By the host's own clock on either side: one that is off makes no figure old.
        _warn(
            "FiguresOld", "node_time_seconds - on (host) group_left () dr_host_survey_timestamp_seconds > 180", 60,
            f"{_HOST}: its figures are {{{{ $value | humanizeDuration }}}} old", "by-day",
        ),
        _warn("FiguresUnreadable", "node_textfile_scrape_error == 1", 300, f"{_HOST}: a file of figures cannot be read", "by-day"),
        # With the other region gone there is nobody to take it: that is told already.
        _warn(
            "LogsBehind", f"dr_logs_behind_seconds > 600 {_BOTH}", 300,
            f"{_HOST}: the other region has its journal only until {{{{ $value | humanizeDuration }}}} ago", "by-day",
        ),
        # One for a region: a store that takes nothing takes it of all of them.
        _warn(
            "LogsStoreBehind", "max by (site) (dr_logs_store_behind_seconds) > 1800", 300,
            "the store of journals has those of region {{ $labels.site }} only until {{ $value | humanizeDuration }} ago", "by-day",
        ),
        _warn("ServiceSilent", "dr_host_silent_services > 0", 300, f"{_HOST}: {{{{ $value }}}} services could not be asked", "host-lost"),
        _warn("UnitFailed", "dr_host_failed_units > 0", 300, f"{_HOST}: {{{{ $value }}}} units have failed", "by-day"),
        _warn("RebootDue", "dr_host_reboot_due == 1", 7 * DAY, f"{_HOST} wants a reboot since a week", "by-day"),
        _page(
            "DiskFull", f"node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes < 0.08", 300,
            f"{_HOST}: {{{{ $value | humanizePercentage }}}} of {{{{ $labels.mountpoint }}}} is free", "host-lost",
        ),
        _warn(
            "DiskFilling",
            f"predict_linear(node_filesystem_avail_bytes{{{_DISKS}}}[6h], {DAY}) < 0"
            f" and node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes < 0.4", 3600,
            f"{_HOST}: {{{{ $labels.mountpoint }}}} is full within a day", "host-lost",
        ),
        _warn(
            "MemoryShort", "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.05", 900,
            f"{_HOST}: {{{{ $value | humanizePercentage }}}} of its memory is left", "host-lost",
        ),
        _warn(
            "ProcessorBusy", 'avg by (host, site) (rate(node_cpu_seconds_total{mode="idle"}[5m])) < 0.05', 900,
            f"{_HOST}: {{{{ $value | humanizePercentage }}}} of its processors is idle", "shop-answers-badly",
        ),
        # By what most hosts say, whatever the clock of whoever asks: the kernel's own idea is near 0 where nobody sets the clock, and where it is set in steps.
        _warn(
            "ClockOff", f"abs({_CLOCK} - on () group_left () quantile(0.5, {_CLOCK})) > {CLOCK_S} or abs(node_timex_offset_seconds) > 0.5", 300,
            f"{_HOST}: its clock is {{{{ $value | humanizeDuration }}}} off", "by-day",
        ),
        _warn(
            "HostCertificateEnds", f"dr_host_certificate_expiry_timestamp_seconds - time() < {30 * DAY}", 3600,
            f"{_HOST}: its certificate ends in {{{{ $value | humanizeDuration }}}}", "certificates",
        ),
        _page(
            "HostCertificateEndsSoon", f"dr_host_certificate_expiry_timestamp_seconds - time() < {3 * DAY}", 600,
            f"{_HOST}: its certificate ends in {{{{ $value | humanizeDuration }}}}", "certificates",
        ),
    )  # fmt: skip


def _role() -> tuple[Rule, ...]:
    return (
        _page(
            "TwoWriters", "count(dr_postgres_in_recovery == 0 and dr_postgres_up == 1) > 1", 60,
            "{{ $value }} databases take writes", "two-claim-it",
        ),
        _page(
            "NoWriter", "(count(dr_postgres_in_recovery == 0 and dr_postgres_up == 1) or vector(0)) == 0", 120,
            "no database is known to take writes", "region-lost",
        ),
        _page("DatabaseDown", "dr_postgres_up == 0", 60, f"{_HOST}: PostgreSQL does not run", "host-lost"),
        _warn(
            "EpochsDiffer", "dr_role_epoch < on () group_left () max(dr_role_epoch)", 900,
            f"{_HOST} is in epoch {{{{ $value }}}}, others are in a newer one", "two-claim-it",
        ),
        _page("ArchiveSplitBrain", "dr_archive_split_brain == 1", 0, f"{_HOST}: two writers were seen in the archive", "two-claim-it"),
        _page(
            "TwoCacheLeaders", 'count(dr_redis_role{role="master"} == 1 and on (host) dr_role{role="primary"} == 1) > 1', 60,
            "{{ $value }} caches lead", "two-claim-it",
        ),
    )  # fmt: skip


def _replication(limits: Limits) -> tuple[Rule, ...]:
    return (
        _page(
            "StandbyMissing", f"dr_postgres_streaming == 0 {_WRITES}", 300,
            f"no standby is attached to {_HOST}: what it takes is in one region alone", "standby-behind",
        ),
        _page(
            "ReplicationLagBytes", f"dr_postgres_replication_lag_bytes > {limits.max_lag_bytes} {_WRITES}", 120,
            f"{{{{ $value | humanize1024 }}}}B would be lost with {_HOST} now, the budget is {limits.max_lag_bytes} bytes", "standby-behind",
        ),
        _warn(
            "ReplicationLagSeconds", f"dr_postgres_replication_lag_seconds > {limits.max_lag_s} {_WRITES}", 120,
            f"commits of {_HOST} take {{{{ $value | humanizeDuration }}}} to the standby, the budget is {limits.max_lag_s} s", "standby-behind",
        ),
        _warn("ReplayPaused", "dr_postgres_replay_paused == 1", 600, f"{_HOST}: replay stands still", "standby-behind"),
        _page(
            "SlotLost", 'dr_postgres_slot_status{status=~"unreserved|lost"} == 1', 0,
            f"{_HOST}: the standby's slot is {{{{ $labels.status }}}}; a copy of the whole database may be due", "standby-behind",
        ),
        _warn(
            "SlotNearLimit", f"dr_postgres_slot_safe_bytes < {GIB}", 300,
            f"{_HOST}: the standby's slot may be lost after {{{{ $value | humanize1024 }}}}B of WAL", "standby-behind",
        ),
        _warn(
            "CommitsDoNotWait", 'dr_postgres_synchronous{state="degraded"} == 1', 300,
            f"{_HOST}: commits were to wait for the standby and do not", "standby-behind",
        ),
        _warn("DatabaseVolumeFull", f"dr_postgres_disk_free_bytes < {GIB}", 300, f"{_HOST}: {{{{ $value | humanize1024 }}}}B are free", "host-lost"),
    )  # fmt: skip


def _archive() -> tuple[Rule, ...]:
    repository = "repository {{ $labels.repository }}"
    return (
        _warn("ArchiveNotChecked", "dr_archive_checked_age_seconds > 300", 300, f"{_HOST}: nobody looks after the archive", "archive"),
        _warn("ArchiveMissing", "dr_postgres_up == 1 unless on (host) dr_archive_checked_age_seconds", 900, f"{_HOST} says nothing of its archive", "archive"),
        _warn("ArchiveBehind", "dr_archive_waiting_files > 16", 600, f"{_HOST}: {{{{ $value }}}} segments wait for the archive", "archive"),
        _warn(
            "ArchiveOld", f"dr_archive_last_age_seconds > {HOUR} {_WRITES}", 600,
            f"{_HOST}: the last segment was archived {{{{ $value | humanizeDuration }}}} ago", "archive",
        ),
        _warn("ArchiveRepositoryDown", "dr_archive_repository_up == 0", 900, f"{_HOST}: {repository} does not answer", "archive"),
        _warn("ArchiveGap", "dr_archive_repository_gap == 1", 1800, f"{_HOST}: {repository} lacks WAL", "archive"),
        _page("ArchiveDropped", "dr_archive_dropped == 1", 0, f"{_HOST}: there is WAL that no repository has", "archive"),
        _warn(
            "BackupOld", f"time() - max by (repository) (dr_archive_newest_backup_timestamp_seconds) > {26 * HOUR}", 600,
            f"the newest backup in {repository} is {{{{ $value | humanizeDuration }}}} old", "archive",
        ),
        _warn("BackupFailed", "dr_archive_backup_failed == 1", 0, f"{_HOST}: the last backup to {repository} failed", "archive"),
        _page("BackupDamaged", "dr_archive_damaged_pages == 1", 0, f"{_HOST}: the database has damaged pages", "data-lost"),
        _warn(
            "RestoreNotRehearsed", f"time() - max(dr_archive_rehearsed_timestamp_seconds) > {35 * DAY}", HOUR,
            "the last proof of a restore is {{ $value | humanizeDuration }} old", "by-day",
        ),
    )  # fmt: skip


def _cache() -> tuple[Rule, ...]:
    return (
        _warn("CacheDown", "dr_redis_up == 0", 120, f"{_HOST}: Redis does not run", "cache"),
        _warn("CacheLinkDown", "dr_redis_link_up == 0", 300, f"{_HOST}: its master does not answer", "cache"),
        _warn("CacheBehind", f"dr_redis_lag_bytes > {MIB}", 300, f"{_HOST} is {{{{ $value | humanize1024 }}}}B behind", "cache"),
        _warn(
            "CacheFull", "dr_redis_used_memory_bytes / (dr_redis_max_memory_bytes > 0) > 0.95", 900,
            f"{_HOST}: {{{{ $value | humanizePercentage }}}} of its memory is used", "cache",
        ),
    )  # fmt: skip


def _lease() -> tuple[Rule, ...]:
    return (
        _warn("AgentDown", "dr_agent_up == 0", 120, f"{_HOST}: the lease's agent is not at work", "host-lost"),
        _page(
            "LeaseNearlyOut", f"dr_lease_left_seconds < 10 {_PRIMARY}", 0,
            f"{_HOST} stops its service in {{{{ $value }}}} s, unless it is heard", "witness-silent",
        ),
        _page("LeaseStopped", f'dr_lease_state{{state="stopped"}} == 1 {_PRIMARY}', 0, f"{_HOST} has stopped its service: nobody heard it", "witness-silent"),
        _warn("WitnessSilent", "dr_agent_witness_up == 0", 120, f"{_HOST}: the witness does not answer", "witness-silent"),
        _warn(
            "CounterpartSilent", f"dr_agent_counterpart_grants == 0 {_PRIMARY}", 300,
            f"{_HOST} is not granted its lease by the other region, the witness alone keeps it", "witness-silent",
        ),
    )  # fmt: skip


def _shop() -> tuple[Rule, ...]:
    # Of the whole time, also where it has been watched for a part of it: one question of three minutes that failed is no hour's.
    failing = 'sum_over_time((1 - avg by (target) (probe_success{target="shop"}))[%s:15s]) * 15 / %d > %g'
    return (
        # With both addresses in DNS, those who come by the one of a region that is gone are told of by that; the other one has to sell.
        _page(
            "ShopDown",
            'max(probe_success{target="shop"}) == 0 unless on () (max(probe_success{target="entrance"}) == 1'
            ' and on () min(sum by (site) (up{job="node"})) == 0)', 30,
            "the shop does not answer under its name", "shop-answers-badly",
        ),
        _warn("ShopNotAsked", 'absent(probe_success{target="shop"})', 300, "nobody asks the shop as a customer does", "by-day"),
        _warn("EntranceDown", 'probe_success{target="entrance"} == 0', 120, "the entrance of region {{ $labels.site }} does not answer", "shop-answers-badly"),
        _page(
            "NoAppHealthy", f"max by (site) (dr_app_healthy {_PRIMARY}) == 0", 60,
            "no app host of region {{ $labels.site }} takes requests", "shop-answers-badly",
        ),
        _warn("AppUnhealthy", f"dr_app_healthy == 0 {_PRIMARY}", 180, f"{_HOST}: Puma takes no requests", "shop-answers-badly"),
        _warn("WorkerDown", f"dr_app_worker_up == 0 {_PRIMARY}", 600, f"{_HOST}: its worker does not run", "shop-answers-badly"),
        # Of an objective of 99.9 % in 30 days: 14.4 times too fast is 2 % of it in an hour, 6 times is 5 % in six.
        _page(
            "ErrorBudgetBurnsFast", f'{failing % ("1h", HOUR, 0.0144)} and {failing % ("5m", 300, 0.0144)}', 120,
            "{{ $value | humanizePercentage }} of the questions of the last hour failed", "shop-answers-badly",
        ),
        _warn(
            "ErrorBudgetBurns", f'{failing % ("6h", 6 * HOUR, 0.006)} and {failing % ("30m", 1800, 0.006)}', 900,
            "{{ $value | humanizePercentage }} of the questions of the last six hours failed", "shop-answers-badly",
        ),
        _warn(
            "ShopSlow", 'avg by (target) (avg_over_time(probe_duration_seconds{target="shop"}[10m])) > 2', 600,
            "the shop answers in {{ $value | humanizeDuration }}", "shop-answers-badly",
        ),
        # Where the page for customers lies, the platform renews it.
        _warn(
            "ServedCertificateEnds", f'min by (target) (probe_ssl_earliest_cert_expiry{{target!="page"}}) - time() < {21 * DAY}', 3600,
            "customers are shown a certificate that ends in {{ $value | humanizeDuration }}", "certificates",
        ),
        # One region that cannot read it has lost its own way there; customers have others.
        _warn(
            "StatusPageUnread", 'max(probe_success{target="page"}) == 0', 300,
            "neither region is shown the page for customers where they are told that it is", "by-day",
        ),
    )  # fmt: skip


def _assets() -> tuple[Rule, ...]:
    return (
        _warn(
            "AssetsBehind", f"time() - dr_assets_oldest_unreplicated_timestamp_seconds > 1800 {_STANDBY}", 600,
            "the other region lacks a file since {{ $value | humanizeDuration }}", "files",
        ),
        _warn("AssetsFailed", f"dr_assets_last_run_success == 0 {_STANDBY}", 1800, "runs of the copier fail", "files"),
        _warn(
            "AssetsNotCopied", f"time() - dr_assets_last_run_timestamp_seconds > {HOUR} {_STANDBY}", 600,
            "the copier has not run since {{ $value | humanizeDuration }}", "files",
        ),
    )  # fmt: skip


def _monitoring() -> tuple[Rule, ...]:
    return (
        Rule(
            name=WATCHDOG, severity=Severity.NONE, expr="vector(1)", for_s=0,
            summary="alerting is alive: whoever does not hear this any more is to look", page="by-day",
        ),
        _warn("WatcherDown", 'up{job!="node"} == 0', 300, f"{{{{ $labels.job }}}} of {_HOST} does not answer", "by-day"),
        _warn("AlertmanagersApart", "alertmanager_cluster_members < 2", 300, f"{_HOST} hears no other Alertmanager", "by-day"),
        _warn(
            "AlertmanagerMissing", "prometheus_notifications_alertmanagers_discovered < 1", 300,
            f"{_HOST}: Prometheus knows nobody to tell", "by-day",
        ),
        _warn(
            MESSAGES_FAIL, "sum by (host, integration, kind, site) (increase(alertmanager_notifications_failed_total[10m])) > 0", 0,
            "{{ $labels.integration }} does not take what {{ $labels.host }} sends", "by-day",
        ),
        # Alertmanager has no end to its wait for a mail server that has let it in; for all others it has. What is begun and has neither been taken nor failed.
        _warn(MAIL_HANGS, _HANGING, 120, f"a mail server has let {_HOST} in and says nothing: no mail is sent from there until it does", "by-day"),
        # Prometheus says each again after a minute, so what it drops while an Alertmanager begins is not lost.
        _warn("AlertsDropped", "increase(prometheus_notifications_dropped_total[2m]) > 0", 300, f"{_HOST}: alerts reached no Alertmanager", "by-day"),
        # One for all groups of rules: they fail one after the other, and each would be another message.
        _warn(
            "RulesFail", "sum by (host, kind, site) (increase(prometheus_rule_evaluation_failures_total[10m])) > 0", 0,
            f"{_HOST}: rules could not be judged, or figures not be kept", "by-day",
        ),
    )  # fmt: skip


def _store() -> tuple[Rule, ...]:
    # A queue that never got anything through has no time of its last sample: it is missed, and not late.
    lately = "time() - prometheus_remote_storage_queue_highest_sent_timestamp_seconds < 120"
    refused = "sum by (host, kind, site) (increase(prometheus_remote_storage_samples_failed_total[10m])) > 0"
    return (
        _warn(
            "RemoteWriteFails", f'max by (host, kind, site) (up{{job="prometheus"}} == 1 unless on (host) {lately}) or on (host) {refused}', 300,
            f"{_HOST}: the store of figures does not take what it is sent", "by-day",
        ),
    )  # fmt: skip
