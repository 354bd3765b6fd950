"""What the agent tells of its service: the seam between the loop and the two kinds of service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from contract.dataclass import dataclass

from ..frame.layout import Layout
from ..frame.log import Log


@dataclass(frozen=True)
class Server:
    """A server of this service, found by what it is. `pid`: of its first process; `writes`: None when that cannot be told from outside."""

    pid: int
    writes: bool | None = None


Find = Callable[
    [], Sequence[Server]
]  # all of this host that work on its data or answer on its port, whatever has started them


class Facts(Protocol):
    """One service's block of the heartbeat, read over a connection that is kept. Use from one thread; `abort` may come from another."""

    def read(self) -> dict[str, Any]:
        """Never fails; unknown is null."""
        ...

    def writes(self, block: dict[str, Any]) -> bool | None:
        """False when the service is certainly no writer, None when nobody knows."""
        ...

    def told(self, block: dict[str, Any]) -> None:
        """The witness has this block. What must not happen before it knows happens now."""
        ...

    def recall(self, block: dict[str, Any], age_s: float) -> None:
        """What this host's last heartbeat, of an agent before this one, said `age_s` ago: a service that has been down since has nothing newer."""
        ...

    def abort(self) -> None: ...


def facts_of(service: str, layout: Layout, log: Log) -> Facts:
    """`service` is "postgres" or "redis". Each is loaded only where it is: the agent stays small."""
    if service == "redis":
        from .redis import RedisFacts  # noqa: PLC0415 - see above

        return RedisFacts(layout, log)
    from .postgres import PostgresFacts  # noqa: PLC0415 - see above

    return PostgresFacts(layout, log)


def servers_of(service: str, layout: Layout) -> Find:
    """How servers of `service` are found that may run past their unit."""
    if service == "redis":
        from .redis import servers_found as caches  # noqa: PLC0415 - see above

        return lambda: caches(layout)
    from .postgres import servers_found  # noqa: PLC0415 - see above

    return lambda: servers_found(layout)
