"""All rows, by where they are written."""

from __future__ import annotations

from tests.refused import data, hosts, network, runs, stores, web

THEMES = (network, web, data, stores, hosts, runs)
ROWS = {row.name: row for theme in THEMES for row in theme.ROWS}
ALLOWED = {row.name: row for theme in THEMES for row in theme.ALLOWED}
