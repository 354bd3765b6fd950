"""What a run of pulumi refuses before it declares anything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.refused.ground import OPERATOR, Ground
from tests.refused.row import Allowed, Call, Row

_ONE = threading.Lock()  # they change the same files
REFUSED = ("refused",)


def preview(site: str, key: str, change: Callable[[Any], Any], words: str) -> Call:
    """A preview with another value of a key: `refused` where it fails with these words, `ok` where it goes on."""

    def call(ground: Ground) -> str:
        world = ground.world
        with _ONE, ground.at(OPERATOR):
            before = world.whole(site).get(f"dr:{key}")
            own = f"dr:{key}" in world.pulumi.files[site].read_text()
            world.configure(site, key, change(before))
            try:
                done = world.pulumi.call(
                    ["-s", f"region-{site}", "--config-file", str(world.pulumi.files[site]), "preview"]
                )
            finally:
                world.configure(site, key, before if own else None)
        if done.ok:
            return "ok"
        return "refused" if words in done.output and "Traceback" not in done.output else done.diagnostics[-300:]

    return call


def destroy(ground: Ground) -> str:
    """Of the active site, past the engine's own plan, which asks nobody. `refused` where that is said before anything of the site has gone."""
    world = ground.world
    with _ONE, ground.at(OPERATOR):
        done = world.pulumi.destroy("a")
        stands = world.status("a").get("running") is True
    if done.ok:
        return "ok"
    said = "destroy of region a: it is active" in done.output and "Traceback" not in done.output
    return "refused" if said and stands else done.diagnostics[-300:]


def _other_epoch(_: Any) -> dict[str, Any]:
    return {"without_fence": {"epoch": 7, "at": "2026-01-01T00:00:00Z", "reason": "an order of long ago"}}


CONFIGURATION = "the configuration is looked at first"
ROWS = [
    Row(
        who="stack region-b",
        what="the site of region a",
        wanted=REFUSED,
        call=preview("b", "site", lambda _: "a", "dr:site"),
        closed_by=CONFIGURATION,
    ),
    Row(
        who="stack region-a",
        what="a region that there is not",
        wanted=REFUSED,
        call=preview("a", "failover_region", lambda _: "c", "failover_region"),
        closed_by=CONFIGURATION,
    ),
    Row(
        who="stack region-a",
        what="endpoints by http outside the lab",
        wanted=REFUSED,
        call=preview("a", "lab", lambda _: None, "https://"),
        closed_by=CONFIGURATION,
    ),
    Row(
        who="stack region-a",
        what="a word of long ago for another epoch",
        wanted=REFUSED,
        call=preview("a", "accept", _other_epoch, "accept.without_fence"),
        closed_by=CONFIGURATION,
    ),
    Row(
        who="the operator",
        what="destroy the active site",
        wanted=REFUSED,
        call=destroy,
        closed_by="the active site is not destroyed",
    ),
]
ALLOWED = [
    Allowed(
        who="stack region-a", what="a preview", answer="ok", call=preview("a", "failover_region", lambda _: "a", "")
    )
]
