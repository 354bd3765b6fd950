"""facts -> plan (pure) -> apply (only what differs) -> verify: the one way in which every service converges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from contract.dataclass import dataclass
from contract.errors import Failed

from . import rolefile
from .result import Result

if TYPE_CHECKING:
    from .call import Call

ROUNDS = 8  # how often a plan may end in "look again"

F = TypeVar("F")


@dataclass(frozen=True)
class Step:
    """One change: a name that `apply` knows and, for people, what it is about. Neither holds a secret, time or position."""

    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.detail}".rstrip()


LOOK_AGAIN = Step("look-again")  # as the last step: what follows depends on facts that the steps before change


class Service(Protocol[F]):
    """A service on this host. `F` is its facts: plain data, so that a test reads them from a file."""

    def facts(self) -> F:
        """Read only; never fails; what cannot be learned is None."""
        ...

    def plan(self, facts: F) -> Sequence[Step]:
        """Pure: what is to be done, in order; empty when all is as wanted. Raises Refused."""
        ...

    def apply(self, step: Step) -> None:
        """Do one step. Safe to do again."""
        ...

    def verify(self, facts: F) -> dict[str, Any]:
        """Prove the result; `facts` are fresh. Returns the slow-changing facts for the caller. Raises Failed."""
        ...


def converge(service: Service[F], call: Call) -> Result:
    """Bring `service` to its wanted state; with `call.check` only say what is due. Raises Refused for an epoch before this host's."""
    epoch = call.document.get("epoch")
    if isinstance(epoch, dict) and isinstance(epoch.get("epoch"), int):
        rolefile.never_back(call.layout, epoch["epoch"])
    done: list[str] = []
    facts = service.facts()
    for _ in range(ROUNDS):
        steps = list(service.plan(facts))
        if call.check:
            return Result({}, bool(steps), [str(step) for step in steps])
        for step in steps:
            if step != LOOK_AGAIN:
                call.log.info(str(step))
                service.apply(step)
                done.append(str(step))
        if steps:
            facts = service.facts()
        if LOOK_AGAIN not in steps:
            return Result(service.verify(facts), bool(done), done)
    raise Failed(
        f"plan: still {', '.join(map(str, steps))} after {ROUNDS} rounds, wanted an end; the state keeps changing; see `status`"
    )
