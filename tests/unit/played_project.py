"""A project's folder with one stack file, as `drctl` finds it; its secrets are not in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.ctl.commands import arguments
from tests.components import stack


def lay(folder: Path, site: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Into `folder`, which is the project from now on. Returns `dr:secrets`, for whoever plays pulumi."""
    values = stack.configuration(site)
    secrets = values.pop("secrets")
    own = {f"dr:{key}": values.pop(key) for key in ("site", "failover_region")}
    (folder / f"Pulumi.region-{site}.yaml").write_text(yaml.safe_dump({"config": own}))
    shared = {f"dr:{key}": {"value": value} for key, value in values.items()}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "dr", "config": shared}))
    monkeypatch.setattr(arguments, "PROJECT", folder)
    return secrets
