"""Who works at a stack: one lease for each, at the witness, beside the lock that pulumi keeps in the backend of the state. And one for what goes over runs of
both: between two of them nobody else begins such a thing.

That lock has no end, and `pulumi cancel` takes it from a run that lives. This one is renewed while its run lives, so it ends with it.
"""

from __future__ import annotations

from typing import Literal, get_args

from .checks import boolean, integer, one_of, text
from .dataclass import dataclass
from .fields import key
from .forms import ID, PHRASE
from .sites import SITES

RUNS = "runs/"
RENEWED_S = 8.0  # between two words of a run that lives
PAIR = "pair"  # in place of a site: of both regions
What = Literal["up", "destroy", "reboot", "drill standby", "switchover", "deploy", "rotation"]
SILENT_S = 25.0  # after which one that was not heard is over: three words were missed
_MACHINE = text(r"[0-9a-f]{32}", "32 hexadecimal digits")


@dataclass(frozen=True, kw_only=True)
class Run:
    """`runs/<site>.json`, the newest run of a stack; `runs/pair.json`, of both. Who, where and what are what its machine says."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    run: str = key(ID, "of this run alone")
    site: str = key(one_of(*SITES, PAIR), "of the stack, or `pair`")
    what: str = key(one_of(*get_args(What)), "what it does")
    who: str = key(PHRASE, "the ssh certificate's name, `DR_WHO`, or user@host")
    place: str = key(PHRASE, "from where")
    at: str = key(PHRASE, "since when, RFC 3339, by that machine's clock")
    machine: str = key(_MACHINE, "of the machine and what numbers its processes: there alone `pid` means something")
    pid: int = key(integer(1, 2**31), "of the process that ends with the run")
    begun: int = key(integer(0, 2**63 - 1), "when that process was started, in clock ticks since the machine was")
    word: int = key(integer(0, 10**9), "how often it was renewed: each word is another object", default=0)
    ended: bool = key(boolean, "whether it has said that it is over", default=False)


def name_of(site: str) -> str:
    """The object's key."""
    return f"{RUNS}{site}.json"
