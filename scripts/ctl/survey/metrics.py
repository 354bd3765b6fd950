"""Findings as metrics, for the textfile collector of node_exporter: how many of each check are in each state, and when that was.

A check that was not run leaves its old figures: `dr_check_timestamp_seconds` tells their age, and an alert looks at that first.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from contract.errors import Failed
from contract.plain import phrase
from scripts.ctl.survey.checks.row import Finding, State


def write(file: Path, findings: Sequence[Finding], *, at: float, took_s: float) -> None:
    """Whole or not at all, readable for the collector's user. `at`: seconds since 1970. Raises Failed."""
    text = "\n".join(lines(findings, at=at, took_s=took_s)) + "\n"
    fresh = ""
    try:
        handle, fresh = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        with os.fdopen(handle, "w") as made:
            made.write(text)
            os.fchmod(made.fileno(), 0o644)
        Path(fresh).replace(file)
    except OSError as error:
        with suppress(OSError):
            Path(fresh).unlink()
        raise Failed(
            f"file {phrase(str(file), 200)}: cannot be written ({error.strerror}), wanted the metrics in it; the checks are above, and the file is as it was; "
            "name a file in a folder that this user may write"
        ) from None


def lines(findings: Sequence[Finding], *, at: float, took_s: float) -> Iterator[str]:
    """In the text form of Prometheus. Labels are ids and words of ours: nothing that somebody else has said is among them."""
    yield "# HELP dr_check_timestamp_seconds When the checks were made, since 1970."
    yield "# TYPE dr_check_timestamp_seconds gauge"
    yield f"dr_check_timestamp_seconds {at:.0f}"
    yield "# HELP dr_check_duration_seconds How long it took to ask everybody."
    yield "# TYPE dr_check_duration_seconds gauge"
    yield f"dr_check_duration_seconds {took_s:g}"
    yield "# HELP dr_check_findings How many findings of a check are in a state."
    yield "# TYPE dr_check_findings gauge"
    severities = {it.id: it.severity for it in findings}
    counts = Counter((it.id, it.state) for it in findings)
    for name, severity in severities.items():
        for state in State:
            yield f'dr_check_findings{{id="{name}",severity="{severity}",state="{state}"}} {counts[name, state]}'
