"""What this region's Prometheus has to say for the public page. Works is said on a figure that says so, and never for want of a bad one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from contract.dataclass import dataclass
from contract.monitoring.rules import REGION_GONE, WATCHDOG
from contract.monitoring.status_page import OF_ALERTS, Part, State, View
from contract.sites import SITES

Ask = Callable[[str], Any]  # expression -> the answer's `data.result`; raises Failed
OLD_S = 45.0  # of a probe or a judgement, taken each 10 s
# Hosts tell of themselves each 30 s; a file of figures that stands still goes on being scraped.
_TOLD = "and on (host) time() - dr_host_survey_timestamp_seconds < 90"
_PRIMARY = f"dr_postgres_in_recovery == 0 and on (host) dr_postgres_up == 1 {_TOLD}"
_SHOP = 'probe_success{target="shop"}'


def queries(max_lag_bytes: int) -> dict[str, str]:
    """By what each is called below. A minute of a database: a figure that was missed once is no loss of a copy. Of the primary the same moments count, so
    that a Prometheus which has just begun misses no copy.
    """
    safe = f"dr_postgres_streaming == 1 and on (host) dr_postgres_replication_lag_bytes <= {max_lag_bytes} and on (host) ({_PRIMARY})"
    return {
        "shop": f"max(max_over_time({_SHOP}[25s]))",
        "steady": f"min(min_over_time({_SHOP}[60s]))",
        "age": f"max(time() - timestamp({_SHOP}))",
        "entrance": 'max(probe_success{target="entrance"})',
        "regions": 'sum by (site) (up{job="node"})',
        "primary": f"count(count_over_time(({_PRIMARY})[1m:10s]))",
        "safe": f"count(count_over_time(({safe})[1m:10s]))",
        "serving": 'sum by (site) (dr_role{role="primary", kind="db"})',
        "epoch": "max(dr_role_epoch)",
        "judged": f'max(time() - timestamp(ALERTS{{alertname="{WATCHDOG}", alertstate="firing"}}))',
        "alerts": 'sum by (alertname) (ALERTS{alertstate="firing", severity="page"})',
    }


@dataclass(frozen=True)
class Figures:
    """Answers: a number each, None where there is none; by label where there are several."""

    one: Mapping[str, float | None]
    regions: Mapping[str, float]
    serving: Mapping[str, float]
    alerts: frozenset[str]


def figures(ask: Ask, max_lag_bytes: int) -> Figures:
    """Raises Failed where Prometheus does not answer."""
    said = {name: list(_rows(ask(text))) for name, text in queries(max_lag_bytes).items()}
    return Figures(
        one={name: rows[0][1] if rows else None for name, rows in said.items()},
        regions=_by("site", said["regions"]),
        serving=_by("site", said["serving"]),
        alerts=frozenset(_by("alertname", said["alerts"])),
    )


def _rows(result: Any) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Labels and number of each; what is none of both is passed over."""
    for it in result if isinstance(result, list) else ():
        try:
            number = float(it["value"][1])
            labels = dict(it["metric"])
        except (KeyError, IndexError, TypeError, ValueError):
            continue
        if math.isfinite(number):
            yield labels, number


def _by(label: str, rows: list[tuple[Mapping[str, Any], float]]) -> dict[str, float]:
    return {str(labels[label]): number for labels, number in rows if label in labels}


def view(it: Figures, now: float) -> View:
    """`now`: by the clock of the page's store."""
    age, told = it.one["age"], {OF_ALERTS.get(name, Part.SYSTEMS) for name in it.alerts}
    primaries = [site for site in SITES if it.serving.get(site, 0) > 0]
    epoch = it.one["epoch"]
    return View(
        at=math.floor(now - min(max(age or 0.0, 0.0), OLD_S)),
        shop=_shop(it, told),
        data=_data(it, told),
        systems=_systems(it, told),
        serving=primaries[0] if len(primaries) == 1 else None,
        epoch=int(epoch) if epoch is not None and 1 <= epoch < 10**8 else None,
    )


def _shop(it: Figures, told: set[Part | None]) -> State:
    answers, age = it.one["shop"], it.one["age"]
    if answers is None or age is None or age > OLD_S:
        return State.UNKNOWN
    if answers > 0:
        return State.IMPAIRED if Part.SHOP in told or it.one["steady"] == 0 else State.WORKS
    # With both addresses in DNS those who come by that of a dead region are not served, and the others are (`ShopDown`).
    gone = REGION_GONE in it.alerts or min(it.regions.values(), default=1) == 0
    return State.IMPAIRED if gone and it.one["entrance"] == 1 else State.DOWN


def _data(it: Figures, told: set[Part | None]) -> State:
    if Part.DATA in told:
        return State.IMPAIRED
    if it.one["safe"]:
        return State.WORKS
    return State.IMPAIRED if it.one["primary"] else State.UNKNOWN


def _systems(it: Figures, told: set[Part | None]) -> State:
    judged = it.one["judged"]
    if Part.SYSTEMS in told or 0 in it.regions.values():
        return State.IMPAIRED
    known = judged is not None and judged <= OLD_S and set(SITES) <= it.regions.keys()
    return State.WORKS if known else State.UNKNOWN
