"""States are copied to the witness, and one of them put back. What pulumi exports is copied as it is: its secrets stay encrypted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed, OutcomeUnknown, Refused, Usage
from contract.plain import shown
from contract.wire import document
from scripts.clients.state_copies import MOST_STATE, Copy, StateCopies, digest_of
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.stacks.state_stored import Lock, State, read

SHORT = 12  # digits of a digest, as people type it


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A state as pulumi has printed it. `count`: of its resources."""

    text: bytes
    digest: str
    count: int
    state: State

    @classmethod
    def of(cls, text: bytes, subject: str) -> Exported:
        """Raises Failed for what is no export."""
        try:
            deployment = document.mapping(text)["deployment"]
            rows = (deployment or {}).get("resources") or ()
            state = read(deployment) if rows else State(changed=None, servers={})
            return cls(text=text, digest=digest_of(text), count=len(rows), state=state)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Failed(
                f"{subject}: is no state as `pulumi stack export` prints it; nothing was changed; run that command by hand"
            ) from None


def exported(stack: Stack) -> Exported:
    """As it is now. Raises Failed."""
    return Exported.of(stack.exported(), f"state of stack {stack.name}")


def backup(copies: StateCopies, site: str, now: Exported, at: float) -> Copy | None:
    """`at`: seconds since 1970. The copy that holds it, which may be the newest of before; None of a state with nothing in it. Raises Failed."""
    if not now.count:
        return None
    if len(now.text) > MOST_STATE:
        raise Failed(
            f"state of region {site}: has {len(now.text)} bytes, wanted {MOST_STATE} at most; it was not copied"
        )
    newest = copies.copies(site)[-1:]
    if newest and newest[0].digest == now.digest:
        return newest[0]
    made = Copy(site=site, at=at, digest=now.digest)
    copies.keep(made, now.text)
    return made


def chosen(copies: Sequence[Copy], digest: str) -> Copy:
    """The one that is meant by the beginning of its digest; the newest of those that are alike. Raises Usage."""
    found = [it for it in copies if it.digest.startswith(digest)]
    if len(digest) < SHORT or len({it.digest for it in found}) != 1:
        raise Usage(
            f"digest: found {shown(digest)}, wanted the first {SHORT} or more digits of one copy; nothing was changed; `drctl state list` prints them"
        )
    return found[-1]


@dataclass(frozen=True, kw_only=True)
class Restore:
    """One copy in the place of what is there. `locks`: who holds one on the stack now; raises Failed where nobody can tell."""

    stack: Stack
    copies: StateCopies
    locks: Callable[[], Sequence[Lock]]
    say: Callable[[str], Any]

    def refuse(self, of: Copy, wanted: Exported, now: Exported, over: str) -> None:
        """Raises Refused while a run is at work, and where what is there is newer than the copy and was not named."""
        self._idle()
        newer = now.count and (now.state.changed or time.time()) > (wanted.state.changed or of.at)
        if newer and not (len(over) >= SHORT and now.digest.startswith(over)):
            short = now.digest[:SHORT]
            raise Refused(
                f"state of stack {self.stack.name}: found one that was written after this copy (digest {short}, {now.count} resources), wanted an older one; "
                f"what was made since would be nobody's, so nothing was changed; `--over {short}` puts the copy in its place all the same"
            )

    def run(self, of: Copy, wanted: Exported, now: Exported) -> None:
        """What is there is copied first. Raises DrError."""
        kept = backup(self.copies, of.site, now, time.time())
        if kept is not None:
            self.say(f"what is there now is kept as {kept.digest[:SHORT]}")
        self._idle()  # somebody may have agreed after an hour
        self.stack.imported(wanted.text)
        after = exported(self.stack)
        if (after.count, after.state.servers) != (wanted.count, wanted.state.servers):
            raise OutcomeUnknown(
                f"state of stack {self.stack.name}: found {after.count} resources after the import, wanted the {wanted.count} of the copy; see "
                f"`{self.stack.command('stack')}` before anything else is run"
            )

    def _idle(self) -> None:
        try:
            held = self.locks()
        except Failed as error:
            self.say(
                f"who is at work on stack {self.stack.name} is not known here ({error}); pulumi refuses where somebody is"
            )
            return
        if held:
            raise Refused(
                f"stack {self.stack.name}: is locked by {'; '.join(it.who for it in held)}, wanted no run at work; nothing was changed; wait for its end, or, "
                f"where it was killed, `drctl unlock {self.stack.name.rpartition('-')[2]}`, which leaves a living run alone"
            )
