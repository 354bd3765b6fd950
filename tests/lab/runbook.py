"""What the runbook has people type, where each of it is tried for real, and how it is typed in a lab."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from tests.components.stack import ROOT

PAGES = ROOT / "docs/runbook"
# Typed on a pair that is well, region a active, in this order, as they stand there; with the codes that may come of them.
ON_A_WELL_PAIR = {
    "drctl status": (0,),
    "drctl check": (0, 3),  # a lab has a witness without locks, and names that this machine's resolver does not know
    "drctl logs app-1.a --since 10m": (0,),
    "drctl logs db-1.a dr-archive-check --since 1h": (0,),
    "drctl logs db-1.b postgresql@17-main --since 1h": (0,),
    "drctl logs control-1.b dr-assets-sync --since 1h": (0,),
    "drctl logs --region a --since 10m": (3,),  # refused: of this pair no journal is copied
    "drctl ssh db-1.a dr-host archive status": (0,),
    "drctl ssh db-1.a systemctl start dr-archive-full": (0,),
    "drctl ssh cache-1.a dr-host redis status": (0,),
    "drctl ssh control-1.b dr-host assets status": (0,),
    "drctl ssh db-1.a cat /var/lib/dr/role.json": (0,),
    "drctl ssh db-1.b cat /var/lib/dr/role.json": (0,),
    "drctl ssh db-1.b": (0,),
    "drctl psql db-1.a": (0,),
    "drctl redis cache-1.a": (0,),
    "drctl state list": (0,),
    "drctl switchover b --dry-run": (0,),
    "drctl failover b --dry-run": (0,),
    "drctl drill switchover --dry-run": (0,),
    'drctl reboot b --reason "new kernel"': (0,),
    "drctl unlock a": (0,),
    "drctl unlock b": (0,),
    "drctl abort": (0,),
    "drctl drill restore": (0,),
    'drctl drill certificates --reason "of the quarter"': (0,),
    'drctl drill standby --hold 300 --reason "of the quarter"': (0,),
    "pulumi config set repair N -s region-a": (0,),
    "pulumi up -s region-a": (0,),
    "pulumi config set repair N -s region-b": (0,),
    "pulumi up -s region-b": (0,),
    # There and back; then there, and home again by the two that a region which is back is brought home by.
    'drctl drill switchover --window 02:00-04:00 --hold 900 --reason "of the quarter"': (0,),
    'drctl switchover b --reason "works in region a" --ticket 12': (0,),
    "drctl rejoin a": (0,),
    "drctl failback a": (0,),
}
# As it is typed in a lab: no hour of a night, no quarter of an hour away.
INSTEAD = {"--window 02:00-04:00 --hold 900": "--hold 5", "--hold 300": "--hold 10"}
# Needs a pair that is not well: which test or drill has it typed, by its name.
ELSEWHERE = {
    'drctl failover b --reason "region a is lost" --approved-by NAME': "test_a_region_that_is_lost_with_its_apis_needs_the_operators_word",
    'drctl failover b --reason "db-1.a is dead"': "moved_by_drctl",
    "drctl failover b --state-copy 3f9c12ab45de": "failover_without_backend",
    "drctl state restore 9d07ac55e1f2 --site b": "failover_without_backend",
    "drctl switchover b --resume": "test_a_switchover_whose_drctl_was_killed_is_gone_on_with",
    "drctl rollback": "deployed_under_load",
    "drctl rotate host-certificates": "certificates_renewed",
    "drctl rotate cache-certificates": "certificates_renewed",
    "drctl rotate database": "logins_rotated",
    "drctl confirm 0123456789ab": "watched_word",
    "openstack server stop <id>": "",  # as the next one; what the fence does by the same call is tried there too
    "openstack server start <id>": "",  # OpenStack's own program, for a server that is off: the lab's API has that call (tests/lab/cloud)
}
_AGREED = ("switchover", "failover", "failback", "reboot", "drill")
_OF_BOTH = ("switchover", "failover", "rejoin", "failback", "abort")


def commands() -> list[str]:
    """All that stands there to be typed, once each; a generation of `dr:repair` is N."""
    found: dict[str, None] = {}
    for page in sorted(PAGES.glob("*.md")):
        for line in re.findall(r"^ {4,}(?:scripts/)?((?:drctl|pulumi|openstack) .+)$", page.read_text(), re.MULTILINE):
            found.setdefault(re.sub(r"repair \d+", "repair N", line.partition("  #")[0].strip()))
    return list(found)


def typed(command: str, *, both: tuple[str, ...], one: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Words behind `drctl`, agreed to. `both`, `one`: options that name the stacks to those that ask for both or for one, that by its site."""
    for there, here in INSTEAD.items():
        command = command.replace(there, here)
    words = shlex.split(command)[1:]
    head = 2 if words[0] in ("drill", "state") else 1
    where = (
        both
        if words[0] in _OF_BOTH or words[:2] == ["drill", "switchover"]
        else one[words[1] if words[0] == "unlock" else "a"]
    )
    agreed = (
        ("--yes",) if words[0] in _AGREED and words[:2] not in (["drill", "restore"], ["drill", "certificates"]) else ()
    )
    return [*words[:head], *where, *agreed, *words[head:]]
