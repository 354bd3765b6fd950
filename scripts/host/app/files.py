"""Every file of an app host that is ours. Pure."""

from __future__ import annotations

from contract.documents import Certificate
from contract.services.postgres import APP_ROLE, WORKER_ROLE

from ..frame.files import ManagedFile
from ..frame.layout import Layout
from .config import ENV, RETRIES, TLS, UNITS, USER, Desired, environment, environment_file
from .web import nginx


def _shown(layout: Layout, name: str, its: Certificate) -> list[ManagedFile]:
    """A certificate of the shop's and its key. libpq takes a key that is root's and that one group may read."""
    key = layout.at(f"{TLS}/{name}.key")
    return [
        ManagedFile(path=layout.at(f"{TLS}/{name}.crt"), content=its.cert),
        ManagedFile(path=key, content=its.key, mode=0o640, group=USER),
    ]


def files(desired: Desired, layout: Layout) -> dict[str, list[ManagedFile]]:
    """By whom they concern: web (web and workers), shown (read with each connection to a service), units, nginx, kernel."""
    return {
        "web": [ManagedFile(path=layout.at(ENV), content=environment_file(environment(desired)), mode=0o600)],
        "shown": [
            *_shown(layout, APP_ROLE, desired.database_tls),
            *_shown(layout, WORKER_ROLE, desired.worker_tls),
            *_shown(layout, "cache", desired.cache_tls),
            ManagedFile(path=layout.at(f"{TLS}/cache-ca.pem"), content=desired.cache_tls.ca),
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
