"""`app status`. Read twice a minute for figures, so it imports no more than that takes."""

from __future__ import annotations

from ..frame import rolefile
from ..frame.call import Call
from ..frame.result import Result
from ..frame.systemd import Systemd
from . import well
from .names import CACHES_UNIT, NGINX, RELEASE, SPARE, WEB
from .units import lying, of_active_site, placed, startable


def status(call: Call) -> Result:
    """Verb `status`: live facts; never fails. `worker`: whether what works in the active site alone does, all of it there, any of it in the standby."""
    role, texts = rolefile.read(call.layout), lying(call.layout)
    guarded, workers = of_active_site(texts), startable(texts)
    asked = [WEB, NGINX, CACHES_UNIT, *(unit for unit in texts if unit not in (WEB, SPARE, RELEASE))]
    seen = Systemd().look(asked)
    active, current = role is not None and role.role == rolefile.PRIMARY, call.layout.at("/opt/shop/current")
    return Result(
        {
            "web": seen[WEB].running,
            "worker": all(seen[it].running for it in workers) if active else any(not seen[it].down for it in guarded),
            "processes": {unit: seen[unit].running for unit in asked if unit not in (WEB, NGINX)},
            "nginx": seen[NGINX].running,
            "healthy": well.healthy(call.layout, well.at(call.layout)),
            "release": str(current.readlink()) if current.is_symlink() else None,
            "placed": placed(call.layout),
            "role": role.document() if role else None,
        }
    )
