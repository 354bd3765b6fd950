"""Hosts of a pair that greet each other for real: the hosts' own code and OpenSSL, a folder for each host, a line each in place of a session of ssh."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from contract import fields
from contract.errors import DrError, Failed
from contract.greeting import Turn
from contract.hosts import APP, CACHE, DATABASE, kind_of
from scripts.host.frame.layout import Layout
from scripts.host.host.certificate import greeting
from scripts.host.postgres.layout import PostgresLayout

TLS = Mapping[str, Any]


def hosts(root: Path, tls: TLS) -> dict[str, Layout]:
    """With what converges put there, by host."""
    return {key: _host(root, key, tls) for key in tls["hosts"]}


def _host(root: Path, key: str, tls: TLS) -> Layout:
    layout, own, role = Layout(root / key), tls["hosts"][key], kind_of(key)
    places = {layout.etc / "host": (own, tls["ca"], layout.etc / "ca.pem")}
    if role == DATABASE:
        memory = {"version": 17, "port": 5432, "site": key[-1], "peer": "x"}
        postgres = PostgresLayout(layout)
        postgres.memory.parent.mkdir(parents=True, exist_ok=True)
        postgres.memory.write_text(json.dumps(memory))
        folder = postgres.tls
        places[folder / "server"] = (own, tls["database"]["ca"], folder / "clients.pem")
        places[folder / "client"] = (tls["database"]["clients"]["dr_replication"], tls["ca"], folder / "ca.pem")
    if role == CACHE:
        folder = layout.at("/etc/redis")
        places[folder / "dr"] = (tls["cache"]["hosts"][key], tls["cache"]["ca"], folder / "dr-ca.pem")
    if role == APP:
        folder = layout.at("/etc/shop/tls")
        for name in ("shop", "shop_worker"):
            places[folder / name] = (tls["database"]["clients"][name], tls["ca"], layout.etc / "ca.pem")
        places[folder / "cache"] = (tls["cache"]["clients"]["shop"], tls["cache"]["ca"], folder / "cache-ca.pem")
    for place, (pair, ca, trusted) in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_suffix(".crt").write_text(pair["cert"])
        place.with_suffix(".key").write_text(pair["key"])
        trusted.write_text(ca)
    return layout


class Line:
    """What `Conversation` is, with one of them. `spoil`: changes what it answers."""

    def __init__(self, layout: Layout, host: str, spoil: Callable[[dict[str, Any]], Any] | None = None) -> None:
        self._name, self._spoil = f"host {host}, dr-host certificate greet", spoil
        self._told: list[Turn] = []
        self._answers = greeting.answers(layout, self._turns())
        self.said = 0

    def _turns(self) -> Iterator[Turn]:
        while self._told:
            yield self._told.pop()

    def say(self, document: dict[str, Any], limit_s: float) -> dict[str, Any]:
        del limit_s
        self.said += 1
        self._told.append(fields.read(Turn, json.loads(json.dumps(document)), "line"))
        try:
            answer = fields.write(next(self._answers))
        except (DrError, StopIteration) as error:
            raise Failed(f"{self._name}: exit code 1: {error}") from None
        return dict(self._spoil(answer) if self._spoil else answer)
