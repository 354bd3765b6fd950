"""`dr:monitoring` on the pair's own hosts: what is watched, what it costs there, and who is told when a host dies and when a region does."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from contract import fields
from contract.hosts import Sizes, first, host_names
from contract.monitoring import rules
from contract.monitoring.metrics import BY_NAME
from contract.monitoring.packages import packages
from contract.monitoring.panels import BOARDS
from contract.monitoring.silences import CAUSES, Undertaking
from contract.monitoring.status_page import DOCUMENT, PAGE, Document, Part, State, bound_s
from lab.rehearsal import stacks
from lab.rehearsal.drills import drill
from lab.rehearsal.receivers import ALIVE, WEBHOOK, Receivers
from lab.rehearsal.stacks import stack_name
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for

PAGE_BUCKET, PAGE_EVERY_S = "shop-status", 15
SEEN_S, HOST_S, REGION_S, OVER_S = 120, 120, 60, 120
COST_S = 30
AWAY_S = 120  # longer than any rule of a host that is away waits
AWAY = 'ALERTS{alertname="DatabaseHostDown",alertstate="firing"}'
QUIET = 'ALERTS{alertstate="firing",severity="page"}'
KEYS = "--cacert /etc/dr/ca.pem --cert /etc/dr/host.crt --key /etc/dr/host.key"
# What a healthy pair has no sample of, and what the guests of the lab lack: a kernel that lets them see its clock.
ABSENT = {
    "node_timex_offset_seconds",
    "dr_archive_rehearsed_timestamp_seconds",
    "dr_assets_oldest_unreplicated_timestamp_seconds",
    "dr_logs_behind_seconds",  # without dr:logs
    "dr_logs_store_behind_seconds",
}


@contextmanager
def monitoring(stage: Stage, keys: dict[str, Any], secrets: dict[str, Any]) -> Iterator[None]:
    """Both regions watch both, with these keys of `dr:monitoring` and this part of `dr:secrets`. Afterwards nothing of it runs."""
    try:
        _run(stage, keys, {**stage.world.secrets, "monitoring": secrets})
        yield
    finally:
        stage.fault("return-all")
        for site in "ab":
            wait_for(f"region {site} answers", partial(_answers, stage, site), 120, 1.0)
        _run(stage, {"enabled": False}, stage.world.secrets)
        _run(stage, None, stage.world.secrets)


@contextmanager
def watched(stage: Stage) -> Iterator[Receivers]:
    """Both regions watch both, write the page, and tell a webhook."""
    with Receivers() as people:
        page = {"bucket": PAGE_BUCKET, "public": True, "every_s": PAGE_EVERY_S}
        keys = {"retention_days": 1, "status_page": page}
        told = {"webhook": people.url(WEBHOOK), "watchdog": people.url(ALIVE)}
        with monitoring(stage, keys, {**told, "status_page": stage.world.make_page(PAGE_BUCKET)}):
            yield people


def _answers(stage: Stage, site: str) -> bool:
    return bool(stage.world.status(site))


def _run(stage: Stage, keys: dict[str, Any] | None, secrets: dict[str, Any]) -> None:
    for site in (stage.active, stage.standby):
        stage.world.configure(site, "monitoring", keys)
        stage.pulumi.config_set(site, "secrets", stacks.to_stdin(secrets), secret=True)
        stage.must(stage.pulumi.up(site), site)


def asked(stage: Stage, site: str, expression: str) -> list[dict[str, Any]]:
    """What the Prometheus of a region says."""
    control = f"{first('control')}.{site}"
    url = f"https://{control}.dr.internal:9090/api/v1/query?query={urllib.parse.quote(expression, safe='')}"
    found: list[dict[str, Any]] = json.loads(stage.line(control, f"curl -sS -m 8 {KEYS} '{url}'"))["data"]["result"]
    return found


def settles(stage: Stage) -> None:
    """Every target of both regions answers each, and the two hear each other."""
    # A node exporter each; of either region's control host Prometheus and Alertmanager; the own prober, and its two questions.
    config = stage.world.whole("a")
    sizes = Sizes(
        app=config["dr:app"].get("hosts", Sizes.app), cache_replicas=config["dr:redis"].get("cache_replicas", 0)
    )
    targets = 2 * len(host_names(sizes)) + 4 + 3
    for site in "ab":
        try:
            wait_for(f"all targets answer region {site}", partial(_all_up, stage, site, targets), SEEN_S, 1.0)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {_down(stage, site)}") from None
    wait_for(
        "the Alertmanagers hear each other",
        lambda: len(asked(stage, "a", "alertmanager_cluster_members == 2")) == 2,
        SEEN_S,
        1.0,
    )


def looks_well(stage: Stage) -> None:
    """That, every rule has its figures, and every panel its lines."""
    settles(stage)
    named = {name for rule in _rules() for name in re.findall(r"[a-z]\w+", rule.expr) if name in BY_NAME} - ABSENT
    wait_for("the rules' figures are there", lambda: named <= _exported(stage), SEEN_S, 1.0)
    for key, board in BOARDS.items():
        wanted = {f"{number}: {panel.title}" for number, panel in enumerate(board.panels) if not panel.may_be_empty}
        wait_for(f"board {key} has its figures", partial(_has, stage, key, wanted), SEEN_S, 2.0)


def _all_up(stage: Stage, site: str, targets: int) -> bool:
    return len(asked(stage, site, "up == 1")) == targets and not asked(stage, site, "up == 0")


def _down(stage: Stage, site: str) -> str:
    """Targets that do not answer, each with what Prometheus says of it; and how many do."""
    control = f"{first('control')}.{site}"
    url = f"https://{control}.dr.internal:9090/api/v1/targets?state=active"
    told = json.loads(stage.line(control, f"curl -sS -m 8 {KEYS} '{url}'"))["data"]["activeTargets"]
    down = [f"{it['labels']['job']} {it['labels']['host']}: {it['lastError']}" for it in told if it["health"] != "up"]
    return f"{len(told) - len(down)} do; {'; '.join(down)}"


def _has(stage: Stage, key: str, wanted: set[str]) -> bool:
    return wanted <= _shown(stage, key)


def _rules() -> list[rules.Rule]:
    return [rule for group in rules.groups(rules.Limits(stored=False)).values() for rule in group]


def _exported(stage: Stage) -> set[str]:
    return {it["metric"]["__name__"] for it in asked(stage, "a", 'count by (__name__) ({__name__=~".+"})')}


def _shown(stage: Stage, key: str) -> set[str]:
    """Panels of a board that have lines, as `drctl dashboard` asks for them."""
    told = json.dumps({"board": key, "seconds": 300})
    answer = stage.line(f"{first('control')}.a", "python3 /opt/dr/dr-host.pyz monitoring board", told)
    numbers = {int(name.partition(".")[0]) for name in json.loads(answer)["facts"]["lines"]}
    return {f"{number}: {BOARDS[key].panels[number].title}" for number in numbers}


def page(stage: Stage) -> Document:
    """The page for customers, as it is. Raises KeyError where there is none."""
    s3 = stage.world.s3("de")
    try:
        found = s3.get_object(Bucket=PAGE_BUCKET, Key=DOCUMENT)
    except s3.exceptions.NoSuchKey:
        raise KeyError(DOCUMENT) from None
    return fields.heard(Document, json.loads(found["Body"].read()), DOCUMENT, "it is none")


def _of_both(stage: Stage) -> bool:
    try:
        return set(page(stage).seen) == {"a", "b"}
    except KeyError:
        return False


def _read(stage: Stage) -> str:
    found = stage.world.s3("de").get_object(Bucket=PAGE_BUCKET, Key=PAGE)
    return str(found["Body"].read().decode())


def _says(stage: Stage, state: State) -> bool:
    """Of each part."""
    it = page(stage)
    return {it.standing(part).state for part in Part} == {state}


def writes_a_page(stage: Stage, record: Record) -> None:
    """Both regions write it, and it says that all is well."""
    wait_for("both regions write the page", partial(_of_both, stage), SEEN_S, 1.0)
    wait_for("the page says that all is well", partial(_says, stage, State.WORKS), bound_s(PAGE_EVERY_S), 0.5)
    wait_for("and so does what customers read", lambda: "Works. The shop answers." in _read(stage), PAGE_EVERY_S, 0.5)
    it, text = page(stage), _read(stage)
    record.expect(it.serving == stage.active, f"the page says that {it.serving} serves")
    hosts = [name for name in ("control-1", "db-1", "dr.internal") if name in text]
    record.expect(not hosts, f"the page names {hosts}")


def tells_of_a_dead_region(stage: Stage, record: Record, dark: float) -> None:
    """The region that is left writes alone, and says what is gone within what the page promises. Of the shop, too: drills have both addresses in DNS, and
    who is led to that of the dead region is not served.
    """

    def told() -> bool:
        return _says(stage, State.IMPAIRED) and set(page(stage).seen) == {stage.active}

    wait_for("the page tells of a dead region", told, bound_s(PAGE_EVERY_S), 0.5)
    record.figures["page_told_after_s"] = round(time.monotonic() - dark, 1)


def listens_nowhere_else(stage: Stage, record: Record) -> None:
    for site in "ab":
        control = f"{first('control')}.{site}"
        said = stage.line(control, "sh -c 'ss -Hltnp | grep prometheus'").splitlines()
        found = {line.split()[3].rpartition(":")[0] for line in said}
        record.expect(found == {stage.world.vrack(control), "127.0.0.1"}, f"{control} listens at {sorted(found)}")


def costs(stage: Stage, record: Record) -> None:
    """Memory (proportional set size) and processor time of what runs for monitoring alone, on each kind of host."""
    keys = [f"{name}.{stage.active}" for name in ("control-1", "db-1", "cache-1", "app-1")]
    before = {key: _spent(stage, key) for key in keys}
    time.sleep(COST_S)  # what is measured is time
    for key in keys:
        now, then = _spent(stage, key), before[key]
        seconds = now["at"] - then["at"]
        record.figures[f"cost {key}"] = {
            "servers_mib": round(now["memory"] / 1024, 1),
            "servers_cpu_percent": round(100 * (now["cpu"] - then["cpu"]) / seconds, 2),
            "reading_ms": round(1000 * now["reading"]),
        }


def _spent(stage: Stage, key: str) -> dict[str, float]:
    """`memory` in KiB, `cpu` in seconds since the servers' start, `reading` in seconds of the last reading of figures."""
    units = " ".join(packages(key.partition("-")[0]))
    said = stage.line(
        key,
        f"sh -c 'for u in {units}; do p=$(systemctl show -p MainPID --value $u); grep ^Pss: /proc/$p/smaps_rollup; systemctl show -p CPUUsageNSec $u; done;"
        " systemctl show -p CPUUsageNSec dr-figures | sed s/CPU/Figures/; date +At=%s.%N'",
    )
    memory = sum(int(it) for it in re.findall(r"^Pss:\s+(\d+)", said, re.MULTILINE))
    cpu = sum(int(it) for it in re.findall(r"^CPUUsageNSec=(\d+)", said, re.MULTILINE)) / 1e9
    reading = re.search(r"FiguresUsageNSec=(\d+)", said)
    at = re.search(r"At=([\d.]+)", said)
    assert at is not None
    return {"memory": memory, "cpu": cpu, "reading": int(reading[1]) / 1e9 if reading else 0.0, "at": float(at[1])}


@drill("monitored-host-and-region")
def monitored_host_and_region(stage: Stage, record: Record) -> None:
    """Each region watches both on its own hosts; the standby's database host dies, then its region, and is back: each is told once, and nothing else pages."""
    lost = stage.standby
    with watched(stage) as people:
        looks_well(stage)
        listens_nowhere_else(stage, record)
        writes_a_page(stage, record)
        costs(stage, record)
        began = time.monotonic()
        stage.fault("host", "kill", f"db-1.{lost}")
        wait_for("a dead host is told", lambda: bool(people.told("DatabaseHostDown", lost, since=began)), HOST_S, 0.2)
        record.figures["host_told_after_s"] = round(people.told("DatabaseHostDown", lost, since=began)[0] - began, 1)
        dark = time.monotonic()
        stage.fault("region-hosts", "kill", lost)
        wait_for("a dead region is told", lambda: bool(people.told("RegionGone", lost, since=dark)), HOST_S, 0.2)
        after = round(people.told("RegionGone", lost, since=dark)[0] - dark, 1)
        record.figures["region_told_after_s"] = after
        record.expect(after <= REGION_S, f"a dead region was told after {after} s, wanted {REGION_S} at most")
        tells_of_a_dead_region(stage, record, dark)
        back = time.monotonic()
        stage.fault("return-all")
        wait_for(
            "its return is told",
            lambda: bool(people.told("RegionGone", lost, since=back, firing=False)),
            OVER_S,
            0.2,
        )
        for name in ("DatabaseHostDown", "RegionGone"):
            times = len(people.told(name, lost, since=began))
            record.expect(times == 1, f"{name} was told {times} times, wanted once")
        pages = people.pages(began) - {"DatabaseHostDown", "RegionGone"}
        record.expect(not pages, f"paged besides: {sorted(pages)}")
        record.expect(bool(people.alive), "nobody has heard that alerting is alive")
    stage.settle()


@drill("standby-lost-on-purpose")
def standby_lost_on_purpose(stage: Stage, record: Record) -> None:
    """`drctl reboot` and `drctl drill standby` while both regions watch: nobody is told of what they cause, and their silences end with them."""
    lost, sells = stage.standby, stage.active
    with watched(stage) as people:
        settles(stage)
        for words in (["reboot", lost, "--host", "db-1"], ["drill", "standby", "--hold", str(AWAY_S)]):
            began = time.monotonic()
            with ThreadPoolExecutor(1) as pool:
                done = pool.submit(_typed, stage, *words, "--yes", "--reason", "a drill")
                wait_for("something is silenced", lambda: bool(silenced(stage, sells)), 60, 0.5)
                if words[0] == "drill":
                    wait_for("it is known as a fault", lambda: bool(asked(stage, sells, AWAY)), AWAY_S, 1.0)
            ended = done.result()
            record.expect(
                ended.returncode == 0,
                f"drctl {words[0]} ended with {ended.returncode}: {ended.stdout[-600:]}{ended.stderr[-1500:]}",
            )
            record.expect("warning: " not in ended.stderr, f"drctl {words[0]}: {ended.stderr[-1500:]}")
            wait_for("nothing is silenced", lambda: not silenced(stage, sells), OVER_S, 1.0)
            wait_for("nothing fires", lambda: not asked(stage, sells, QUIET), OVER_S, 1.0)
            told = {
                it
                for causes in (CAUSES[Undertaking.REBOOT], CAUSES[Undertaking.STANDBY])
                for it in causes.hosts + causes.site + causes.other
            }
            heard = people.pages(began) | (people.names(began) & told)
            record.expect(not heard, f"drctl {words[0]}: told all the same: {sorted(heard)}")
    stage.settle()


def silenced(stage: Stage, site: str) -> list[str]:
    """As a control host says it for `drctl status`, which waits for nobody for so long."""
    answer = stage.line(f"{first('control')}.{site}", "python3 /opt/dr/dr-host.pyz monitoring silenced")
    found: list[str] = json.loads(answer)["facts"]["silences"]
    return found


def _typed(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    head = 2 if words[0] == "drill" else 1
    return stage.pulumi.typed(
        *words[:head], "--stack", stack_name("a"), "--config-file", str(stage.pulumi.files["a"]), *words[head:]
    )
