"""This control host's own Prometheus, which listens to nobody without a host's certificate, and `dr-host monitoring board`: a board's figures.

What a board asks are the queries of `contract/monitoring/panels.py` by the name of a board, and never a query of whoever calls.
"""

from __future__ import annotations

import http.client
import json
import math
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from contract.errors import Failed, Usage, say
from contract.monitoring.boards import LEAST_S, MOST_S, MOST_SERIES, times
from contract.monitoring.panels import BOARDS, MOVES, Board, Query
from contract.plain import phrase, shown

LIMIT_S, ALL_S = 5.0, 14.0  # of one answer, and of a board's together: whoever asked has gone by then, and asks again
MOST_BYTES = 4 * 2**20
_LABEL = re.compile(r"\{\{(\w+)\}\}")
Ask = Callable[[str, int, int, int], Any]  # expression, start, step, count -> the answer's `data.result`


class Server:
    """One of this host's own that watch, asked over one connection by this host's certificate. A context manager."""

    name, wanted, consequence = "server", "its answer", "nothing can be told from here"
    unit = ""

    def __init__(self, address: str, port: int, folder: Path, limit_s: float = LIMIT_S) -> None:
        """`folder`: of ca.pem, host.crt and host.key. Raises Failed where one cannot be read."""
        self._address, self._until = address, time.monotonic() + ALL_S
        try:
            context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
            context.load_cert_chain(folder / "host.crt", folder / "host.key")
        except (OSError, ssl.SSLError) as error:
            raise self._failed(f"no certificate to ask with ({phrase(str(error), 120)})") from None
        self._connection = http.client.HTTPSConnection(address, port, timeout=limit_s, context=context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def request(self, method: str, path: str, document: Any = None) -> Any:
        """What it answers, None to a request that is answered with nothing. Raises Failed, also for what is no success."""
        body = None if document is None else json.dumps(document).encode()
        try:
            self._connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            found = answer.read(MOST_BYTES + 1)
            if len(found) > MOST_BYTES:
                raise self._failed(f"an answer of more than {MOST_BYTES} bytes")
            if answer.status >= 300:
                raise self._failed(f"status {answer.status} ({phrase(found.decode(errors='replace'), 160)})")
            return json.loads(found) if found.strip() else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(phrase(f"{type(error).__name__}: {error}", 160)) from None

    def _failed(self, found: str) -> Failed:
        return Failed(
            say(
                subject=f"{self.name} at {self._address}",
                found=found,
                wanted=self.wanted,
                consequence=self.consequence,
                remedy=f"see `journalctl -u {self.unit}` on that host, and ask the other region's",
            )
        )


class Prometheus(Server):
    """Of figures."""

    name, unit = "Prometheus", "prometheus"
    wanted, consequence = "its figures", "nothing can be shown from here"

    def ask(self, expression: str, start: int, step: int, count: int) -> Any:
        """The series of a time. Raises Failed."""
        return self._asked(
            "query_range", {"query": expression, "start": start, "end": start + step * (count - 1), "step": step}
        )

    def now(self, expression: str) -> Any:
        """The series as they are. Raises Failed."""
        return self._asked("query", {"query": expression})

    def _asked(self, what: str, told: Mapping[str, Any]) -> Any:
        if time.monotonic() > self._until:
            raise self._failed(f"not all of them within {ALL_S:.0f} s")
        document = self.request("GET", f"/api/v1/{what}?{urllib.parse.urlencode({**told, 'timeout': '4s'})}")
        try:
            return document["data"]["result"]
        except (KeyError, TypeError) as error:
            raise self._failed(phrase(f"{type(error).__name__}: {error}", 160)) from None


def asked_for(document: Mapping[str, Any]) -> tuple[Board, int]:
    """Which board, and of how many seconds. Raises Usage."""
    key, seconds = document.get("board"), document.get("seconds")
    if not isinstance(key, str) or key not in BOARDS:
        raise Usage(
            f"board: found {shown(str(key))}, wanted one of {', '.join(BOARDS)}; nothing was asked; use the drctl of this version"
        )
    if not isinstance(seconds, int) or not LEAST_S <= seconds <= MOST_S:
        raise Usage(
            f"seconds: found {shown(str(seconds))}, wanted {LEAST_S} to {MOST_S}; nothing was asked; choose another time"
        )
    return BOARDS[key], seconds


def figures(board: Board, seconds: int, site: str, ask: Ask, now: float | None = None) -> dict[str, Any]:
    """As `BoardFigures` says. `ask`: raises Failed."""
    start, step, count = times(time.time() if now is None else now, seconds)

    def lines(query: Query) -> Iterator[tuple[str, str]]:
        """Name and values of each series, by name."""
        said = ask(query.expr, start, step, count)
        named = [(_called(query.legend, it["metric"]), _values(it["values"], start, step, count)) for it in said]
        yield from sorted(named)[:MOST_SERIES]

    found = {
        f"{panel}.{at}.{number}": line
        for panel, it in enumerate(board.panels)
        for at, query in enumerate(it.queries)
        for number, line in enumerate(lines(query))
    }
    epochs = next(iter(lines(MOVES)), ("", ""))[1]
    told = {"board": board.key, "site": site, "start": start, "step": step, "points": count}
    return {
        **told,
        "epochs": epochs,
        "legends": {name: legend for name, (legend, _) in found.items()},
        "lines": {name: values for name, (_, values) in found.items()},
    }


def _called(legend: str, metric: Mapping[str, str]) -> str:
    return phrase(_LABEL.sub(lambda it: str(metric.get(it[1], "")), legend), 120)


def _values(found: Any, start: int, step: int, count: int) -> str:
    """One for each time, empty where there is none."""
    told = [""] * count
    for at, value in found:
        place, number = round((at - start) / step), float(value)
        if 0 <= place < count and math.isfinite(number):
            told[place] = f"{number:.6g}"
    return ",".join(told)
