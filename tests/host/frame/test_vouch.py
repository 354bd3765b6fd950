"""The word to the guard holds for one start, and not much longer when whoever gave it was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.host.frame import vouch
from scripts.host.frame.boots import boottime
from scripts.host.frame.layout import Layout


def test_it_is_there_for_as_long_as_the_start_takes(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert vouch.given(layout) is None
    with pytest.raises(ValueError, match="start"), vouch.vouched(layout, 3):
        assert vouch.given(layout) == 3
        raise ValueError("start")
    assert vouch.given(layout) is None


def test_what_a_killed_process_has_left_is_no_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path)
    with vouch.vouched(layout, 3):
        left = (layout.run / "resume.json").read_bytes()
    (layout.run / "resume.json").write_bytes(left)
    assert vouch.given(layout) == 3
    now = boottime()
    monkeypatch.setattr(vouch, "boottime", lambda: now + vouch.LASTS_S)
    assert vouch.given(layout) is None
    monkeypatch.setattr(vouch, "boottime", lambda: now - 100)  # of a boot before this one
    assert vouch.given(layout) is None
    (layout.run / "resume.json").write_text("{")
    assert vouch.given(layout) is None
