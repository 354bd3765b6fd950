"""`dr-host app converge|status|quiesce|resume|forward`: nginx and the shop's processes on an app host.

Active: requests go to the local process `web`, workers and timers run. Standby: `web` runs too, warm, while nginx forwards to the active site, and what
works in the active site alone does not run. A change of role tells nginx by a file, without a reload, and starts or stops the workers; `web` finds the
writer by itself. Which processes there are says the release's Procfile, as it lies on this host. It copies no release and decides no role.
"""

from __future__ import annotations

from ..frame.call import Verb, elsewhere
from .status import status

VERBS = {
    "converge": Verb(elsewhere(f"{__package__}.service", "run_converge")),
    "status": Verb(status, locked=False, reads=False),
    "quiesce": Verb(elsewhere(f"{__package__}.service", "quiesce"), reads=False),
    "resume": Verb(elsewhere(f"{__package__}.service", "resume"), reads=False),
    "forward": Verb(elsewhere(f"{__package__}.service", "forward")),
    "place": Verb(elsewhere(f"{__package__}.service", "place"), apart=True),
}
