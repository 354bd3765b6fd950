"""When a host's Sentinel is sent away: whoever chooses must be gone before roles change."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.host.frame import systemd
from scripts.host.frame.commands import Done
from scripts.host.frame.layout import Layout
from scripts.host.frame.rolefile import STANDBY, Role
from scripts.host.redis.engine import ENGINES
from scripts.host.redis.sentinel import UNIT, Sentinel


@pytest.mark.parametrize(
    ("state", "steps"),
    [("active", ["sentinel-off"]), ("deactivating", ["sentinel-off"]), ("inactive", [])],
)
def test_one_that_was_told_to_end_and_has_not_is_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, steps: list[str]
) -> None:
    """The run before had taken it from the machine's start, and gave up waiting for its end."""

    def systemctl(argv: list[str], **_: object) -> Done:
        return Done(0, state if argv[1] == "is-active" else "disabled", "")

    monkeypatch.setattr(systemd, "run", systemctl)
    layout = Layout(tmp_path)
    layout.units.mkdir(parents=True)
    (layout.units / UNIT).write_text("")
    desired = SimpleNamespace(grouped=True, envelope=SimpleNamespace(active=False))
    sentinel = Sentinel(desired, Role("a", "b", STANDBY, 3), ENGINES[0], layout, systemd.Systemd())  # type: ignore[arg-type]
    assert [step.name for step in sentinel.off(sentinel.facts())] == steps
