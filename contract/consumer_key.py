"""What the consumer key of the OVHcloud API may ask: the calls that this program, its plugin and its leftovers' clearing make, and no other.

`drctl rights ovh` prints them as access rules, and the lab's API refuses whatever is not among them. A rule's path is compared with a call's without its
query; `*` is any text, slashes too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .dataclass import dataclass


class Rule(NamedTuple):
    """One call that is allowed."""

    method: str
    path: str
    why: str

    def fits(self, method: str, path: str) -> bool:
        """`path` without the version's prefix and without its query."""
        pattern = ".*".join(map(re.escape, self.path.split("*")))
        return method == self.method and re.fullmatch(pattern, path) is not None


@dataclass(frozen=True, kw_only=True)
class Account:
    """What the rules are about."""

    service_name: str  # the Public Cloud project
    zone: str
    buckets: Mapping[str, tuple[str, ...]]  # by storage region
    protect: bool  # whether buckets outlive their stack


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What `drctl init` makes and looks at."""

    service_name: str  # the Public Cloud project of the shop
    zone: str
    third: str  # that of witness and state
    regions: tuple[str, ...]  # storage regions that are looked at
    third_region: str
    buckets: tuple[str, ...]  # in it


def rules(account: Account) -> list[Rule]:
    """In the order in which they are to be read."""
    return [
        Rule("GET", "/auth/details", "the plugin asks once whether the key is known"),
        *_zone(f"/domain/zone/{account.zone}"),
        *_users(f"/cloud/project/{account.service_name}"),
        *(
            rule
            for region, names in sorted(account.buckets.items())
            for rule in _buckets(
                f"/cloud/project/{account.service_name}/region/{region}/storage", names, account.protect
            )
        ),
    ]


def challenge(zone: str) -> list[Rule]:
    """Of the key on the bastions, `acme` of `dr:secrets`: what lego asks to answer a challenge in this zone. The API narrows no rule to one name of it."""
    base = f"/domain/zone/{zone}"
    return [
        Rule("POST", f"{base}/record", "the challenge's TXT record"),
        Rule("DELETE", f"{base}/record/*", "it is taken away again"),
        Rule("POST", f"{base}/refresh", "published"),
    ]


def beginning(told: Beginning) -> list[Rule]:
    """Of the key by which `drctl init` makes things; afterwards it is of use for `drctl rotate witness` alone."""
    project, third = f"/cloud/project/{told.service_name}", f"/cloud/project/{told.third}"
    storage = f"{third}/region/{told.third_region}/storage"
    return [
        Rule("GET", "/auth/details", "what the key may ask"),
        Rule("GET", f"/domain/zone/{told.zone}", "whether the zone is there, and its name servers"),
        Rule("GET", f"{project}/vrack", "whether the project has a vRack"),
        *(Rule("GET", f"{project}/region/{region}", "whether it has object storage") for region in told.regions),
        Rule("GET", f"{third}/region/{told.third_region}", "the same of the third region"),
        Rule("GET", f"{third}/user", "which users there are"),
        Rule("POST", f"{third}/user", "users of witness and state"),
        Rule("GET", f"{third}/user/*", "a user, its policy and the names of its keys"),
        Rule("POST", f"{third}/user/*/policy", "what it may do"),
        Rule("POST", f"{third}/user/*/s3Credentials", "its key"),
        Rule("POST", f"{third}/user/*/s3Credentials/*/secret", "its key's secret"),
        Rule("DELETE", f"{third}/user/*", "the user that has put the buckets' rules; keys that are rotated"),
        Rule("POST", storage, "buckets of witness and state"),
        *(Rule(method, f"{storage}/{name}", "whether it is there, and keeps versions") for name in told.buckets for method in ("GET", "PUT")),
    ]  # fmt: skip


def lacking(granted: Iterable[tuple[str, str]], wanted: Iterable[Rule]) -> list[Rule]:
    """Those of `wanted` that no rule among `granted` (method and path) allows."""
    held = [Rule(method, path, "") for method, path in granted]
    return [rule for rule in wanted if not any(each.fits(rule.method, rule.path) for each in held)]


def _zone(zone: str) -> Iterator[Rule]:
    yield Rule("GET", f"{zone}/record", "which records there are")
    yield Rule("POST", f"{zone}/record", "the public name, and each site's own")
    yield Rule("GET", f"{zone}/record/*", "what a record says")
    yield Rule("PUT", f"{zone}/record/*", "the move itself: the public name's address")
    yield Rule("DELETE", f"{zone}/record/*", "a second address; the site's own name")
    yield Rule("POST", f"{zone}/refresh", "published")


def _users(project: str) -> Iterator[Rule]:
    yield Rule("GET", f"{project}/role", "the plugin looks the role up by its name")
    yield Rule("GET", f"{project}/user", "whether a run that was killed has left one")
    yield Rule("POST", f"{project}/user", "users of buckets")
    yield Rule("GET", f"{project}/user/*", "a user, its policy and the names of its keys")
    yield Rule("POST", f"{project}/user/*/policy", "what it may do")
    yield Rule("POST", f"{project}/user/*/s3Credentials", "its key")
    yield Rule("POST", f"{project}/user/*/s3Credentials/*/secret", "its key's secret")
    yield Rule("DELETE", f"{project}/user/*", "a user or a key that is not needed any more")


def _buckets(storage: str, names: tuple[str, ...], protect: bool) -> Iterator[Rule]:
    yield Rule("GET", storage, "whether a run that was killed has left one")
    yield Rule("POST", storage, "buckets")
    for name in names:
        yield Rule("GET", f"{storage}/{name}", "a bucket and its replication rules")
        yield Rule("PUT", f"{storage}/{name}", "its versioning and its replication rules")
        yield Rule("DELETE", f"{storage}/{name}", "an empty one: the platform refuses any other")
        yield Rule("GET", f"{storage}/{name}/object", "whether anything is in it")
        yield Rule("POST", f"{storage}/{name}/job/replication", "objects that are older than a replication rule")
        if not protect:
            yield Rule("POST", f"{storage}/{name}/bulkDeleteObjects", "a destroy of buckets that are not protected")
