"""`dr-host host converge|authlog|survey`: see `service`, `sending` and `survey`. `survey` is what `drctl status` asks of each host of both regions."""

from __future__ import annotations

from ..frame.call import Verb, elsewhere

VERBS = {
    "converge": Verb(elsewhere(f"{__package__}.service", "converge")),
    "authlog": Verb(elsewhere(f"{__package__}.sending", "send"), locked=False, reads=False),
    "survey": Verb(elsewhere(f"{__package__}.survey", "survey"), locked=False, reads=False),
}
