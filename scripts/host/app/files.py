"""Every file of an app host that is ours. Pure."""

from __future__ import annotations

from ..frame.files import ManagedFile
from ..frame.layout import Layout
from .config import RETRIES, UNITS, Desired, environment, environment_file
from .web import nginx


def files(desired: Desired, layout: Layout) -> dict[str, list[ManagedFile]]:
    """By whom they concern: web (web and workers), units, nginx, kernel."""
    return {
        "web": [
            ManagedFile(path=layout.at("/etc/shop/env"), content=environment_file(environment(desired)), mode=0o600)
        ],
        "units": [ManagedFile(path=layout.units / name, content=text) for name, text in UNITS.items()],
        "nginx": [
            ManagedFile(path=layout.at("/etc/shop/tls.crt"), content=desired.shop_tls.cert),
            ManagedFile(path=layout.at("/etc/shop/tls.key"), content=desired.shop_tls.key, mode=0o600),
            ManagedFile(path=layout.at("/etc/nginx/nginx.conf"), content=nginx(desired)),
        ],
        "kernel": [
            ManagedFile(path=layout.at("/etc/sysctl.d/90-dr-app.conf"), content=f"net.ipv4.tcp_retries2 = {RETRIES}\n")
        ],
    }
