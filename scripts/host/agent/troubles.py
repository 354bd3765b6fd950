"""What is wrong by the agent's own word: for its log, said when it begins and when it ends, and for its note and its heartbeat."""

from __future__ import annotations

from ..frame import rolefile
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.rolefile import Role

EPOCHS, DEADMAN, ROLE = "epochs", "deadman", "role"  # troubles that are no silence
_OVER = {
    EPOCHS: "the witness names the newest epoch again",
    DEADMAN: "the dead-man is told again",
    ROLE: "the role file can be read again",
}


class Troubles:
    """By what is in trouble. Written from several threads, each with troubles of its own."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._texts: dict[str, str | None] = {"witness": "not asked yet", "counterpart": "not asked yet"}

    def get(self, what: str) -> str | None:
        return self._texts.get(what)

    def keep(self, what: str, text: str) -> None:
        """Without a word in the log."""
        self._texts[what] = text

    def tell(self, what: str, text: str | None) -> None:
        before = self._texts.get(what)
        self._texts[what] = text
        if text is not None and before != text:
            self._log.warning(text)
        elif text is None and before is not None:
            self._log.info(_OVER.get(what, f"{what} answers"))


def kept(layout: Layout) -> tuple[Role | None, str | None]:
    """What this host is, and what is wrong with that: where the role file cannot be read it stays what it was."""
    role = rolefile.read(layout)
    if role is not None:
        return role, None
    role = rolefile.known(layout)
    if role is None:
        return None, None
    return role, (
        f"{layout.var}/role.json: cannot be read; this host stays {role.role} of epoch {role.epoch}, as it was, and its service is not started again "
        "once it is down; see its disk, then raise dr:repair and run `pulumi up` for this site"
    )
