"""Two stores that answer as told, and a copier between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.assets import cli
from scripts.assets.config import Endpoint, Job, Options
from scripts.assets.epoch import Epoch
from scripts.assets.output import result
from scripts.assets.sync import Run
from tests.assets.stub import Stub

OPTIONS = Options(
    concurrency=4,
    backoff_s=0.01,
    backoff_cap_s=0.05,
    timeout_s=5,
    attempts=6,
    grace_s=0,
    part_size=500_000,
    multipart_above=600_000,
    memory_limit=100_000,
    epoch_check_s=0,
)


class Pair:
    """`a` is the source, `b` the target."""

    def __init__(self, a: Stub, b: Stub, folder: Path) -> None:
        self.a, self.b, self.folder = a, b, folder
        self.options = OPTIONS

    def endpoint(self, name: str, stub: Stub) -> dict[str, str]:
        return {
            "endpoint": stub.endpoint,
            "region": stub.region,
            "bucket": stub.bucket,
            "access_key": "AK",
            "secret_key": "secret",
        }

    def job(self, **more: Any) -> Job:
        ends: dict[str, Any] = {
            name: Endpoint(name=name, **self.endpoint(name, stub))
            for name, stub in (("source", self.a), ("target", self.b))
        }
        return replace(Job(**ends, state_dir=self.folder / "state", options=self.options), **more)

    def sync(self, now: Callable[[], Epoch] | None = None, **more: Any) -> dict[str, Any]:
        """One run; its result, with `code` of the exit."""
        run = Run(self.job(**more), now)
        try:
            report = run.sync(lambda _: None)
            return result(run, "sync") | {"code": report.error.code if report.error else 0, "debt": run.tally.debt()}
        finally:
            run.close()

    def cli(
        self, capsys: pytest.CaptureFixture[str], *arguments: str, document: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any] | None, str]:
        """(exit code, stdout as JSON, stderr) of a command with this pair's document."""
        path = self.folder / "job.json"
        path.write_text(json.dumps(self.document() | (document or {})))
        code = cli.main([*arguments, "--config", str(path)])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    def document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "source": self.endpoint("source", self.a),
            "target": self.endpoint("target", self.b),
            "state_dir": str(self.folder / "state"),
            "options": {"backoff_s": 0.01, "backoff_cap_s": 0.05, "timeout_s": 5, "concurrency": 4, "epoch_check_s": 0},
        }


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Stub("assets-a", region="gra") as a, Stub("assets-b", region="sbg") as b:
        yield Pair(a, b, tmp_path)
