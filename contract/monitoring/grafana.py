"""The boards of `panels.py` as Grafana reads them, a JSON model each. Pure.

For a Grafana that somebody has already: its data source is a variable, so any that holds the figures will do. The model is the one of schema 39
(Grafana 10 and later take it and bring it up to their own).
"""

from __future__ import annotations

from typing import Any

from .panels import BOARDS, MOVES, Board, Panel, Unit

FOLDER = "examples/grafana"
_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 3
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_UNITS = {
    Unit.COUNT: "short",
    Unit.BYTES: "bytes",
    Unit.SECONDS: "s",
    Unit.RATIO: "percentunit",
    Unit.PER_SECOND: "ops",
    Unit.FLAG: "bool_yes_no",
}


def name_of(board: Board) -> str:
    """Of its file."""
    return f"{FOLDER}/{board.key}.json"


def model(board: Board) -> dict[str, Any]:
    """A whole dashboard, as `POST /api/dashboards/db` takes it within `dashboard`, and provisioning by files as it is."""
    return {
        "uid": f"shop-dr-{board.key}",
        "title": f"Shop: {board.title}",
        "tags": ["shop-dr"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "annotations": {
            "list": [
                {
                    "name": "Moves",
                    "datasource": _SOURCE,
                    "enable": True,
                    "iconColor": "orange",
                    "expr": f"{MOVES.expr} > {MOVES.expr.replace(')', ' offset 1m)')}",
                    "titleFormat": "the shop has moved",
                    "step": "30s",
                }
            ]
        },
        "links": [
            {"title": "Boards", "type": "dashboards", "tags": ["shop-dr"], "asDropdown": True, "keepTime": True},
        ],
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    flag = {"min": 0, "max": 1, "decimals": 0} if panel.unit is Unit.FLAG else {}
    whole = {"max": 1} if panel.unit is Unit.RATIO else {}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about + (f" Empty: {panel.may_be_empty}." if panel.may_be_empty else ""),
        "datasource": _SOURCE,
        "gridPos": {
            "x": number % _COLUMNS * _WIDTH,
            "y": number // _COLUMNS * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": _UNITS[panel.unit],
                "min": 0,
                "custom": {"lineInterpolation": "stepAfter" if panel.unit is Unit.FLAG else "linear"},
                **flag,
                **whole,
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": it.expr, "legendFormat": it.legend}
            for at, it in enumerate(panel.queries)
        ],
    }


def models() -> dict[str, dict[str, Any]]:
    """All of them by the name of their file."""
    return {name_of(board): model(board) for board in BOARDS.values()}
