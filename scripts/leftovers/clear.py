"""One entry for all kinds: `Leftovers.clear(kind, inputs)` before a resource is created."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from contract.access import OpenStack, Ovh
from contract.errors import Failed
from scripts.clients.openstack import ApiDown, Cloud
from scripts.clients.ovh import OvhApi
from scripts.leftovers import balancers, network, ovh, servers
from scripts.leftovers.found import Found

Rule = Callable[[Cloud, Mapping[str, Any]], list[Found]]
OPENSTACK: dict[str, Rule] = {**network.KINDS, **servers.KINDS, **balancers.KINDS}
OVH: dict[str, Callable[[OvhApi, Mapping[str, Any]], list[Found]]] = {**ovh.KINDS}
KINDS = frozenset({*OPENSTACK, *OVH, servers.ATTACHMENT})


class Leftovers:
    """Of one site. `may_write`: why a database of the site may be at work, or None.
    Nothing is asked before the first `clear`.
    """

    def __init__(self, openstack: OpenStack, region: str, account: Ovh, may_write: Callable[[], str | None]) -> None:
        self._cloud, self._ovh = Cloud(openstack, region), OvhApi(account)
        self._rules: dict[str, Rule] = {
            **OPENSTACK,
            servers.ATTACHMENT: partial(servers.attachments, may_write=may_write),
        }
        self._lock, self._connected = threading.Lock(), False

    def clear(self, kind: str, inputs: Mapping[str, Any]) -> list[str]:
        """Clear what is in the way of a resource of a kind in KINDS (Pulumi's type token, its inputs). Returns a sentence for each find.

        An API that does not answer is no error here, nor one whose answer lacks what the rules look at: the creation itself will meet it, with the
        provider's patience.
        """
        try:
            return [_dealt_with(_word(kind), item) for item in self._found(kind, inputs)]
        except (ApiDown, Failed) as error:
            return [f"could not see whether an interrupted run left a {_word(kind)}: {error}"]

    def _found(self, kind: str, inputs: Mapping[str, Any]) -> list[Found]:
        """Raises ApiDown, Failed."""
        try:
            return OVH[kind](self._ovh, inputs) if kind in OVH else self._rules[kind](self._openstack(), inputs)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Failed(
                f"the answer of the API has not the shape that its documentation promises ({type(error).__name__}: {error}); nothing was removed"
            ) from None

    def _openstack(self) -> Cloud:
        with self._lock:
            if not self._connected:
                self._cloud.connect()
                self._connected = True
        return self._cloud


def _dealt_with(word: str, item: Found) -> str:
    if item.held_by is not None:
        return f"{word} {item.label}: exists and is in no state of this stack; {item.held_by}, so it was left alone; {item.remedy}"
    item.remove()
    return f"{word} {item.label}: was left by an interrupted run and nothing hung on it; removed"


def _word(kind: str) -> str:
    return kind.rsplit(":", 1)[1]
