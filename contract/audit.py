"""The audit trail: who has done what to this shop, as a chain. Each entry holds the digest of the one before, so none is changed or left out unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import fields
from .chain import BEFORE, MOST, Chain, Walked
from .checks import integer, mapping, one_of, optional
from .dataclass import dataclass
from .errors import Failed
from .fields import key
from .forms import EPOCH, ID, PHRASE
from .sites import A_SITE
from .wire import document

TRAIL = Chain("audit/", "entry", "entries")
WHAT = ("run", "claim", "moved", "refused", "failed", "destroy", "certificate", "state", "reboot", "watch")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """`audit/<number>.json`, created once. Nothing of it is a secret; who, where and why are what the machine of that person says."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    number: int = key(integer(1, MOST), "its place in the chain, from 1", default=1)
    before: str = key(BEFORE, "SHA-256 of the object before it, as it is stored; nothing for the first", default="")
    what: str = key(
        one_of(*WHAT),
        "`run`: a `pulumi up` was let begin; `claim`: an epoch was claimed; `moved`: the name leads here; `refused`, `failed`: nothing, or not all, was done; "
        "`destroy`: the keeper let a site go, or `drctl destroy` took the name away; "
        "`certificate`: somebody was given root on the hosts for some hours; `state`: a copy of the stack's state was put back; "
        "`reboot`: hosts were told to begin anew; `watch`: a watcher has seen a region lost, or has moved the shop, or somebody has agreed to that",
    )
    site: str = key(A_SITE, "of the stack")
    epoch: int | None = key(optional(EPOCH), "in force, as far as it is known", default=None)
    who: str = key(PHRASE, "the ssh certificate's name, `DR_WHO`, or user@host")
    place: str = key(PHRASE, "from where: the address that has logged in there, else the host")
    at: str = key(PHRASE, "when, RFC 3339, by that machine's clock")
    token: str = key(ID, "of this entry alone: two that are alike in all else are told apart", default="0")
    why: str = key(PHRASE, "`DR_WHY`, `dr:why`, or the reason of a word", default="")
    said: str = key(PHRASE, "of a refusal or failure: its sentence", default="")
    version: str = key(PHRASE, "of the program", default="")
    facts: Mapping[str, str] = key(
        mapping(r"[a-z_]{1,30}", PHRASE),
        "digests of what a run brings (release, tool, configuration, secrets), rung of a fence",
        default={},
    )


def walk(objects: Iterable[tuple[str, bytes]]) -> Walked[Entry]:
    """The trail from its first entry, in the order of the names. Pure."""
    return TRAIL.walk(objects, read)


def read(name: str, body: bytes) -> Entry:
    """One entry in its form. Raises Failed."""
    otherwise = "it is no entry of the trail, which breaks there; see the object's older versions, and who has written the last one"
    try:
        told = document.mapping(body)
    except ValueError:
        raise Failed(f"witness object {name}: found no JSON object, wanted an entry; {otherwise}") from None
    return fields.heard(Entry, told, f"witness object {name}", otherwise)
