"""The OVHcloud API in the calls that a beginning needs: the key's rights, regions, vRack and zone of the shop's project; buckets and users of the third."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from contract import fields
from contract.buckets import Bucket as Place
from contract.dataclass import dataclass
from contract.errors import Failed, Partial
from contract.forms import is_id
from contract.plain import shown
from contract.platform import Bucket, Route, S3Key, Service, User, Vrack, Zone
from scripts.clients.ovh import Answered, OvhApi
from scripts.ctl.output import log

T = TypeVar("T")
MOST_ROWS = 10_000
ROLE = "objectstore_operator"
READY_S, LOOK_S = 120.0, 2.0  # until a fresh user is known, and between two looks
_GO_ON = "nothing was changed; see what answers there"


def routes(api: OvhApi) -> list[tuple[str, str]] | None:
    """Method and path of each call that the key may make; None where the API does not say. Raises Failed."""
    told = api.ask("GET", "/auth/details")
    listed = told.get("allowedRoutes") if isinstance(told, dict) else told
    if listed is None:
        return None
    found = _all(Route, listed, "a call that the consumer key may make")
    return [(it.method, it.path) for it in found]


def services(api: OvhApi, project: str, region: str) -> dict[str, str]:
    """State of each service of a region by name; empty where the project has no such region. Raises Failed."""
    told = _found(api, f"/cloud/project/{project}/region/{region}")
    if told is None:
        return {}
    listed = told.get("services") if isinstance(told, dict) else None
    return {it.name: it.status for it in _all(Service, listed, f"a service of region {region}")}


def vrack(api: OvhApi, project: str) -> Vrack | None:
    """Of a project; None where it has none. Raises Failed."""
    told = _found(api, f"/cloud/project/{project}/vrack")
    return None if told is None else fields.heard(Vrack, told, f"vRack of project {project}", _GO_ON)


def zone(api: OvhApi, name: str) -> Zone | None:
    """None where it is no zone of the account. Raises Failed."""
    told = _found(api, f"/domain/zone/{name}")
    if told is None:
        return None
    servers = told.get("nameServers") if isinstance(told, dict) else None
    return fields.heard(Zone, {"servers": servers}, f"zone {name}", _GO_ON)


def listed(api: OvhApi, path: str) -> list[str]:
    """Names that a list of the API holds; none where the key may not ask for it."""
    try:
        found = api.ask("GET", path)
    except Answered:
        return []
    return [it for it in found[:MOST_ROWS] if isinstance(it, str)] if isinstance(found, list) else []


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user that a beginning makes, as it is found. `number`: None where there is none; `keys`: ids of its keys."""

    name: str  # its description at the platform
    number: int | None = None
    policy: str = ""
    keys: tuple[str, ...] = ()

    def well(self, policy: str) -> bool:
        """Whether nothing is to be done."""
        return self.number is not None and _same(self.policy, policy) and bool(self.keys)


class Third:
    """Buckets and users of the third region. `project`: their Public Cloud project."""

    def __init__(self, api: OvhApi, project: str, region: str) -> None:
        self._api, self.project, self.region = api, project, region
        self._users, self._storage = (
            f"/cloud/project/{project}/user",
            f"/cloud/project/{project}/region/{region}/storage",
        )

    def bucket(self, name: str) -> Bucket | None:
        """None where there is none of this name in the project's region. Raises Failed."""
        told = _found(self._api, f"{self._storage}/{name}")
        if told is None:
            return None
        row = told if isinstance(told, dict) else {}
        plain = {"name": row.get("name"), "versioning": row.get("versioning"), "lock": row.get("objectLock")}
        return fields.heard(Bucket, plain, f"bucket {name}", _GO_ON)

    def make_bucket(self, name: str, lock_days: int = 0, *, versioned: bool = True) -> None:
        """Locked by default where `lock_days` is not 0. Raises Failed."""
        body: dict[str, Any] = {"name": name, **({"versioning": {"status": "enabled"}} if versioned else {})}
        if lock_days:
            rule = {"mode": "compliance", "period": f"P{lock_days}D"}
            body["objectLock"] = {"status": "enabled", "rule": rule}
        try:
            self._api.ask("POST", self._storage, body)
        except Answered as error:
            if error.status == HTTPStatus.CONFLICT and self.bucket(name) is not None:
                return  # a first attempt whose answer was lost
            if error.status == HTTPStatus.CONFLICT:
                raise Failed(
                    f"bucket {name}: cannot be made, because somebody has one of that name ({error}), wanted it in region {self.region} of project "
                    f"{self.project}; nothing of it was changed; answer witness.bucket (or .state_bucket, .page_bucket) with another name, for names are "
                    "shared by all "
                    "customers"
                ) from None
            raise

    def keep_versions(self, name: str) -> None:
        """Of a bucket that is there. Raises Failed."""
        self._api.ask("PUT", f"{self._storage}/{name}", {"versioning": {"status": "enabled"}})

    def people(self, names: Iterable[str]) -> dict[str, Person]:
        """Each as it is found, by name. Raises Failed, also where two bear one name: nobody could tell whose key is in use."""
        users = _all(User, self._api.ask("GET", self._users), f"a user of project {self.project}")
        return {name: self._person(name, [it for it in users if it.description == name]) for name in names}

    def make_person(self, person: Person, policy: str) -> Person:
        """What is missing of it. Raises Failed."""
        number = person.number if person.number is not None else self._make(person.name)
        own = f"{self._users}/{number}"
        if not _same(person.policy, policy):
            self._api.ask("POST", f"{own}/policy", {"policy": policy})
        if not person.keys:
            self._api.ask("POST", f"{own}/s3Credentials")
        return self.people([person.name])[person.name]

    def secret(self, person: Person) -> dict[str, str]:
        """{"access_key", "secret_key"} of its first key. Raises Failed."""
        access = person.keys[0]
        told = self._api.ask("POST", f"{self._users}/{person.number}/s3Credentials/{access}/secret")
        found = fields.heard(S3Key, told, f"key of user {person.name}", _GO_ON)
        if found.secret is None or found.access != access:
            raise Failed(f"key of user {person.name}: came without its secret, wanted both; {_GO_ON}")
        log.know([found.secret])
        return {"access_key": found.access, "secret_key": found.secret}

    def owners(self) -> dict[str, int]:
        """The number of its user by the id of each key that the project has. Raises Failed."""
        users = _all(User, self._api.ask("GET", self._users), f"a user of project {self.project}")
        return {access: user.id for user in users for access in self.keys_of(user.id)}

    def keys_of(self, number: int) -> tuple[str, ...]:
        """Ids of all keys of a user. Raises Failed."""
        told = self._api.ask("GET", f"{self._users}/{number}/s3Credentials")
        return _ids(_all(S3Key, told, f"a key of user {number}"), f"user {number}")

    def another_key(self, number: int) -> dict[str, str]:
        """{"access_key", "secret_key"} of one more key of a user. Raises Failed."""
        told = self._api.ask("POST", f"{self._users}/{number}/s3Credentials")
        found = fields.heard(
            S3Key, told, f"new key of user {number}", "what was in use is in use; see what answers there"
        )
        _ids([found], f"user {number}")
        if found.secret is None:
            raise Failed(f"new key of user {number}: came without its secret, wanted both; what was in use is in use")
        log.know([found.secret])
        return {"access_key": found.access, "secret_key": found.secret}

    def remove_key(self, number: int, access: str) -> None:
        """A key that is gone already is fine. Raises Failed."""
        try:
            self._api.ask("DELETE", f"{self._users}/{number}/s3Credentials/{access}")
        except Answered as error:
            if not error.gone:
                raise

    def remove(self, person: Person) -> None:
        """A user that was needed for a moment; one that is gone already is fine. Raises Failed."""
        try:
            self._api.ask("DELETE", f"{self._users}/{person.number}")
        except Answered as error:
            if not error.gone:
                raise

    def place(self, endpoint: str, bucket: str, keys: dict[str, str]) -> Place:
        """A bucket of the region as S3 knows it."""
        return Place(endpoint=endpoint, region=self.region.lower(), bucket=bucket, **keys)

    def _make(self, name: str) -> int:
        """Its number, once the platform says that it is there."""
        told = self._api.ask("POST", self._users, {"description": name, "roles": [ROLE]})
        user, end = fields.heard(User, told, f"user {name}", _GO_ON), time.monotonic() + READY_S
        while user.status != "ok":
            if time.monotonic() > end:
                raise Partial(
                    f"user {name}: is {user.status} after {READY_S:.0f} s, wanted ok; what was made so far stays; run the same again, which goes on"
                )
            time.sleep(LOOK_S)
            user = fields.heard(User, self._api.ask("GET", f"{self._users}/{user.id}"), f"user {name}", _GO_ON)
        return user.id

    def _person(self, name: str, found: list[User]) -> Person:
        if not found:
            return Person(name=name)
        if len(found) > 1:
            numbers = ", ".join(str(it.id) for it in found)
            raise Failed(
                f"users called {name} in project {self.project}: found {len(found)} ({numbers}), wanted one; nobody can tell whose key is in use; "
                "nothing was "
                "changed; remove those whose key is in no stack"
            )
        own = f"{self._users}/{found[0].id}"
        told = self._api.ask("GET", f"{own}/policy")
        policy = told.get("policy") if isinstance(told, dict) else None
        keys = _all(S3Key, self._api.ask("GET", f"{own}/s3Credentials"), f"a key of user {name}")
        return Person(
            name=name,
            number=found[0].id,
            policy=policy if isinstance(policy, str) else "",
            keys=_ids(keys, f"user {name}"),
        )


def _ids(keys: Sequence[S3Key], whose: str) -> tuple[str, ...]:
    """They become parts of a path. Raises Failed."""
    if not all(is_id(it.access) for it in keys):
        raise Failed(f"key of {whose}: has an id that is no word, wanted letters, digits and dashes; {_GO_ON}")
    return tuple(sorted(it.access for it in keys))


def _found(api: OvhApi, path: str) -> Any:
    """None where the API itself says that there is no such thing. Raises Failed."""
    try:
        told = api.ask("GET", path)
    except Answered as error:
        if error.gone:
            return None
        raise
    if told is None:
        raise Failed(
            f"OVHcloud API, GET {path}: answered with nothing, wanted what is there, or that there is none; {_GO_ON}"
        )
    return told


def _all(cls: type[T], rows: object, what: str) -> list[T]:
    if not isinstance(rows, list) or len(rows) > MOST_ROWS:
        raise Failed(f"{what}: found {shown(rows)}, wanted a list; {_GO_ON}")
    return [fields.heard(cls, it, what, _GO_ON) for it in rows]


def _same(one: str, other: str) -> bool:
    """Whether two policies say the same; a platform may write them with other spaces."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except (ValueError, RecursionError):
        return False
