"""What Prometheus, Alertmanager and their exporters are told, as texts. Pure. All of it is JSON, which is YAML as well.

Everything listens on the vRack address alone and wants a certificate of the hosts' CA from whoever comes; the prober listens on loopback.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contract.dataclass import dataclass
from contract.documents import Host
from contract.hosts import CONTROL, PORTS, kind_of
from contract.monitoring import rules
from contract.monitoring.rules import REGION_GONE, UNDELIVERED, Limits, Severity
from contract.services.monitoring import RemoteWrite, Watch
from contract.sites import other

from .page.html import REVISION

FOLDER = "/etc/dr/monitoring"
PROBER = "127.0.0.1:9115"
SCRAPE_S, TIMEOUT_S = 10, 5
PAGE_BYTES = "1MB"  # of the page for customers, which has some 20 KB
STORE_S, STORE_SECRET = 10, "store.secret"
SEEN_FROM = "seen_from"
FIGURES, PROMETHEUS, ALERTS, GOSSIP = (PORTS[name] for name in ("figures", "prometheus", "alerts", "gossip"))
# Without a sample that could differ: an error of these says more than a figure of others. Sizes, clocks, and what jobs tell.
COLLECTORS = (
    "cpu",
    "diskstats",
    "filesystem",
    "loadavg",
    "meminfo",
    "netdev",
    "pressure",
    "stat",
    "textfile",
    "time",
    "timex",
    "uname",
)


@dataclass(frozen=True)
class Place:
    """A host, where its files are, and the hosts of both sites by key ("db-1.a")."""

    site: str
    host: str
    hosts: Mapping[str, Host]
    folder: str = FOLDER

    @property
    def own(self) -> Host:
        return self.hosts[f"{self.host}.{self.site}"]

    @property
    def watching(self) -> list[str]:
        """Keys of the control hosts, the own one first."""
        mine = f"{self.host}.{self.site}"
        return sorted((key for key in self.hosts if kind_of(key) == CONTROL), key=lambda key: (key != mine, key))


def text(document: Mapping[str, Any]) -> str:
    """A file of it."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def web(place: Place) -> dict[str, Any]:
    """Of each of them: TLS, and who may come."""
    return {"tls_server_config": {**_served(place), "min_version": "TLS12"}}


def gossip(place: Place) -> dict[str, Any]:
    """Between Alertmanagers: the same both ways. With TLS it is TCP alone."""
    return {"tls_server_config": _served(place), "tls_client_config": _client(place)}


def _served(place: Place) -> dict[str, str]:
    return {
        "cert_file": f"{place.folder}/host.crt",
        "key_file": f"{place.folder}/host.key",
        "client_ca_file": f"{place.folder}/ca.pem",
        "client_auth_type": "RequireAndVerifyClientCert",
    }


def _client(place: Place) -> dict[str, str]:
    return {
        "ca_file": f"{place.folder}/ca.pem",
        "cert_file": f"{place.folder}/host.crt",
        "key_file": f"{place.folder}/host.key",
    }


# Of one target: what tells more is taken for one that is down, which an alert says, and fills the memory of no control host. A host's exporter tells some
# 1,500 figures.
BOUNDS: dict[str, Any] = {
    "body_size_limit": "8MB",
    "sample_limit": 10_000,
    "label_limit": 30,
    "label_name_length_limit": 100,
    "label_value_length_limit": 1000,
}


def prometheus(place: Place, watch: Watch) -> dict[str, Any]:
    """Both regions, each host under its name. `seen_from` is for the words of an alert and leaves with none: it would make two of one."""
    return {
        "global": {
            "scrape_interval": f"{SCRAPE_S}s",
            "scrape_timeout": f"{TIMEOUT_S}s",
            "evaluation_interval": f"{SCRAPE_S}s",
            "external_labels": {SEEN_FROM: place.site},
        },
        "rule_files": [f"{place.folder}/rules.yml"],
        "alerting": {
            "alert_relabel_configs": [{"regex": SEEN_FROM, "action": "labeldrop"}],
            "alertmanagers": [
                {
                    "scheme": "https",
                    "timeout": f"{TIMEOUT_S}s",
                    "enable_http2": False,  # there what it has given up stays in the connection, and overtakes what comes later
                    "tls_config": _client(place),
                    "static_configs": [{"targets": [f"{place.hosts[key].vrack}:{ALERTS}" for key in place.watching]}],
                }
            ],
        },
        "scrape_configs": [
            _scraped(place, "node", FIGURES, sorted(place.hosts)),
            _scraped(place, "prometheus", PROMETHEUS, place.watching),
            _scraped(place, "alertmanager", ALERTS, place.watching),
            *_probes(place, watch),
        ],
        **({"remote_write": [_store(place, watch, watch.remote_write)]} if watch.remote_write is not None else {}),
    }


def _store(place: Place, watch: Watch, told: RemoteWrite) -> dict[str, Any]:
    """Where figures go as well. What it does not take waits in the log that Prometheus keeps for itself anyway, two hours of it, and in no memory beyond
    the queue. `seen_from` tells the two that send apart.
    """
    found: dict[str, Any] = {
        "name": "store",
        "url": told.url,
        "remote_timeout": f"{STORE_S}s",
        "follow_redirects": False,  # the password is for this address
        "metadata_config": {"send": False},
        "queue_config": {
            "capacity": 2000,
            "max_shards": 4,
            "max_samples_per_send": 500,
            "max_backoff": "30s",
            "retry_on_http_429": True,
        },
        "write_relabel_configs": [{"target_label": "shop", "replacement": watch.shop_host}],
    }
    if told.tenant_header is not None:
        found["headers"] = {told.tenant_header: told.tenant}
    if watch.store_secret is not None:
        file = f"{place.folder}/{STORE_SECRET}"
        if told.user is None:
            found["authorization"] = {"credentials_file": file}
        else:
            found["basic_auth"] = {"username": told.user, "password_file": file}
    return found


def _scraped(place: Place, job: str, port: int, keys: list[str]) -> dict[str, Any]:
    return {
        "job_name": job,
        "scheme": "https",
        "tls_config": _client(place),
        "static_configs": [{"targets": [f"{place.hosts[key].vrack}:{port}"], "labels": labels(key)} for key in keys],
        "relabel_configs": [{"source_labels": ["host"], "target_label": "instance"}],
        **BOUNDS,
        # No target says which alerts are firing, nor when its figures were true.
        "honor_timestamps": False,
        "metric_relabel_configs": [{"source_labels": ["__name__"], "regex": "ALERTS.*", "action": "drop"}],
    }


def labels(key: str) -> dict[str, str]:
    """Of a host's figures."""
    return {"host": key, "kind": kind_of(key), "site": key.rpartition(".")[2]}


def _probes(place: Place, watch: Watch) -> list[dict[str, Any]]:
    """The prober's own figures, and its questions: the shop under its name, as customers find it, the own region's entrance by its address, and the page
    for customers where they are told that it is.
    """
    mine = labels(place.watching[0])
    asked = {"shop": f"https://{watch.shop_host}/"}
    if watch.entrance is not None:
        asked["entrance"] = f"https://{watch.entrance}/"
    if address := _page_address(watch):
        asked["page"] = address
    itself = {"job_name": "blackbox", "static_configs": [{"targets": [PROBER], "labels": mine}]}
    return [
        itself,
        *(
            {
                "job_name": f"probe-{name}",
                "metrics_path": "/probe",
                "params": {"module": [name], "target": [url]},
                "static_configs": [{"targets": [PROBER], "labels": {**mine, "target": name}}],
            }
            for name, url in asked.items()
        ),
    ]


def blackbox(place: Place, watch: Watch) -> dict[str, Any]:
    """How they are asked: as a customer does, who goes by the certificate. An answer counts for the page that is one of ours, not one that merely comes:
    a name that leads elsewhere leads to somebody's page, too.
    """
    trusted = {} if watch.shop_ca is None else {"ca_file": f"{place.folder}/shop-ca.pem"}
    http = {"preferred_ip_protocol": "ip4", "fail_if_not_ssl": True, "valid_status_codes": [200]}
    module = {"prober": "http", "timeout": f"{TIMEOUT_S - 1}s"}
    named = {**trusted, "server_name": watch.shop_host}
    modules = {
        "shop": {**module, "http": {**http, "tls_config": trusted}},
        "entrance": {**module, "http": {**http, "headers": {"Host": watch.shop_host}, "tls_config": named}},
    }
    if address := _page_address(watch):
        ours = {"fail_if_body_not_matches_regexp": [REVISION.pattern.decode()], "body_size_limit": PAGE_BYTES}
        modules["page"] = {**module, "http": {**http, "fail_if_not_ssl": address.startswith("https:"), **ours}}
    return {"modules": modules}


def _page_address(watch: Watch) -> str | None:
    return watch.status_page.address if watch.status_page else None


def alert_rules(watch: Watch) -> dict[str, Any]:
    """The rules, with what is configured elsewhere."""
    limits = Limits(
        max_lag_bytes=watch.max_lag_bytes,
        max_lag_s=watch.max_lag_s,
        archived=watch.archived,
        stored=watch.remote_write is not None,
    )
    return rules.document(limits, watch.runbook)


SUBJECT = "[{{ .Status | toUpper }}] {{ .CommonLabels.alertname }} {{ .CommonLabels.site }}"
BODY = "{{ range .Alerts }}{{ .Status }}: {{ .Annotations.summary }}\n{{ .Annotations.runbook_url }}\n{{ end }}"


def alertmanager(watch: Watch) -> dict[str, Any]:
    """Pages go to everybody at once, warnings to all but the pager; the watchdog has an address of its own, and goes there each minute.

    Each way is a receiver of its own, and that one fails is told by all others: those of one receiver wait for each other, and Alertmanager waits for a
    mail server that hangs for ever. While a region is gone, what is wrong with its hosts is no message of its own.
    """
    ways = _ways(watch)
    warned = [way for way in ways if way != PAGER]
    # That the one way of warnings fails, it cannot tell itself.
    alone = [PAGER] if PAGER in ways and len(warned) == 1 else []
    pages = {"group_wait": "5s", "group_interval": "1m", "repeat_interval": "4h"}
    rest = [f'severity!~"{Severity.PAGE}|{Severity.NONE}"']
    routes = [
        {
            "receiver": "watchdog",
            "matchers": [f'severity="{Severity.NONE}"'],
            "group_wait": "0s",
            "group_interval": "1m",
            "repeat_interval": "50s",
        },
        *({"receiver": way, "matchers": [f'severity="{Severity.PAGE}"'], "continue": True, **pages} for way in ways),
        *({"receiver": way, "matchers": rest, "continue": True} for way in warned),
        *({"receiver": way, "matchers": [f'alertname=~"{"|".join(UNDELIVERED)}"'], "continue": True} for way in alone),
    ]
    return {
        "global": {"resolve_timeout": "5m"},
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname", "site"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "24h",
            "routes": routes,
        },
        "inhibit_rules": [
            {
                "source_matchers": [f'alertname="{REGION_GONE}"'],
                "target_matchers": [f'alertname!="{REGION_GONE}"'],
                "equal": ["site"],
            },
        ],
        "receivers": [
            {"name": "nobody"},
            *({"name": way, **told} for way, told in ways.items()),
            {
                "name": "watchdog",
                **({"webhook_configs": [{"url": watch.watchdog, "send_resolved": False}]} if watch.watchdog else {}),
            },
        ],
    }


PAGER = "pager"  # whom a warning does not wake


def _ways(watch: Watch) -> dict[str, Any]:
    """Receivers by name; those that are configured."""
    found: dict[str, Any] = {}
    if watch.email is not None:
        found["mail"] = {"email_configs": [_mail(watch, to) for to in watch.email.to]}
    if watch.slack is not None:
        found["slack"] = {
            "slack_configs": [{"api_url": watch.slack, "send_resolved": True, "title": SUBJECT, "text": BODY}]
        }
    if watch.webhook is not None:
        found["webhook"] = {"webhook_configs": [{"url": watch.webhook, "send_resolved": True}]}
    if watch.pagerduty is not None:
        event = {
            "routing_key": watch.pagerduty,
            "url": watch.pagerduty_url,
            "send_resolved": True,
            "severity": "critical",
            "description": "{{ .CommonLabels.alertname }}: {{ (index .Alerts 0).Annotations.summary }}",
            "links": [{"href": "{{ (index .Alerts 0).Annotations.runbook_url }}", "text": "runbook"}],
        }
        found[PAGER] = {"pagerduty_configs": [event]}
    return found


def _mail(watch: Watch, to: str) -> dict[str, Any]:
    mail = watch.email
    assert mail is not None
    return {
        "to": to,
        "from": mail.sender,
        "smarthost": mail.server,
        "require_tls": mail.tls and not mail.server.endswith(":465"),
        "send_resolved": True,
        "headers": {"Subject": SUBJECT},
        "text": BODY,
        "html": "",
        **({"auth_username": mail.user, "auth_password": watch.smtp_password} if mail.user else {}),
    }


# --- how they are started


def node_arguments(place: Place, folder: str) -> list[str]:
    """`folder`: where jobs leave their figures."""
    return [
        "/usr/bin/prometheus-node-exporter",
        f"--web.listen-address={place.own.vrack}:{FIGURES}",
        f"--web.config.file={place.folder}/web.yml",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in COLLECTORS),
        "--no-collector.netdev.netlink",  # it reads the same from /proc, and its box has no netlink
        f"--collector.textfile.directory={folder}",
    ]


def prometheus_arguments(place: Place, watch: Watch, data: str) -> list[str]:
    return [
        "/usr/bin/prometheus",
        f"--config.file={place.folder}/prometheus.yml",
        f"--web.listen-address={place.own.vrack}:{PROMETHEUS}",
        f"--web.config.file={place.folder}/web.yml",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={watch.retention_days}d",
        f"--storage.tsdb.retention.size={watch.retention_gb}GB",
    ]


def alertmanager_arguments(place: Place, data: str) -> list[str]:
    peer = place.hosts[f"{place.host}.{other(place.site)}"]
    return [
        "/usr/bin/prometheus-alertmanager",
        f"--config.file={place.folder}/alertmanager.yml",
        f"--storage.path={data}",
        f"--web.listen-address={place.own.vrack}:{ALERTS}",
        f"--web.config.file={place.folder}/web.yml",
        f"--cluster.listen-address={place.own.vrack}:{GOSSIP}",
        f"--cluster.advertise-address={place.own.vrack}:{GOSSIP}",
        f"--cluster.tls-config={place.folder}/gossip.yml",
        f"--cluster.peer={peer.vrack}:{GOSSIP}",
        # Behind a cut they hear each other again before either tells what the other has told: a page waits five seconds.
        "--cluster.reconnect-interval=2s",
    ]


def blackbox_arguments(place: Place) -> list[str]:
    return [
        "/usr/bin/prometheus-blackbox-exporter",
        f"--config.file={place.folder}/blackbox.yml",
        f"--web.listen-address={PROBER}",
        "--log.level=warn",  # else each question is six lines of the journal
    ]
