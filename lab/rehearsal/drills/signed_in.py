"""Who has signed in, when a host is somebody else's."""

from __future__ import annotations

import json
from typing import Any

from lab.rehearsal.drills import drill
from lab.rehearsal.stacks import stack_name
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for

TOLD_S = 240.0  # each host tells once a minute, and a sign-in is judged once both ends had their time
# What root of a host can try against what it has told: with the key that lies there, over it and against it.
AGAINST = """
import sys; sys.path.insert(0, "/opt/dr/dr-host.pyz")
from pathlib import Path
from host.frame.witness import Witness
w = Witness.of_file(Path("/etc/dr/witness.json"))
names = sorted(w.names("logs/{site}/db-1/"))
with w._talk() as talk:
    print(talk.ask("DELETE", names[0], {{}}).status, talk.ask("GET", names[0], {{}}).status, talk.ask("PUT", "logs/{site}/app-1/x", {{}}, b"x").status)
"""


def audit(stage: Stage, since: str = "24h") -> tuple[int, dict[str, Any], str]:
    """`drctl audit logins`: exit code, what it found, what it says is missing."""
    words = ["audit", "logins", "--json", "--since", since, "--stack", stack_name("a")]
    done = stage.pulumi.typed(*words, "--config-file", str(stage.pulumi.files["a"]))
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def _which(login: dict[str, Any]) -> tuple[int, str, str]:
    return login["at"], login["who"], login["port"]


@drill("log-wiped")
def log_wiped(stage: Stage, record: Record) -> None:
    """Root of a host wipes its journal and stops what tells of it: who had signed in stays told, the wiped journal shows, and so does who comes after."""
    active, standby = stage.active, stage.standby
    victim, quiet = f"db-1.{active}", f"db-1.{standby}"

    def told(*hosts: str) -> bool:
        found = audit(stage)[1].get("logins", [])
        return all(any(it["host"] == host for it in found) for host in hosts)

    wait_for("each host has told who has signed in", lambda: told(victim, quiet, f"control-1.{active}"), TOLD_S, 5)
    wait_for("nothing is missing of a pair that is well", lambda: audit(stage)[0] == 0, TOLD_S, 10)
    before = [it for it in audit(stage)[1]["logins"] if it["host"] == victim]
    record.figures["logins"] = len(before)
    record.expect(all(it["who"].startswith("SHA256:") for it in before), f"whose key it was is not told: {before[:2]}")
    tried = stage.line(victim, "python3 -", AGAINST.format(site=active)).split()
    record.expect(
        tried == ["403", "403", "403"], f"remove, read, put in another's name: found {tried}, wanted 403 each"
    )
    stage.line(victim, "journalctl --rotate; rm -rf /var/log/journal/*/*; systemctl restart systemd-journald")
    wait_for("the wiped journal shows", lambda: "before they could be kept" in audit(stage)[2], TOLD_S, 5)
    after = [it for it in audit(stage)[1]["logins"] if it["host"] == victim]
    missed = {_which(it) for it in before} - {_which(it) for it in after}
    record.expect(not missed, f"what was told before is gone: {sorted(missed)}")
    stage.line(quiet, "systemctl stop dr-authlog.timer")
    stage.line(quiet, "true")
    wait_for(
        "who comes to a host that tells no more is missed",
        lambda: f"control-1.{standby}: root" in audit(stage)[2],
        2 * TOLD_S,
        10,
    )
    stage.line(quiet, "systemctl start dr-authlog.timer")
