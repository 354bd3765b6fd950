"""What each state of a server means to a fence: what it proves, what is asked of it, whether waiting helps. A table, and the reading of a server. Pure.

States: https://docs.openstack.org/api-guide/compute/server_concepts.html. `os-stop` is taken by ACTIVE and ERROR alone; the rest answer 409.
"""

from __future__ import annotations

from typing import Any

from contract.dataclass import dataclass
from contract.forms import is_id
from contract.plain import printable

LONGEST = 255  # characters of a name, as Nova has them
POWER_OFF = (None, 0, 4, 6)  # NOSTATE, SHUTDOWN, CRASHED: nothing of it runs
POWER_STANDS = (3, 7)  # PAUSED, SUSPENDED: it goes on later where it was


@dataclass(frozen=True, kw_only=True)
class State:
    """A row. A state with none of the first three ends by somebody's hand alone."""

    stopped: bool = False  # it executes nothing, and goes on only by a boot, at which its guard asks the witness
    stoppable: bool = False  # `os-stop` is taken
    passes: bool = False  # it turns into another state by itself
    stands: bool = False  # its clock stands: no lease of its own runs out, and it writes on when it goes on
    remedy: str = ""


_MOVING = State(passes=True, remedy="it is on its way to another state; wait for that")
STATES = {
    "SHUTOFF": State(stopped=True),
    "SHELVED": State(stopped=True),
    "SHELVED_OFFLOADED": State(stopped=True),
    "SOFT_DELETED": State(stopped=True),
    "DELETED": State(stopped=True),
    "ACTIVE": State(stoppable=True, remedy="stop it"),
    "ERROR": State(stoppable=True, remedy="stop it, or delete it"),
    "REBOOT": _MOVING,
    "HARD_REBOOT": _MOVING,
    "BUILD": _MOVING,
    "REBUILD": _MOVING,
    "PASSWORD": _MOVING,
    "MIGRATING": _MOVING,
    "RESIZE": _MOVING,
    "REVERT_RESIZE": _MOVING,
    "VERIFY_RESIZE": State(remedy="confirm or revert its resize (`openstack server resize confirm`), then stop it"),
    "RESCUE": State(remedy="it runs a rescue system; leave that (`openstack server unrescue`), then stop it"),
    "PAUSED": State(stands=True, remedy="it may go on where it was; `openstack server reboot --hard`, then stop it"),
    "SUSPENDED": State(stands=True, remedy="it may go on where it was; `openstack server reboot --hard`, then stop it"),
    "UNKNOWN": State(remedy="its cell does not answer, so nobody sees it"),
}
STRANGE = State(remedy="this program does not know the state; stop it by hand")


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of a flavor. `memory`: MiB."""

    cores: int
    memory: int

    def bears(self, other: Size) -> bool:
        """Whether it is as large, or larger."""
        return self.cores >= other.cores and self.memory >= other.memory

    def words(self) -> str:
        return f"{self.cores} cores and {self.memory} MiB"


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server as the API shows it. `name` is None where a dead cell hides it; `size` where an older Nova tells a flavor's id alone."""

    id: str
    name: str | None
    status: str
    task: str | None = None  # of `OS-EXT-STS:task_state`: what is being done to it
    power: int | None = None  # of `OS-EXT-STS:power_state`: what its hypervisor said last
    locked: bool = False
    size: Size | None = None

    @property
    def state(self) -> State:
        return STATES.get(self.status, STRANGE)

    @property
    def stopped(self) -> bool:
        """Off for certain: no task is about to change that, and its hypervisor does not say otherwise."""
        return self.state.stopped and self.task is None and self.power in POWER_OFF

    @property
    def stands(self) -> bool:
        return self.state.stands or (not self.stopped and self.power in POWER_STANDS)

    @property
    def hopeless(self) -> bool:
        """Nothing that is asked here will stop it."""
        state = self.state
        return (self.locked and not self.stopped) or not (state.stopped or state.stoppable or state.passes)

    def words(self) -> str:
        """For a sentence: what is seen, and what helps."""
        if self.locked and not self.stopped:
            return f"{self.status} and locked (unlock it, then stop it)"
        seen = self.status if self.task is None else f"{self.status}, {self.task}"
        if self.state.stopped and self.task is None and not self.stopped:
            seen = f"{seen}, but its power is {'on' if self.power == 1 else f'in state {self.power}'}"
        return f"{seen} ({self.state.remedy})" if self.hopeless and self.state.remedy else seen

    def document(self) -> dict[str, Any]:
        """For the evidence in an epoch."""
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "task_state": self.task,
            "power_state": self.power,
        }


def read(item: Any) -> Server | None:
    """From an object of the API; None for one that cannot be read. A dead cell's says its id and UNKNOWN alone."""
    if not isinstance(item, dict):
        return None
    found, name, status = item.get("id"), item.get("name"), item.get("status")
    if (
        not isinstance(found, str)
        or not is_id(found)
        or not isinstance(status, str)
        or not (isinstance(name, str) or status == "UNKNOWN")
    ):
        return None
    task, power = item.get("OS-EXT-STS:task_state"), item.get("OS-EXT-STS:power_state")
    return Server(
        id=found,
        name=printable(name[:LONGEST], "") if isinstance(name, str) else None,
        status=printable(status[:LONGEST], ""),
        task=printable(task[:LONGEST], "") if isinstance(task, str) else None,
        power=power if isinstance(power, int) else None,
        locked=item.get("locked") is True,
        size=size_of(item.get("flavor")),
    )


def size_of(flavor: Any) -> Size | None:
    """From a flavor as the API shows it, by itself or in a server; None for one without sizes."""
    told = flavor if isinstance(flavor, dict) else {}
    cores, memory = _counted(told.get("vcpus")), _counted(told.get("ram"))
    return None if cores is None or memory is None else Size(cores=cores, memory=memory)


def _counted(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None
