"""Which text of the product is which guard: what `test_proof.py` takes out, and which drill must see that it is gone."""

from __future__ import annotations

# guard: (file, what stands there, what stands there without the guard, drill that must see it, words with which it must)
GUARDS = {
    "fence: nobody waits until the lease has run out": (
        "scripts/links/silence.py",
        "            silent = self._await(min(granted.values()))",
        "            silent = {}",
        "isolated-region",
        "two writers at once",
    ),
    "witness: an epoch may be claimed twice": (
        "scripts/clients/witness.py",
        '            self._put(key, body, {"if-none-match": "*"})',
        '            __import__("time").sleep(5)\n            self._put(key, body)',
        "two-operators",
        "claimed more than once",
    ),
    "guard: a service starts whatever the witness says": (
        "scripts/host/guard.py",
        "    if found.active is not None and found.active != Active(role.epoch, role.site):",
        "    if role:\n        return 'whatever the witness says'\n    if found.active is not None and found.active != Active(role.epoch, role.site):",
        "region-returns-without-agent",  # the agent would stop what the guard has let start
        "the guard has refused: not within",
    ),
    "budget: any loss is within it": (
        "scripts/links/loss.py",
        "    found = []\n    if loss.bytes > budget.max_lag_bytes:",
        "    return []\n    if loss.bytes > budget.max_lag_bytes:",
        "loss-over-budget",
        "was not refused",
    ),
    "checkpoint: nobody waits for the old primary's last record": (
        "scripts/host/postgres/verbs.py",
        "            server.wait_replayed(checkpoint.lsn, checkpoint.timeline, limit)\n",
        "",
        "planned-move-stream-cut-at-the-stop",
        "was not refused",
    ),
    "age: a heartbeat is as old as its host's own clock says": (
        "scripts/clients/witness.py",
        "age_s=age_s",
        'age_s=__import__("time").time() - __import__("datetime").datetime.fromisoformat(told["at"]).timestamp()',
        "clock-off-on-one-side",
        "the age of the last heartbeat is not a true one",
    ),
    "follow: a region may take over before it has followed": (
        "scripts/links/epochs.py",
        "    if followed == newest.epoch:",
        "    if newest.epoch:",
        "stale-stack-file",
        "was not refused",
    ),
    "power: a server that nobody sees counts as off": (
        "scripts/clients/server_states.py",
        '"UNKNOWN": State(',
        '"UNKNOWN": State(stopped=True, ',
        "half-dead-region",
        "the fence was rung 2, wanted 3",
    ),
    "lease: a machine that stands still counts as stopped": (
        "scripts/links/power.py",
        "        standing = [server for server in sight.servers if server.stands] if sight else []",
        "        standing: list[Any] = []",
        "writers-paused",
        "was not refused",
    ),
    "fence: a region that sells is taken for a lost one": (
        "scripts/links/fence.py",
        "        if selling and not count.accepted:",
        "        if selling and not selling:",
        "living-region-without-ssh",
        "was not refused",
    ),
    "dead-man: nobody stops what a halted agent leaves running": (
        "scripts/host/agent/deadman.py",
        "        over = self.over(at)\n",
        "        over = None\n",
        "lease-agent-halted",
        "halted: the database took writes for",
    ),
}
