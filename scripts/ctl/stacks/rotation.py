"""The set of secrets on its way through a rotation: from stage to stage, each a function of the set before. Pure, but for what is made new.

What is let in beside lies below `rotation.<kind>`, with the stage and whether the stack's own run has brought it to its hosts (`applied`: a stack file
speaks for its region alone, all else is the same in both).
"""

from __future__ import annotations

import copy
import secrets as words
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from contract.dataclass import dataclass
from contract.rotation import FIRST_KEYS, Stage
from contract.services.postgres import PAIRS, REPLICATION_ROLE, Logins, other_pair
from scripts.ctl.stacks.secrets import (
    CLIENT,
    KEY_BASE_BYTES,
    PASSWORD_BYTES,
    Authority,
    certificates_of_caches,
    certificates_of_hosts,
    ssh_pair,
)

Secrets = dict[str, Any]
Names = Mapping[str, Sequence[str]]  # what the certificate of each host names, by host ("db-1.a")
_PLACE, _STAGE, _APPLIED, _SINCE = "rotation", "stage", "applied", "since"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What is particular to a kind. `fresh`: the new part of a set, None where the platform makes it; `turn`: puts a part in the place of what is in use,
    which it returns.
    """

    fresh: Callable[[Mapping[str, Any], Names], Secrets] | None
    turn: Callable[[Secrets, Mapping[str, Any]], Secrets]


def number(found: Mapping[str, Any], kind: str) -> int:
    """Of the stage that a set is at, from 1; 0 at rest. Raises KeyError, ValueError, TypeError, AttributeError for a broken one."""
    part = found.get(_PLACE, {}).get(kind)
    return 0 if part is None else 1 + list(Stage).index(Stage(part[_STAGE]))


def is_applied(found: Mapping[str, Any], kind: str) -> bool:
    """Whether the stack's own run has brought the stage to its hosts."""
    return found[_PLACE][kind][_APPLIED] is not False


def day(found: Mapping[str, Any], kind: str) -> str:
    """Since which it is in use."""
    return str(found[_SINCE][kind])


def shown(found: Mapping[str, Any], kind: str) -> str:
    """The day on which the stack's own run has brought the stage to its hosts; of a set that does not say it, that of `day`."""
    told = found[_PLACE][kind][_APPLIED]
    return told if isinstance(told, str) else day(found, kind)


def begun(found: Mapping[str, Any], kind: str, names: Names) -> Secrets:
    """What is new lies beside what is in use."""
    return begun_with(found, kind, fresh(found, kind, names))


def fresh(found: Mapping[str, Any], kind: str, names: Names) -> Secrets:
    """The new part of a set, of a kind that no platform makes."""
    make = EXCHANGES[kind].fresh
    assert make is not None, "made by the platform: see `begun_with`"
    return make(found, names)


def begun_with(found: Mapping[str, Any], kind: str, part: Mapping[str, Any]) -> Secrets:
    """The same with what somebody else has made."""
    return _with(found, kind, Stage.BESIDE, part)


def beside(found: Mapping[str, Any], kind: str) -> Secrets:
    """What lies beside what is in use."""
    return {name: it for name, it in found[_PLACE][kind].items() if name not in (_STAGE, _APPLIED)}


def beside_as(found: Mapping[str, Any], kind: str, other: Mapping[str, Any]) -> Secrets:
    """The same as in the other stack's set, which has begun."""
    return begun_with(found, kind, beside(other, kind))


def turned(found: Mapping[str, Any], kind: str, day: str) -> Secrets:
    """What is new is in use, and what was lies beside it."""
    made = copy.deepcopy(dict(found))
    old = EXCHANGES[kind].turn(made, made[_PLACE][kind])
    made[_SINCE] = {**made.get(_SINCE, {}), kind: day}
    return _with(made, kind, Stage.TURNED, old)


def ended(found: Mapping[str, Any], kind: str) -> Secrets:
    """Nothing lies beside any more."""
    return _with(found, kind, Stage.ENDED, {})


def closed(found: Mapping[str, Any], kind: str) -> Secrets:
    """At rest."""
    left = {name: it for name, it in found[_PLACE].items() if name != kind}
    rest = {name: it for name, it in found.items() if name != _PLACE}
    return copy.deepcopy({**rest, **({_PLACE: left} if left else {})})


def applied(found: Mapping[str, Any], kind: str, day: str) -> Secrets:
    """The stack's own run has brought the stage to its hosts, on that day."""
    made = copy.deepcopy(dict(found))
    made[_PLACE][kind][_APPLIED] = day
    return made


def apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Parts in which two sets at the same stage differ: nothing but `applied` may."""
    bare = [_bare(it) for it in (one, other)]
    return sorted(name for name in {*bare[0], *bare[1]} if bare[0].get(name) != bare[1].get(name))


def _bare(found: Mapping[str, Any]) -> Secrets:
    made = copy.deepcopy(dict(found))
    for part in made.get(_PLACE, {}).values():
        part.pop(_APPLIED, None)
    return made


def _with(found: Mapping[str, Any], kind: str, stage: Stage, part: Mapping[str, Any]) -> Secrets:
    made = copy.deepcopy(dict(found))
    made[_PLACE] = {**made.get(_PLACE, {}), kind: {_STAGE: str(stage), _APPLIED: False, **copy.deepcopy(dict(part))}}
    return made


# --- the database: a password, and a CA with certificates of all who sign in there


def login(found: Mapping[str, Any]) -> int:
    """Which pair of logins the shop uses."""
    return int(found["postgres"].get("login", PAIRS[0]))


def _fresh_database(found: Mapping[str, Any], _: Names) -> Secrets:
    names, authority = Logins.pair(other_pair(login(found))), Authority("shop database")
    return {
        "app": words.token_urlsafe(PASSWORD_BYTES),
        "ca": authority.certificate_pem,
        "clients": {
            role: authority.issue([role], purposes=(CLIENT,)) for role in (names.app, names.worker, REPLICATION_ROLE)
        },
    }


def _turn_database(made: Secrets, part: Mapping[str, Any]) -> Secrets:
    postgres, database = made["postgres"], made["tls"]["database"]
    old = {"app": postgres["app"], "ca": database["ca"], "clients": database["clients"]}
    made["postgres"] = {**postgres, "app": part["app"], "login": other_pair(login(made))}
    made["tls"] = {**made["tls"], "database": {"ca": part["ca"], "clients": part["clients"]}}
    return old


# --- replication: one password of one role, which is not asked for while it changes


def _fresh_replication(_: Mapping[str, Any], __: Names) -> Secrets:
    return {_REPLICATION: words.token_urlsafe(PASSWORD_BYTES)}


def _turn_replication(made: Secrets, part: Mapping[str, Any]) -> Secrets:
    old = {_REPLICATION: made["postgres"][_REPLICATION]}
    made["postgres"] = {**made["postgres"], _REPLICATION: part[_REPLICATION]}
    return old


# --- the cache: passwords of users, each of whom may have two


def _passwords_of_cache(*users: str) -> Exchange:
    def fresh(_: Mapping[str, Any], __: Names) -> Secrets:
        return {user: words.token_urlsafe(PASSWORD_BYTES) for user in users}

    def turn(made: Secrets, part: Mapping[str, Any]) -> Secrets:
        old = {user: made["redis"][user] for user in users}
        made["redis"] = {**made["redis"], **{user: part[user] for user in users}}
        return old

    return Exchange(fresh=fresh, turn=turn)


# --- sessions: a word that what comes back from a browser was signed with, whenever that was


def _fresh_sessions(_: Mapping[str, Any], __: Names) -> Secrets:
    return {_BASE: words.token_hex(KEY_BASE_BYTES)}


def _turn_sessions(made: Secrets, part: Mapping[str, Any]) -> Secrets:
    old = {_BASE: made["rails"][_BASE]}
    made["rails"] = {**made["rails"], _BASE: part[_BASE]}
    return old


# --- certificates of hosts and of caches: each with another CA, whose key is thrown away as that of the one before was


def _fresh_hosts(found: Mapping[str, Any], names: Names) -> Secrets:
    return certificates_of_hosts(_of_set(found, names))


def _turn_hosts(made: Secrets, part: Mapping[str, Any]) -> Secrets:
    tls = made["tls"]
    made["tls"] = {**tls, **{name: part[name] for name in _OF_HOSTS}}
    return {name: tls[name] for name in _OF_HOSTS}


def _fresh_caches(found: Mapping[str, Any], names: Names) -> Secrets:
    return certificates_of_caches(_of_set(found, names))


def _turn_caches(made: Secrets, part: Mapping[str, Any]) -> Secrets:
    old = made["tls"]["cache"]
    made["tls"] = {**made["tls"], "cache": {name: part[name] for name in _OF_CACHES}}
    return dict(old)


def _of_set(found: Mapping[str, Any], names: Names) -> Names:
    """Of the hosts that have a certificate: also of those that are not there yet, and in the order in which they end."""
    return {host: it for host, it in names.items() if host in found["tls"]["hosts"]}


# --- buckets: which key of its users, each of which the program makes anew


def _fresh_buckets(found: Mapping[str, Any], _: Names) -> Secrets:
    return {_GENERATION: _generation(found) + 1}


def _turn_buckets(made: Secrets, part: Mapping[str, Any]) -> Secrets:
    old = {_GENERATION: _generation(made)}
    made["buckets"] = {_GENERATION: part[_GENERATION]}
    return old


def _generation(found: Mapping[str, Any]) -> int:
    return int(found.get("buckets", {}).get(_GENERATION, FIRST_KEYS))


# --- the witness: a key of each of its users, at a store that takes several of one


def _turn_witness(made: Secrets, part: Mapping[str, Any]) -> Secrets:
    old = made["witness"]
    made["witness"] = {name: part[name] for name in _OF_WITNESS}
    return dict(old)


# --- the program's own key of ssh: hosts take several, and keep those out that it had before


def _fresh_operator(_: Mapping[str, Any], __: Names) -> Secrets:
    return ssh_pair("operator")


def _turn_operator(made: Secrets, part: Mapping[str, Any]) -> Secrets:
    """Of the old one the public part alone is kept: hosts that take it yet, and records that it has signed, are known by that."""
    ssh = made["ssh"]
    old = " ".join(ssh["operator"]["public"].split()[:2])
    new = {name: part[name] for name in _OF_PAIR}
    made["ssh"] = {**ssh, "operator": new, _FORMER: [*ssh.get(_FORMER, ()), old]}
    return {_PUBLIC: old}


_GENERATION = "generation"
_OF_HOSTS, _OF_CACHES = ("ca", "hosts"), ("ca", "clients", "hosts")
_PUBLIC, _FORMER = "public", "former"
_OF_PAIR = ("private", _PUBLIC)
_OF_WITNESS = ("access_key", "secret_key", "hosts")
_BASE, _REPLICATION = "secret_key_base", "replication"
EXCHANGES: Mapping[str, Exchange] = {
    "database": Exchange(fresh=_fresh_database, turn=_turn_database),
    "replication": Exchange(fresh=_fresh_replication, turn=_turn_replication),
    "redis": _passwords_of_cache("app", "replica"),
    "cache-operator": _passwords_of_cache("operator"),
    "sessions": Exchange(fresh=_fresh_sessions, turn=_turn_sessions),
    "host-certificates": Exchange(fresh=_fresh_hosts, turn=_turn_hosts),
    "cache-certificates": Exchange(fresh=_fresh_caches, turn=_turn_caches),
    "buckets": Exchange(fresh=_fresh_buckets, turn=_turn_buckets),
    "operator": Exchange(fresh=_fresh_operator, turn=_turn_operator),
    "witness": Exchange(fresh=None, turn=_turn_witness),
}
