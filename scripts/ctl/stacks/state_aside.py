"""A failover while Pulumi's backend is silent: the run of the region that lives has a state of its own, made from a copy at the witness.

The bucket of the states may be what the region took with it. A copy is taken by a digest that a person has typed, as in `drctl state restore` (decision 26),
and lies in a folder of this user's. A move makes nothing at the platform, so the backend's own state, which stays as it is, is told nothing wrong by it: a
later run tells hosts again what they were told (decision 54).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from contract.buckets import Bucket
from contract.dataclass import dataclass
from contract.errors import DrError, Failed, Refused
from scripts.clients.state_copies import Copy, StateCopies
from scripts.ctl.persons import memory
from scripts.ctl.stacks import state_copying as copying
from scripts.ctl.stacks.configuration import PROJECT, load
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.stacks.state_backend import REFUSED_HERE, opened
from scripts.ctl.stacks.state_copying import SHORT, Exported

ANSWER_S = 30.0  # for a state on its way


def silence(stack: Stack) -> str:
    """Why no run can have its state from the backend now, by one listing of it; empty where it can, as far as anybody but pulumi can tell."""
    try:
        opened(os.environ, Path.home()).names(f".pulumi/locks/organization/{stack.project}/{stack.name}/")
    except Failed as error:
        return "" if REFUSED_HERE in str(error) else str(error)
    return ""


@dataclass(frozen=True, kw_only=True)
class Aside:
    """`stack`: that of the region that lives; `of`, `text`: the copy; `folder`: the backend of its own."""

    stack: Stack
    site: str
    of: Copy
    text: bytes
    copies: StateCopies
    folder: Path

    @classmethod
    def chosen(cls, witness: Bucket, stack: Stack, site: str, digest: str, mute: str) -> Aside:
        """The copy whose digest begins so. `mute`: what `silence` has said. Changes nothing. Raises Refused where the backend answers, Usage, Failed."""
        if not mute and not _elsewhere():
            raise Refused(
                "--state-copy: Pulumi's backend answers, wanted that only of one that is silent; two states of one stack would go on from here, so nothing "
                "was changed; run it without --state-copy"
            )
        copies = StateCopies(witness, answer_s=ANSWER_S)
        of = copying.chosen(copies.copies(site), digest)
        text = copies.copy(of)
        if not Exported.of(text, f"copy {of.digest[:SHORT]}").count:
            raise Failed(
                f"copy {of.digest[:SHORT]}: holds no resources, wanted the state of region {site}; nothing was changed; `drctl state list` shows others"
            )
        try:
            folder = memory.place_of("state", witness) / f"{site}-{of.digest[:SHORT]}"
        except RuntimeError as error:
            raise Failed(f"a folder for the state: {error}, wanted the user's home; set XDG_STATE_HOME") from None
        return cls(stack=stack, site=site, of=of, text=text, copies=copies, folder=folder)

    @property
    def placed(self) -> Stack:
        """The same stack, with this folder as its backend."""
        # Without files of metadata beside each object: they are not written in one step, and a kill in between makes the stack unreadable.
        url = f"file://{self.folder}?metadata=skip"
        return replace(self.stack, environment={**os.environ, "PULUMI_BACKEND_URL": url})

    def make(self) -> Stack:
        """The stack to run, with the copy in it, or what a run that was begun with this copy has left. Raises Failed."""
        placed = self.placed
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Failed(
                f"{self.folder}: cannot be made ({error.strerror}), wanted a folder for the state; nothing was changed; set XDG_STATE_HOME"
            ) from None
        if not placed.known():
            self._begin(placed)
        if not copying.exported(placed).count:
            placed.imported(self.text)
        return placed

    def keep(self, say: Callable[[str], None]) -> None:
        """The state as the run has left it goes to the witness, too, and people are told where it is. Raises nothing of its own."""
        try:
            kept = copying.backup(self.copies, self.site, copying.exported(self.placed), time.time())
        except DrError as error:
            say(f"warning: the state of region {self.site} lies in {self.folder} alone ({error})")
            return
        if kept is not None:
            say(
                f"the state of region {self.site} is kept as {kept.digest[:SHORT]}, and lies in {self.folder}; once Pulumi's backend answers, "
                f"`drctl state restore {kept.digest[:SHORT]} --site {self.site}` puts it there, before any other run"
            )

    def _begin(self, placed: Stack) -> None:
        """`pulumi stack init` writes into a project's folder: it is given one of its own, with what says how secrets are kept."""
        with tempfile.TemporaryDirectory(prefix="drctl-") as made:
            folder = Path(made)
            shutil.copy(self.stack.folder / PROJECT, folder)
            shutil.copy(self.stack.path, folder / f"Pulumi.{placed.name}.yaml")
            provider = str(load(self.stack.path).get("secretsprovider") or "")
            replace(placed, folder=folder, file=None).make(provider)


def _elsewhere() -> bool:
    """Whether the backend is one that pulumi alone can ask: the operator's word has to do."""
    try:
        opened(os.environ, Path.home())
    except Failed as error:
        return REFUSED_HERE in str(error)
    return False
