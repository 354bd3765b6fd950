"""What is installed, from dpkg's own status file: asking dpkg costs ten times as much."""

from __future__ import annotations

import re

from ..frame.layout import Layout

_FIELD = re.compile(r"^(Package|Status|Version): (.+)$", re.MULTILINE)


def versions(layout: Layout) -> dict[str, str] | None:
    """By package; None when there is no such file."""
    try:
        text = layout.at("/var/lib/dpkg/status").read_text(errors="replace")
    except OSError:
        return None
    entries = [dict(_FIELD.findall(entry)) for entry in text.split("\n\n")]
    return {
        it["Package"]: it.get("Version", "")
        for it in entries
        if "Package" in it and it.get("Status", "").endswith(" ok installed")
    }
