"""What a fence asks of a region's compute service: how each of our servers is, by its id and by its name; and to stop or start one.

A server that is not seen is never taken for one that is off: of a half-dead region the list leaves out what a dead cell holds.
API: https://docs.openstack.org/api-ref/compute/. Microversion 2.69 is the first that shows the servers of such a cell, as UNKNOWN.
"""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, TypeVar

from contract.dataclass import dataclass
from scripts.clients import http
from scripts.clients.collections import next_marker
from scripts.clients.openstack import ApiDown, Cloud, act
from scripts.clients.server_states import Server, read

T = TypeVar("T")
VERSION = "2.69"
MOST_PAGES = 200
LIST_S = 20.0  # all pages of the list
AT_ONCE = 8  # questions


@dataclass(frozen=True, kw_only=True)
class Sight:
    """All that is to be seen of the servers that were asked for."""

    servers: tuple[Server, ...] = ()  # ours, by id or by name
    beside: tuple[Server, ...] = ()  # those of the names that prove nothing
    gone: tuple[str, ...] = ()  # names whose id is unknown to the region, and that no other server bears
    unseen: tuple[str, ...] = ()  # a phrase for each of which nobody can say how it is

    @property
    def proven(self) -> bool:
        """All of ours are off, none is out of sight. Where nothing at all is seen, it may be another project."""
        return bool(self.servers) and not self.unseen and all(server.stopped for server in self.servers)

    def words(self) -> str:
        """What speaks against it."""
        on = [f"{server.name or server.id} is {server.words()}" for server in self.servers if not server.stopped]
        none = () if self.servers or self.unseen else ("none of the servers is there; is it the right project?",)
        return ", ".join([*on, *self.unseen, *none])

    def document(self) -> dict[str, Any]:
        """For the evidence."""
        return {
            "servers": [server.document() for server in self.servers],
            "deleted": list(self.gone),
            "beside": [server.document() for server in self.beside],
        }


class Compute(Cloud):
    """The compute service of one region."""

    extra: Mapping[str, str] = {
        "OpenStack-API-Version": f"compute {VERSION}",
        "X-OpenStack-Nova-API-Version": VERSION,
    }

    def look(self, names: Sequence[str], ids: Mapping[str, str], beside: Sequence[str] = ()) -> Sight:
        """How the servers are that bear one of the names, or the id that the last run has left for one of them. Raises ApiDown.

        `ids`: by name. Each id is asked for by itself, for the list is what a half-dead region is wrong about; the list finds whoever else
        bears a name. `beside`: names of servers that the list may show or not: nothing follows from them.
        """
        return self._as_it_can(lambda: self._look(names, ids, beside))

    def everyone(self) -> list[Server]:
        """All servers of the project in this region, as its list shows them. Raises ApiDown."""
        return self._as_it_can(lambda: list(self._listed()))

    def _as_it_can(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except ApiDown as error:
            if error.status != HTTPStatus.NOT_ACCEPTABLE or not self.extra:
                raise
        self.extra = {}  # an older Nova: it answers 500 for a server of a dead cell, and leaves it out of the list
        return question()

    def _look(self, names: Sequence[str], ids: Mapping[str, str], beside: Sequence[str]) -> Sight:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            listed = pool.submit(lambda: list(self._listed()))
            asked = dict(zip(ids, pool.map(self._by_id, ids.values()), strict=True))
            everyone = listed.result()
        found = {name: server for name, server in asked.items() if not isinstance(server, ApiDown)}
        ours = set(ids.values())
        known = {server.id: server for server in everyone if server.name in names or server.id in ours}
        known |= {server.id: server for server in found.values() if server is not None}
        borne = {server.name for server in known.values()} | {
            name for name, server in found.items() if server is not None
        }
        missing = [name for name in names if name not in borne]
        hidden = [server.id for server in everyone if server.name is None and server.id not in known]
        lost = [name for name in missing if name not in ids]
        unsaid = {name: it for name, it in asked.items() if isinstance(it, ApiDown) and ids[name] not in known}
        unseen = [f"{name} is not listed and no run has left its id" for name in lost]
        unseen += [
            f"{name} is not listed, and who was asked for its id is not Nova ({it})" for name, it in unsaid.items()
        ]
        if lost:
            unseen += [f"a server of a cell that does not answer ({each}) may be one of them" for each in hidden]
        return Sight(
            servers=tuple(known.values()),
            beside=tuple(server for server in everyone if server.name in beside and server.id not in known),
            gone=tuple(name for name in missing if name in ids and name not in unsaid),
            unseen=tuple(unseen),
        )

    def act(self, server: Server, action: str) -> str:
        """See `openstack.act`."""
        return act(self, server.id, action)

    def _by_id(self, server_id: str) -> Server | ApiDown | None:
        """None where Nova itself says that there is none: whatever stands in front of it answers 404 as well, with a page. That is returned."""
        try:
            found = self.ask("GET", "compute", f"/servers/{urllib.parse.quote(server_id, safe='')}")
        except ApiDown as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None if error.words else error
        server = read(found.get("server"))
        if server is None or server.id != server_id:
            raise ApiDown(f"{self._asked('/servers/' + server_id)}: answered no server with that id, name and status")
        return server

    def _listed(self) -> Iterator[Server]:
        """All servers of the project. A list in which one cannot be read is no list."""
        path, asked = "/servers/detail", self._asked("/servers/detail")
        marker, end = "", time.monotonic() + LIST_S
        for _ in range(MOST_PAGES):
            answer = self.ask(
                "GET", "compute", path + (f"?marker={urllib.parse.quote(marker, safe='')}" if marker else "")
            )
            listed = answer.get("servers")
            servers = [read(item) for item in listed] if isinstance(listed, list) else [None]
            if None in servers:
                raise ApiDown(f"{asked}: answered no list of servers with id, name and status each")
            yield from (server for server in servers if server is not None)
            following = next_marker(answer.get("servers_links"))
            if following is None:
                return
            if not following or following == marker or time.monotonic() > end:
                break
            marker = following
        raise ApiDown(f"{asked}: answered a list of servers that does not end, wanted all of them")

    def _asked(self, path: str) -> str:
        return f"OpenStack API {http.question('GET', self.url('compute', path))}"
