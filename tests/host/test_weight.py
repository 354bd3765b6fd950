"""What a reading of figures loads, twice a minute on every host: most of what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What each kind of host is asked by, beside what all of them are.
READ = {
    "db": ("agent.verbs", "host.monitoring.inside.database"),
    "cache": ("agent.verbs", "redis.status", "host.monitoring.inside.cache"),
    "app": ("app.verbs", "host.monitoring.inside.web"),
    "any": ("host.verbs",),  # as `drctl status` asks
}
# Documents that only a converge is told, the parts that converge and run, a parser of the library's, compressors, and OpenSSL where nothing is hashed.
APART = {
    *("contract.documents", "contract.epoch", "contract.services.app", "contract.services.postgres", "contract.services.redis"),
    *("scripts.host.agent.loop", "scripts.host.agent.run", "scripts.host.app.service", "scripts.host.app.web", "scripts.host.redis.config"),
    *("argparse", "ctypes", "gettext", "hashlib", "lzma", "secrets", "tempfile"),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(READ))
def test_a_reading_loads_what_it_asks_with_and_nothing_else(kind: str) -> None:
    modules = ", ".join(f"scripts.host.{it}" for it in ("__main__", "host.monitoring.verbs", *READ[kind]))
    told = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys, {modules}; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(told.stdout.split())
    assert "scripts.host.host.survey" in loaded
    assert sorted(loaded & APART) == []
