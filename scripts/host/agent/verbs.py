"""`dr-host agent run|status|listen|ensure|deny|allow`: heartbeats to the witness, the lease of a primary, grants to the counterpart.

`run` is the unit `dr-agent.service`; the others are short and work without it, but for `deny`, which needs to know that it runs.
"""

from __future__ import annotations

from ..frame.call import Verb, elsewhere
from ..frame.lines import listening
from .status import status

VERBS = {
    "run": Verb(elsewhere(f"{__package__}.run", "run"), locked=False, reads=False),
    "status": Verb(status, locked=False, reads=False),
    "listen": Verb(listening(status), locked=False, reads=False),
    "ensure": Verb(elsewhere(f"{__package__}.ensure", "ensure"), locked=False, reads=False),
    "deny": Verb(elsewhere(f"{__package__}.denial", "deny"), locked=False),
    "allow": Verb(elsewhere(f"{__package__}.denial", "allow"), locked=False, reads=False),
}
