"""What is to be done with the cache: facts in, steps out. Pure, and the only place that decides about roles.

Two rules stand above all: a copy is never laid over data that may be newer, and an empty master never empties a server that holds keys.
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.errors import Refused, say

from ..frame.plan import LOOK_AGAIN, Step
from .config import ARMED
from .state import MASTER, REPLICA, Facts, Instance, Wanted
from .versions import unreadable

ACL, TLS = "/dr.acl", ("/dr.crt", "/dr.key", "/dr-ca.pem")  # what a server that runs reads when it is told to
GIVEN_UP = "its keys are given up (dr:redis cold_cache)"


def plan(facts: Facts, wanted: Wanted) -> list[Step]:
    """Steps in order; empty when all is as wanted. Raises Refused before anything is changed."""
    if wanted.active:
        return _become_master(facts, wanted)
    return _become_replica(facts, wanted)


def _become_master(facts: Facts, wanted: Wanted) -> list[Step]:
    local, peer = facts.local, facts.peer
    if _peer_holds_what_is_missing_here(facts):
        return _fetch_from_peer(facts, wanted)
    if local is None:
        forget, role = _begin_empty(facts, wanted), _role(facts, wanted, "primary")
        cost = [Step("record-start", "was down")] if role and wanted.epoch > 1 else []
        return [*forget, *_configure(facts, wanted, standby=False), *cost, *role, _launch(facts), LOOK_AGAIN]
    if local.role == REPLICA:
        return [*_take_over(facts, wanted, local), LOOK_AGAIN]
    role = _role(facts, wanted, "primary")
    # A handover that broke off after the promotion: the old master still takes writes.
    turn = [Step("turn-peer", wanted.peer_name)] if role and peer is not None and peer.role == MASTER else []
    cost = [Step("record-promotion")] if facts.role != "primary" and not facts.recorded and wanted.epoch > 1 else []
    settings = _apply_settings(facts, wanted)
    if any(step.name == "restart" for step in settings):
        _refuse_to_outrun(facts, wanted)
    return [*turn, *cost, *_configure(facts, wanted, standby=False), *role, *settings]


def _refuse_to_outrun(facts: Facts, wanted: Wanted) -> None:
    """A restart begins what is installed by now: not while the replica could not follow that."""
    peer = facts.peer
    if peer is not None and peer.role == REPLICA and unreadable(peer.software, facts.installed):
        raise Refused(
            say(
                subject="restart of this cache, which other settings need",
                found=f"{facts.installed} installed, and at {wanted.peer_name} {peer.software}, which cannot read what that saves",
                wanted="the replica's version first",
                consequence="the replica would be left behind; nothing was changed",
                remedy=f"upgrade the cache of {wanted.peer_name} (the standby first), then run the same again",
            )
        )


def _peer_holds_what_is_missing_here(facts: Facts) -> bool:
    """Whether this host, as a master, would make the peer forget: it is empty and the peer is not, or the peer is the master today."""
    local, peer = facts.local, facts.peer
    if peer is None:
        return False
    if local is None:
        return peer.role == MASTER or (peer.keys > 0 and not facts.data)
    return local.role == MASTER and local.keys == 0 and peer.role == REPLICA and peer.keys > 0 and not peer.link_up


def decided_by_the_witness(facts: Facts, wanted: Wanted) -> bool:
    """Whether only the witness can tell the first start of the first site from a host whose data is gone."""
    alone = facts.local is None and facts.peer is None and not facts.data
    return wanted.active and alone and not facts.had_data and wanted.epoch == 1 and not wanted.cold


def _begin_empty(facts: Facts, wanted: Wanted) -> list[Step]:
    """Leave to start a master without data. The replica, once it hears of it, would copy the emptiness by itself."""
    if facts.data:
        return []
    first = wanted.epoch == 1 and not facts.had_data and facts.peer_followed is False
    if first or wanted.cold or facts.peer is not None:
        return [Step("forget-data")] if facts.had_data else []
    doubt = " and the witness does not say whether there ever was a replica" if facts.peer_followed is None else ""
    raise Refused(
        say(
            subject="data of this cache",
            found=f"none, nobody answers at {wanted.peer_name} ({facts.peer_error}){doubt}",
            wanted="the keys of the pair",
            consequence="an empty master would empty its replica as soon as they meet; nothing was changed",
            remedy=f"bring {wanted.peer_name} back and run the same again (it fetches the keys), or begin empty: dr:redis cold_cache: true",
        )
    )


def _fetch_from_peer(facts: Facts, wanted: Wanted) -> list[Step]:
    """Follow the peer first; the handover comes in the next round."""
    lift = [] if facts.peer is not None and facts.peer.role == MASTER else [Step("promote-peer", wanted.peer_name)]
    join = [_launch(facts)] if facts.local is None else [Step("follow", wanted.peer_name)]
    role = _role(facts, wanted, "standby")
    return [
        *_configure(facts, wanted, standby=True),
        *_keep(facts),
        *role,
        *lift,
        *join,
        Step("await-link"),
        LOOK_AGAIN,
    ]


def spare(facts: Facts, wanted: Wanted) -> str | None:
    """What becomes of the keys when this host's own files cannot be read, so that it may start without them; None: they would be lost unasked."""
    peer = facts.peer
    if peer is not None and (peer.keys > 0 or (not wanted.active and not peer.emptied)):
        return f"its keys come from {wanted.peer_name}"
    return GIVEN_UP if wanted.cold else None


def _launch(facts: Facts) -> Step:
    """A unit that runs and does not answer as ours runs something else: Debian's example configuration, or an older password."""
    return Step("restart", "not ours as it runs") if facts.unit_active else Step("start")


def _keep(facts: Facts) -> list[Step]:
    """Put a copy of data that the leader may not have aside before a full copy replaces it."""
    local, leader = facts.local, facts.peer
    if local is None:
        return [Step("keep-diverged")] if facts.data and facts.role in ("primary", "fenced") else []
    contained = leader is not None and leader.goes_on_from(local)
    return [Step("keep-diverged")] if local.keys > 0 and not contained else []


def _take_over(facts: Facts, wanted: Wanted, local: Instance) -> Sequence[Step]:
    """This host follows; now it is to lead. Files and settings come after: nothing may stand between the decision and the handover."""
    _refuse_a_stranger(local, wanted)
    disarm = (
        [Step("set", ARMED)] if ARMED in local.differing else []
    )  # or the new master, without a replica yet, would refuse writes
    if facts.peer is None and wanted.cold and not wanted.planned:
        right = [path for path in facts.stale_files if path.endswith(ACL)]  # to empty it
        return [
            *disarm,
            *(Step("write", path) for path in right),
            *(Step("load-acl") for _ in right),
            Step("promote-cold"),
        ]
    if facts.peer is None or facts.peer.role == REPLICA:
        return [*disarm, *_promote(facts, wanted)]
    if local.master == wanted.peer and local.link_up:
        # A full cache uses a little more than its limit at all times: that alone is no reason.
        wider = facts.peer.maxmemory == 0 or facts.peer.maxmemory > wanted.maxmemory
        if wider and facts.peer.used_memory > wanted.maxmemory > 0:
            raise Refused(
                say(
                    subject="maxmemory of this cache",
                    found=f"{wanted.maxmemory} bytes",
                    wanted=f"more than the {facts.peer.used_memory} in use at the peer",
                    consequence="after the handover it would evict carts at once; nothing was changed",
                    remedy="raise dr:redis maxmemory in both stacks first",
                )
            )
        return [*disarm, Step("handover", wanted.peer_name)]
    if wanted.planned and facts.peer.role == MASTER and local.master != wanted.peer and local.master in wanted.pair:
        # It hangs on another of the other site's, which leads no more: the writes of the one that does have to come here first.
        return [*disarm, Step("follow", wanted.peer_name), Step("await-link")]
    if wanted.planned:
        raise Refused(
            say(
                subject="replication of the cache",
                found="link down" if local.master == wanted.peer else f"it follows {local.master}",
                wanted=f"link up to {wanted.peer_name}",
                consequence="a handover would lose carts; nothing was changed",
                remedy="mend the link (`dr-host redis status`), or do an unplanned failover",
            )
        )
    return [*disarm, *_promote(facts, wanted)]


def _promote(facts: Facts, wanted: Wanted) -> list[Step]:
    """With what it has in memory; where a full copy that broke off has left nothing there, with what its files have kept.

    Not where the lost master's last word was that it held nothing either: every cart was paid, and its files hold what is no more.
    """
    local = facts.local
    if local is None or local.keys > 0 or local.link_up or not facts.held or wanted.peer_keys == 0:
        return [Step("promote")]
    role = _role(facts, wanted, "primary")
    cost = [Step("record-start", "was empty")]
    return [*_configure(facts, wanted, standby=False), *cost, *role, Step("restart", "from its own files")]


def _refuse_a_stranger(local: Instance, wanted: Wanted) -> None:
    """Promoted beside a leader that this program does not know, this host would be a second one."""
    if wanted.pair and local.master not in wanted.pair and local.link_up:
        raise Refused(
            say(
                subject="cache of this host",
                found=f"a replica of {local.master}, which is in no stack file",
                wanted="one of the caches of the pair",
                consequence="promoted beside it, this host would be a second master; nothing was changed",
                remedy="set dr:redis cache_replicas back to 2 in both stacks and move the shop to the other site: there cache-1 leads, and then it can be 0",
            )
        )


def _become_replica(facts: Facts, wanted: Wanted) -> list[Step]:
    local = facts.local
    if local is not None and local.role == REPLICA and local.master == wanted.peer and local.link_up:
        arm = _arm(wanted) if facts.peer is not None and not facts.peer.armed else []
        return [
            *_configure(facts, wanted, standby=True),
            *_role(facts, wanted, wanted.role),
            *_apply_settings(facts, wanted),
            *arm,
        ]
    leader = _leader(facts, wanted)
    _refuse_the_unreadable(facts, wanted, leader)
    if not wanted.cold:
        _refuse_to_lose(facts, wanted, leader)
    steps = [
        *_configure(facts, wanted, standby=True),
        *_apply_settings(facts, wanted),
        *_keep(facts),
        *_role(facts, wanted, wanted.role),
    ]
    if local is None:
        steps.append(_launch(facts))
    elif local.role == MASTER or local.master != wanted.peer:
        steps.append(Step("follow", wanted.peer_name))
    return [*steps, Step("await-link"), *_arm(wanted)]


def _arm(wanted: Wanted) -> list[Step]:
    """The master has its replica (again): from now on it may ask for one."""
    return [Step("arm-peer", wanted.peer_name)] if wanted.min_replicas else []


def _refuse_the_unreadable(facts: Facts, wanted: Wanted, leader: Instance) -> None:
    """A copy in a newer format than this host's server knows."""
    own = facts.local.software if facts.local is not None else facts.installed
    if unreadable(own, leader.software):
        raise Refused(
            say(
                subject="version of this cache",
                found=f"{own}, which cannot read what {wanted.peer_name} ({leader.software}) saves",
                wanted="the leader's version or a newer one",
                consequence="it could not take the full copy that it needs; nothing was changed, and it keeps what it holds",
                remedy="the standby first, then the active site: upgrade this host's cache (`apt-get install --only-upgrade`), then run the same again",
            )
        )


def _refuse_to_lose(facts: Facts, wanted: Wanted, leader: Instance) -> None:
    """Never follow what would wipe newer data, or all of it."""
    local = facts.local
    remedy = "to keep this host's keys make this site active; to give them up set dr:redis cold_cache: true; a copy is kept beside them"
    contained = local is not None and leader.goes_on_from(local)
    if _holds_data(facts) and leader.emptied and not contained:
        raise Refused(
            say(
                subject=f"cache {wanted.peer_name}",
                found="a master that was started empty",
                wanted="one with the keys of the pair",
                consequence="following it would wipe the keys that this host still holds; nothing was changed",
                remedy=remedy,
            )
        )
    if local is not None and local.role == REPLICA and local.stream == leader.stream and local.offset > leader.offset:
        raise Refused(
            say(
                subject=f"cache {wanted.peer_name}",
                found=f"a master {local.offset - leader.offset} bytes behind this replica in the same stream",
                wanted="one that is not behind",
                consequence="it was set back, and following it would undo newer writes; nothing was changed",
                remedy=remedy,
            )
        )


def _leader(facts: Facts, wanted: Wanted) -> Instance:
    """The peer, when it is the master that this host may follow."""
    peer = facts.peer
    if peer is not None and (peer.role == MASTER or (wanted.chained and peer.link_up)):
        return peer
    found = f"nobody answers ({facts.peer_error})" if peer is None else f"a replica of {peer.master}"
    mend = f"mend {wanted.peer_name}"
    raise Refused(
        say(
            subject=f"cache {wanted.peer_name}",
            found=found,
            wanted="the master of this epoch",
            consequence="this host stays as it is, for its data may be the newer; nothing was changed",
            remedy=f"run `pulumi up -s region-{wanted.before}` first, then the same again; where it does not help, {mend}"
            if wanted.before
            else f"{mend}, then run the same again",
        )
    )


def _holds_data(facts: Facts) -> bool:
    return facts.data if facts.local is None else facts.local.keys > 0


def _configure(facts: Facts, wanted: Wanted, *, standby: bool) -> list[Step]:
    """Files, and the unit at boot. `stale_files` was learned for the role of the epoch: the conf of the other role is told apart."""
    stale = [path for path in facts.stale_files if not path.endswith("/dr.conf")]
    conf_is_stale = len(stale) != len(facts.stale_files)
    conf = conf_is_stale if standby != wanted.active else not facts.standby_conf
    steps = [Step("write", path) for path in stale]
    if conf:
        steps.append(Step("write-conf", "standby" if standby else "primary"))
    if any("/systemd/" in path for path in (*stale, *facts.unloaded)):
        steps.append(Step("daemon-reload"))
    if not facts.unit_enabled:
        steps.append(Step("enable"))
    return steps


def _role(facts: Facts, wanted: Wanted, role: str) -> list[Step]:
    return [] if (facts.role, facts.role_epoch) == (role, wanted.epoch) else [Step("role", role)]


def _apply_settings(facts: Facts, wanted: Wanted) -> list[Step]:
    """Bring a running server to what its files say; empty when it does not run, for then it will read them."""
    if facts.local is None:
        return []
    fixed = [name for name in facts.local.differing if name not in wanted.runtime]
    if fixed:
        return [Step("restart", " ".join(sorted(fixed)))]
    steps, fresh = [], (*facts.stale_files, *facts.unloaded)
    # Before a certificate is wanted of those who ask: this run has one of the CA that is loaded here.
    if any(path.endswith(TLS) for path in fresh):
        steps.append(Step("load-tls"))
    steps += [Step("set", name) for name in sorted(facts.local.differing)]
    if any(path.endswith(ACL) for path in fresh):
        steps.append(Step("load-acl"))
    return steps
