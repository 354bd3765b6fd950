"""What the agent tells the dead-man (`deadman`): until when the service may go on."""

from __future__ import annotations

from ..frame.files import write_atomically
from ..frame.layout import Layout
from ..frame.rolefile import Role

HELD_UNTIL = "held-until"  # in /run/dr


class Holding:
    """Written when it changes. `stop_s`: what the service has for its stop."""

    def __init__(self, layout: Layout, stop_s: int) -> None:
        self._layout, self._stop_s, self._told = layout, stop_s, b""
        try:  # what the agent before this one has said
            self._until = float((layout.run / HELD_UNTIL).read_text().split()[0])
        except (OSError, ValueError, IndexError):
            self._until = 0.0

    def over(self, now: float) -> bool:
        """Whether the dead-man has been told of nothing later."""
        return now >= self._until

    def tell(self, until: float | None, role: Role | None) -> str | None:
        """`until`: None for a lease that is over. Returns why it cannot be told; what it is not told the dead-man takes for the end of the lease."""
        text = f"{until or 0:.3f} {self._stop_s}\n".encode()
        if text == self._told:
            return None
        try:
            if role is not None:
                role.mirror(self._layout)
            write_atomically(self._layout.run / HELD_UNTIL, text)
        except OSError as error:
            return f"{self._layout.run}/{HELD_UNTIL}: cannot be written ({error.strerror}); the dead-man will stop the service"
        self._told, self._until = text, until or 0.0
        return None
