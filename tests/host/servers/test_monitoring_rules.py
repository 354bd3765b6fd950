"""Every rule fires when it shall and at no other time, by Prometheus' own judgement (`promtool test rules`), and names only what is exported."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contract.monitoring import rules
from contract.monitoring.metrics import BY_NAME
from contract.monitoring.rules import Limits, Rule, Severity
from contract.services.monitoring import Watch
from scripts.host.host.monitoring.config import SCRAPE_S, TIMEOUT_S, alertmanager
from scripts.host.host.monitoring.service import EVERY_S
from tests.host.servers.monitoring_cases import CASES, Case, Series

ROOT = Path(__file__).resolve().parents[3]
EACH_S = 15
DAY = 86_400
RULES = {rule.name: rule for group in rules.groups(Limits()).values() for rule in group}
RUNBOOK = "https://wiki.example/runbook"


def written(rule: Rule) -> dict[str, Any]:
    """A rule file of this rule alone, as it is written to hosts."""
    found = next(
        each
        for group in rules.document(Limits(), RUNBOOK)["groups"]
        for each in group["rules"]
        if each["alert"] == rule.name
    )
    return {"groups": [{"name": "one", "rules": [found]}]}


def step(rule: Rule) -> int:
    """Seconds between two looks: a week of them is too many."""
    return EACH_S if rule.for_s < DAY else 3600


def series(told: Series, until_s: int, each_s: int) -> list[dict[str, str]]:
    count = until_s // each_s + 2
    return [
        {"series": name, "values": f"0x1 _x{count}" if value is None else f"{value}x{count}"}
        for name, value in told.items()
    ]


def plays(rule: Rule, case: Case) -> list[dict[str, Any]]:
    """It has fired by its time, has not until it has waited long enough, and does not for the others."""
    each_s = step(rule)
    at_s = max(case.at_s, rule.for_s + 4 * each_s)
    asked = {"alertname": rule.name}
    alert = {
        "exp_labels": {**case.labels, "severity": str(rule.severity)},
        "exp_annotations": {"summary": case.said, "runbook_url": f"{RUNBOOK}/{rule.page}.md"},
    }
    bad = [{**asked, "eval_time": f"{at_s}s", "exp_alerts": [alert]}]
    if rule.for_s:
        bad.append({**asked, "eval_time": f"{rule.for_s - each_s}s", "exp_alerts": []})
    common = {"interval": f"{each_s}s", "external_labels": {"seen_from": "b"}}
    found = [{**common, "input_series": series(case.fires, at_s, each_s), "alert_rule_test": bad}]
    if case.quiet:
        calm = [{**asked, "eval_time": f"{time}s", "exp_alerts": []} for time in sorted({at_s - each_s, at_s})]
        found.append({**common, "input_series": series(case.quiet, at_s, each_s), "alert_rule_test": calm})
    return found


def judged(folder: Path, names: list[str]) -> str:
    """What promtool says; empty when all is well."""
    files = []
    for name in names:
        rule = RULES[name]
        (folder / f"{name}.rules.json").write_text(json.dumps(written(rule)))
        document = {
            "rule_files": [f"{name}.rules.json"],
            "evaluation_interval": f"{step(rule)}s",
            "tests": [play for case in CASES[name] for play in plays(rule, case)],
        }
        path = folder / f"{name}.test.json"
        path.write_text(json.dumps(document))
        files.append(str(path))
    done = subprocess.run(
        ["promtool", "test", "rules", *files], capture_output=True, text=True, check=False, timeout=120
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_each_rule_fires_when_it_shall_says_its_value_and_is_quiet_otherwise(tmp_path: Path) -> None:
    assert not (said := judged(tmp_path, list(CASES))), said


def test_each_rule_has_its_cases() -> None:
    assert RULES.keys() == CASES.keys()
    for name, cases in CASES.items():
        assert all(case.quiet or RULES[name].severity is Severity.NONE for case in cases), f"{name} is always to fire"


def test_promtool_takes_the_file_that_hosts_are_given(tmp_path: Path) -> None:
    for limits in (Limits(), Limits(archived=False, stored=False)):
        path = tmp_path / "rules.json"
        path.write_text(json.dumps(rules.document(limits, RUNBOOK)))
        done = subprocess.run(
            ["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", RULES)
def test_a_rule_names_what_the_table_has_and_a_page_that_is_there(name: str) -> None:
    rule = RULES[name]
    assert (ROOT / "docs/runbook" / f"{rule.page}.md").is_file()
    assert named(rule.expr) <= BY_NAME.keys(), named(rule.expr) - BY_NAME.keys()


def named(expression: str) -> set[str]:
    """Names of metrics in an expression: words with an underscore outside of quotes and braces, and `up`."""
    plain = re.sub(r"\{[^}]*\}", "", re.sub(r'"[^"]*"', "", expression))
    functions = {"predict_linear", "avg_over_time", "sum_over_time", "group_left"}
    return {
        word
        for word in re.findall(r"[a-zA-Z_:][\w:]*", plain)
        if ("_" in word or word == "up") and word not in functions
    }


@pytest.mark.parametrize("name", ["TwoWriters", "TwoCacheLeaders"])
def test_what_compares_both_regions_waits_until_no_figure_is_of_before_a_move(name: str) -> None:
    oldest = EVERY_S + SCRAPE_S
    assert RULES[name].for_s > oldest, "each planned move would wake somebody"


def test_a_lost_region_is_told_within_a_minute() -> None:
    """The next look, the time that a dead host takes not to answer, the rule's own wait, the next judgement, what Alertmanager gathers."""
    watch = Watch(shop_host="shop.example", max_lag_bytes=1, max_lag_s=1, webhook="https://hook.example/x")
    (page,) = (it for it in alertmanager(watch)["route"]["routes"] if it["matchers"] == ['severity="page"'])
    wait = int(page["group_wait"].removesuffix("s"))
    assert SCRAPE_S + TIMEOUT_S + RULES["RegionGone"].for_s + SCRAPE_S + wait <= 60
