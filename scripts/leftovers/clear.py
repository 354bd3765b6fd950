"""One entry for all kinds: before a resource is created, before one is changed, after a creation that failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from contract.access import OpenStack, Ovh
from contract.errors import Failed
from scripts.clients.openstack import ApiDown, Cloud
from scripts.clients.ovh import OvhApi
from scripts.leftovers import balancers, boots, network, ovh, room, servers
from scripts.leftovers.found import Found
from scripts.leftovers.patience import ANSWER_S, documented, patiently

Rule = Callable[[Cloud, Mapping[str, Any]], list[Found]]
OPENSTACK: dict[str, Rule] = {**network.KINDS, **servers.KINDS, **balancers.KINDS}
OVH: dict[str, Callable[[OvhApi, Mapping[str, Any]], list[Found]]] = {**ovh.KINDS}
INSTANCE, HOST, BALANCER = "openstack:compute/instance:Instance", "dr:index:Host", "dr:index:Balancer"
SITE = "dr:index:RegionStack"  # above all that a region holds
LOOK_S = 60.0  # all that OVHcloud is asked for one resource; the creation that waits has the provider's patience


class Leftovers:
    """Of one site. `may_write`: why a database of the site may be at work, or None; `wanted`: what it asks of the platform.
    Nothing is asked before the first call.
    """

    created: Collection[str] = frozenset({*OPENSTACK, *OVH, servers.ATTACHMENT, SITE})
    changed: Collection[str] = frozenset({INSTANCE, HOST, BALANCER})
    failed: Collection[str] = frozenset({INSTANCE})

    def __init__(
        self,
        openstack: OpenStack,
        region: str,
        account: Ovh,
        may_write: Callable[[], str | None],
        wanted: boots.Boots,
    ) -> None:
        self._cloud, self._account = Cloud(openstack, region, ANSWER_S), account
        self._wanted, self._project = wanted, openstack.project_id
        self._rules: dict[str, Rule] = {
            **OPENSTACK,
            servers.ATTACHMENT: partial(servers.attachments, may_write=may_write),
        }
        self._lock, self._connected, self._refused = threading.Lock(), False, ""

    def clear(self, kind: str, inputs: Mapping[str, Any]) -> list[str]:
        """Clear what is in the way of a resource of a kind in `created` (Pulumi's type token, its inputs). Returns a sentence for each find.

        An API that does not answer is no error here, nor one whose answer lacks what the rules look at: the creation itself will meet it, with the
        provider's patience. Raises Refused when the whole site could not be made.
        """
        if kind == SITE:
            return self._room()
        try:
            return [_dealt_with(_word(kind), item) for item in patiently(partial(self._found, kind, inputs))]
        except (ApiDown, Failed) as error:
            return [f"could not see whether an interrupted run left a {_word(kind)}: {error}"]

    def _room(self) -> list[str]:
        """Raises Refused."""

        def look() -> None:
            with documented():
                room.check(self._openstack(), self._project, self._wanted.rules)

        try:
            patiently(look)
        except (ApiDown, Failed) as error:
            return [f"could not see whether the project's quota has room for {self._wanted.rules} rules: {error}"]
        return []

    def check(self, kind: str, identity: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
        """Before the resource of a kind in `changed` with this id is given other inputs. Returns a sentence for what was done. Raises Refused.

        An API that does not answer proves nothing against the change: it is told and goes on.
        """
        try:
            return patiently(partial(self._changed, kind, identity, old, new))
        except (ApiDown, Failed) as error:
            return [f"could not look at a {_word(kind)} before it is changed: {error}"]

    def explain(self, kind: str, inputs: Mapping[str, Any]) -> list[str]:
        """Why the creation of a resource of a kind in `failed` may have failed: a sentence for each reason that the platform gives."""
        assert kind in self.failed, kind
        try:
            return patiently(lambda: boots.failures(self._openstack(), inputs))
        except (ApiDown, Failed):
            return []  # the failure itself has been told

    def _changed(self, kind: str, identity: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
        """Raises ApiDown, Failed, Refused."""
        with documented():
            if kind == BALANCER:
                return balancers.out_of_error(self._openstack(), new) if new else []
            if kind == HOST:
                return boots.replacement(self._openstack(), new, self._wanted) if new else []
            boots.change(self._openstack(), identity, old, new, self._wanted.site)
            return []

    def _found(self, kind: str, inputs: Mapping[str, Any]) -> list[Found]:
        """Raises ApiDown, Failed."""
        with documented():
            if kind in OVH:
                return OVH[kind](OvhApi(self._account, all_s=LOOK_S), inputs)
            return self._rules[kind](self._openstack(), inputs)

    def _openstack(self) -> Cloud:
        """Connected. One that could not be reached is not tried again for each of a hundred resources. Raises Failed."""
        with self._lock:
            if self._refused:
                raise Failed(self._refused)
            if not self._connected:
                try:
                    patiently(self._cloud.connect)
                except ApiDown as error:
                    self._refused = str(error)
                    raise Failed(self._refused) from None
                self._connected = True
        return self._cloud


def _dealt_with(word: str, item: Found) -> str:
    if item.held_by is not None:
        return f"{word} {item.label}: exists and is in no state of this stack; {item.held_by}, so it was left alone; {item.remedy}"
    item.remove()
    return f"{word} {item.label}: was left by an interrupted run and nothing hung on it; removed"


def _word(kind: str) -> str:
    return kind.rsplit(":", 1)[1]
