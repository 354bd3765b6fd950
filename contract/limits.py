"""How long things may take, in seconds: one table. What has to fit into something else is computed from it, or `tests/unit/test_limits.py` holds
it to that."""

from __future__ import annotations

# A link ends when its work is done; the limit is for a hang. By service on a host, by name on the operator's machine.
LINKS_S = {
    "host": 1200,
    "postgres": 7200,
    "redis": 900,
    "assets": 900,
    "app": 1200,
    "archive": 900,
    "monitoring": 1200,
    "logs": 1200,
    "fence": 640,
    "verify": 480,
    "pointer": 300,
    "forward": 120,
    "replication": 180,
    "keeper": 120,
}
REACHED_S = 120  # a turn asks for so long a host to which no connection leads: one that boots is back by then
LINKS_S["turn"] = 2 * max(LINKS_S["app"], LINKS_S["redis"]) + REACHED_S + 60  # it asks again one that failed
KILL_AFTER_S = 5  # what `timeout -k` waits after its first word
UNPACK_S = 300  # until an archive is in its place
PLACE_S = 900  # of a release on a host: fetched from a bucket, or from the other one, unpacked, looked at
FETCH_S = 300  # of that, for one bucket
PREPARE_S = 120  # `archive prepare`

RELEASE_S = 600  # what the process `release` may be given at most: the app's link waits for it

VERIFY_S = 400  # the proof asks for so long: a first app host may have a schema to make before it serves

# What the fence asks of hosts. A limit of the host's own is shorter, so that its sentence is heard instead of a silence.
QUICK_S = 20  # a question, and what needs no more than one
STOP_S = 90  # a clean stop with the checkpoint before it, or the start that undoes it; one that does not end is taken back within the same
AWAIT_S = 15  # until the stopped primary's last record is replayed here: the host's own limit ...
REPLAYED_S = AWAIT_S + 10  # ... and how long its answer is waited for
PROMOTE_S = 80
ENSURE_S = 35  # until the agent of the database that shall lead is at work ...
ENSURED_S = ENSURE_S + 5  # ... and how long the answer is waited for
DRAIN_S = 60  # until this site has replayed what the archives hold beyond the stream ...
DRAINED_S = DRAIN_S + 15  # ... and how long the answer is waited for

WITNESS_S = 30  # how long a witness that fell silent is asked whether a claim has arrived

# A fence that hangs is told to end at its limit, and takes back what it began: whether it has claimed is asked, the old primary is started, by another
# way where the first one is dead, and the workers after it. What ends before that leaves the shop stopped until the next run.
KILLS_AFTER_S = dict.fromkeys(LINKS_S, KILL_AFTER_S) | {"fence": WITNESS_S + STOP_S + QUICK_S + 60}

POWER_S = 90  # servers on or off, by their region's API ...
LOGIN_S = 20  # ... and how long one that never answers is asked

# The standby waits for the word to promote since before the stop, and since its agent is known to be at work. It gives up before the link is killed:
# what is left is for the claim, and for saying how it ended.
TALK_S = LINKS_S["fence"] - 2 * QUICK_S - ENSURED_S

# The longest that a lease may have to be waited for: beside the power, and with both drains and the promotion, it has to fit into the conversation.
SILENCE_S = TALK_S - POWER_S - 2 * DRAINED_S - PROMOTE_S
