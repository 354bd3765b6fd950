"""Whether a cache has its data, and whether it once had: what tells a first start from a loss."""

from __future__ import annotations

from pathlib import Path

from ..frame.layout import Layout
from .config import Engine, find_engine


def present(layout: Layout, engine: Engine) -> bool:
    """Whether a server started on this host would find keys: it reads the append-only files, and never the saved one beside them."""
    return any((layout.at(engine.data) / "dr-aof").glob("*.manifest"))


def marker(layout: Layout) -> Path:
    """Exists once the cache of this host ran with files of its own."""
    return layout.var / "redis-had-data"


def gone(layout: Layout) -> str | None:
    """Why a master would start empty here although it had data, for the guard; None when it would not."""
    engine = find_engine(layout)
    if not marker(layout).exists() or present(layout, engine):
        return None
    return f"whose data is gone from {layout.at(engine.data)}"
