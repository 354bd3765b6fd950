"""What a host says of itself (`host survey`) as metrics, in the text form of Prometheus: by the table of `contract/monitoring/metrics.py` alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from contract.hosts import kind_of
from contract.monitoring.metrics import Metric, of_host
from contract.plain import phrase

from ...frame.commands import run
from ...frame.files import make_folder, read_own, write_atomically

Facts = Mapping[str, Any]
CERTIFICATE_S = 5.0
LONGEST_LABEL = 200


def rendered(host: str, facts: Facts) -> str:
    """A whole file. `host`: its name within its site; `facts`: of a survey, with what `derived` adds. What is unknown has no sample. Pure."""
    return "".join(f"{line}\n" for metric in of_host(kind_of(host)) for line in _lines(metric, facts))


def derived(facts: Facts, certificate_ends: float | None) -> dict[str, Any]:
    """The survey, and what follows from it. `certificate_ends`: in seconds since 1970. Pure."""
    agent = facts.get("agent") or {}
    left, silent = _number(_at(agent, "lease.lease_s")), _number(agent.get("silent_s"))
    return {
        **facts,
        "silent_count": len(facts.get("silent") or ()),
        "failed_count": len(facts.get("failed") or ()),
        "certificate_ends": certificate_ends,
        "agent": {
            **agent,
            "witness_up": _is(agent.get("witness"), "answers"),
            "counterpart_grants": _is(agent.get("counterpart"), "grants"),
            "left_s": None if left is None or silent is None else max(left - silent, 0.0),
        },
    }


def ends(certificate: Path, known: Path) -> float | None:
    """When a certificate ends, in seconds since 1970; None where nobody can tell. `known`: what was found of it at the first time. To ask is an eighth
    of what a reading costs.
    """
    try:
        it = certificate.stat()
    except OSError:
        return None
    stamp = f"{it.st_ino} {it.st_size} {it.st_mtime_ns}"
    with contextlib.suppress(OSError, ValueError):
        of, _, found = read_own(known).strip().rpartition(b" ")
        if of == stamp.encode():
            return float(found)
    ends = _asked(certificate)
    if ends is not None:
        make_folder(known.parent)
        write_atomically(known, f"{stamp} {ends:.0f}\n".encode())
    return ends


def _asked(certificate: Path) -> float | None:
    import ssl  # noqa: PLC0415 - once for each certificate

    asked = run(["openssl", "x509", "-noout", "-enddate", "-in", str(certificate)], limit_s=CERTIFICATE_S, check=False)
    try:
        return float(ssl.cert_time_to_seconds(asked.out.strip().removeprefix("notAfter=")))
    except ValueError:
        return None


def _lines(metric: Metric, facts: Facts) -> Iterator[str]:
    samples = list(_samples(metric, _at(facts, metric.path)))
    if samples:
        yield f"# HELP {metric.name} {metric.help}"
        yield f"# TYPE {metric.name} {metric.type}"
        yield from (f"{metric.name}{label} {value}" for label, value in samples)


def _samples(metric: Metric, value: Any) -> Iterator[tuple[str, str]]:
    """Labels and value of each."""
    if metric.told:
        if isinstance(value, str):
            yield f'{{{metric.label}="{_escaped(value)}"}}', "1"
    elif metric.words:
        if isinstance(value, str):
            yield from ((f'{{{metric.label}="{word}"}}', str(int(word == value))) for word in metric.words)
    elif (number := _number(value)) is not None:
        yield "", f"{number:.15g}"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, bool | int | float) else None


def _at(facts: Any, path: str) -> Any:
    for part in path.split("."):
        facts = facts.get(part) if isinstance(facts, Mapping) else None
    return facts


def _is(value: Any, word: str) -> bool | None:
    return value == word if isinstance(value, str) else None


def _escaped(value: str) -> str:
    """A label's value: one line, of no more than it needs."""
    return phrase(value, LONGEST_LABEL).replace("\\", "\\\\").replace('"', '\\"')
