"""`dr-host monitoring board`: a board's figures, asked of this control host's own Prometheus, which listens to nobody without a host's certificate.

What is asked are the queries of `contract/monitoring/panels.py` by the name of a board, and never a query of whoever calls.
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
from typing import Any

from contract.errors import Failed, Usage, say
from contract.monitoring.boards import LEAST_S, MOST_S, MOST_SERIES, times
from contract.monitoring.panels import BOARDS, MOVES, Board, Query
from contract.plain import phrase, shown

LIMIT_S = 5.0  # of one answer
MOST_BYTES = 4 * 2**20
_LABEL = re.compile(r"\{\{(\w+)\}\}")
Ask = Callable[[str, int, int, int], Any]  # expression, start, step, count -> the answer's `data.result`


class Prometheus:
    """Asked over one connection. A context manager."""

    def __init__(self, address: str, port: int, folder: Path) -> None:
        """`folder`: of ca.pem, host.crt and host.key. Raises Failed where one cannot be read."""
        try:
            context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
            context.load_cert_chain(folder / "host.crt", folder / "host.key")
        except (OSError, ssl.SSLError) as error:
            raise Failed(_said(address, f"no certificate to ask with ({phrase(str(error), 120)})")) from None
        self._address = address
        self._connection = http.client.HTTPSConnection(address, port, timeout=LIMIT_S, context=context)

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, expression: str, start: int, step: int, count: int) -> Any:
        """The series of a time. Raises Failed."""
        told = {"query": expression, "start": start, "end": start + step * (count - 1), "step": step, "timeout": "4s"}
        try:
            self._connection.request("GET", f"/api/v1/query_range?{urllib.parse.urlencode(told)}")
            answer = self._connection.getresponse()
            body = answer.read(MOST_BYTES + 1)
            if len(body) > MOST_BYTES:
                raise Failed(_said(self._address, f"an answer of more than {MOST_BYTES} bytes"))
            document = json.loads(body)
            return document["data"]["result"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise Failed(_said(self._address, phrase(f"{type(error).__name__}: {error}", 160))) from None


def _said(address: str, found: str) -> str:
    return say(
        subject=f"Prometheus at {address}",
        found=found,
        wanted="its figures",
        consequence="nothing can be shown from here",
        remedy="see `journalctl -u prometheus` on that host, and ask the other region's",
    )


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
