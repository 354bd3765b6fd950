"""What stands in a backend of one stack: who holds a lock on it, and which servers its state knows. Forms of pulumi's, read as somebody else's words."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from contract import fields
from contract.checks import optional
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.fields import key
from contract.forms import COUNT, PHRASE, is_id
from contract.plain import phrase
from contract.wire import document
from scripts.ctl.stacks.state_backend import Backend

SERVER = "openstack:compute/instance:Instance"
MOST_LOCKS = 20


@dataclass(frozen=True, kw_only=True)
class LockFile:
    """`.pulumi/locks/.../<id>.json`."""

    pid: int | None = key(optional(COUNT), "of the process", default=None)
    username: str | None = key(optional(PHRASE), "whose it is", default=None)
    hostname: str | None = key(optional(PHRASE), "where it runs", default=None)
    timestamp: str | None = key(optional(PHRASE), "since when, RFC 3339", default=None)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """`since`: seconds since 1970 by the clock of who took it; None where it does not say."""

    who: str
    since: float | None


@dataclass(frozen=True, kw_only=True)
class State:
    """`changed`: when it was written, in seconds since 1970; `servers`: names in the program by their ids at the platform."""

    changed: float | None
    servers: Mapping[str, str]


def locks(backend: Backend, project: str, stack: str) -> tuple[Lock, ...]:
    """Of a run that is at work, or was killed. Raises Failed."""
    names = backend.names(f".pulumi/locks/organization/{project}/{stack}/")
    found = [_lock(backend.read(name), name) for name in names[:MOST_LOCKS] if name.endswith(".json")]
    return tuple(it for it in found if it is not None)


def _lock(body: bytes | None, name: str) -> Lock | None:
    """None of one that has gone meanwhile."""
    if body is None:
        return None
    try:
        told = fields.heard(LockFile, document.mapping(body), f"lock {phrase(name, 200)}", "it is a lock all the same")
    except (Failed, ValueError):
        return Lock(who="somebody whom it does not name", since=None)
    return Lock(
        who=phrase(f"{told.username or '?'}@{told.hostname or '?'}, process {told.pid}", 200),
        since=moment(told.timestamp),
    )


def state(backend: Backend, project: str, stack: str) -> State:
    """Raises Failed where there is none, or none in pulumi's form."""
    name = f".pulumi/stacks/{project}/{stack}.json"
    body = backend.read(name)
    if body is None:
        raise Failed(
            f"stack {stack}: has no {name} in {backend.place}, wanted its state; see `pulumi stack ls --project {project}`"
        )
    try:
        latest = document.mapping(body)["checkpoint"]["latest"]
        return State(changed=None, servers={}) if latest is None else read(latest)  # None: nothing was ever brought up
    except (ValueError, KeyError, TypeError):
        raise Failed(
            f"stack {stack}: {name} in {backend.place} is no state that this program can read; try `pulumi stack export`"
        ) from None


def read(deployment: Any) -> State:
    """Of a deployment, as it stands in a checkpoint and in an export. Raises KeyError, TypeError, ValueError for what is none."""
    if not isinstance(deployment, Mapping):
        raise TypeError
    servers = {}
    for row in deployment.get("resources") or ():
        if row["type"] == SERVER and is_id(identity := str(row["id"])):
            servers[identity] = phrase(str(row["urn"]).rsplit("::", 1)[-1], 100)
    return State(changed=moment(deployment["manifest"]["time"]), servers=servers)


def moment(text: object) -> float | None:
    """Seconds since 1970 of a time as Go writes it; None for what is none."""
    try:
        found = datetime.datetime.fromisoformat(str(text))
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
