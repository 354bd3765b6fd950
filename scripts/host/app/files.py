"""Every file of an app host that is ours. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from contract.dataclass import dataclass
from contract.documents import Certificate
from contract.services.postgres import Logins
from contract.services.processes import Found

from ..frame.files import ManagedFile
from ..frame.layout import Layout
from . import caches
from .config import Desired, environment, environment_file, own_environment
from .lock import LOCKED, TEXT
from .names import CACHES_UNIT, ENV, NGINX, PROCESSES, RETRIES, TLS, USER
from .units import Units
from .web import health, nginx
from .well import FILE


@dataclass(frozen=True)
class Group:
    """Files that concern the same units. `units`: those that begin anew when one of the files is another."""

    files: list[ManagedFile]
    units: frozenset[str] = frozenset()


def _shown(layout: Layout, name: str, its: Certificate) -> list[ManagedFile]:
    """A certificate of the shop's and its key. libpq takes a key that is root's and that one group may read."""
    key = layout.at(f"{TLS}/{name}.key")
    return [
        ManagedFile(path=layout.at(f"{TLS}/{name}.crt"), content=its.cert),
        ManagedFile(path=key, content=its.key, mode=0o640, group=USER),
    ]


def of_nginx(desired: Desired, layout: Layout) -> list[ManagedFile]:
    """The entrance: what nginx reads."""
    return [
        ManagedFile(path=layout.at("/etc/shop/tls.crt"), content=desired.shop_tls.cert),
        ManagedFile(path=layout.at("/etc/shop/tls.key"), content=desired.shop_tls.key, mode=0o600),
        ManagedFile(path=layout.at(FILE), content=health.told(desired)),
        ManagedFile(path=layout.at("/etc/nginx/nginx.conf"), content=nginx(desired)),
    ]


def groups(desired: Desired, processes: Sequence[Found], units: Units, layout: Layout) -> dict[str, list[Group]]:
    """By what they are: env, shown (read with each connection to a service), units, caches, nginx, kernel."""
    lasting = units.lasting
    return {
        "env": [
            Group(
                [ManagedFile(path=layout.at(ENV), content=environment_file(environment(desired)), mode=0o600)],
                lasting - {CACHES_UNIT},
            ),
            *(_told(desired, it, units, layout) for it in processes),
        ],
        "shown": [
            Group(
                [
                    *_shown(layout, Logins.pair(desired.login).app, desired.database_tls),
                    *_shown(layout, Logins.pair(desired.login).worker, desired.worker_tls),
                    *_shown(layout, "cache", desired.cache_tls),
                    ManagedFile(path=layout.at(f"{TLS}/cache-ca.pem"), content=desired.cache_tls.ca),
                ]
            )
        ],
        "units": [
            *(
                Group([ManagedFile(path=layout.units / name, content=text)], lasting & {name})
                for name, text in units.texts.items()
            ),
            *([Group([ManagedFile(path=layout.at(LOCKED), content=TEXT)])] if units.release else []),
        ],
        "caches": [Group(caches.files(desired, layout), frozenset({CACHES_UNIT}))],
        "nginx": [Group(of_nginx(desired, layout), frozenset({NGINX}))],
        "kernel": [
            Group(
                [
                    ManagedFile(
                        path=layout.at("/etc/sysctl.d/90-dr-app.conf"), content=f"net.ipv4.tcp_retries2 = {RETRIES}\n"
                    )
                ]
            )
        ],
    }


def _told(desired: Desired, process: Found, units: Units, layout: Layout) -> Group:
    """What one process is told beside the others."""
    path, name = layout.at(f"{PROCESSES}/{process.name}.env"), f"shop-{process.name}"
    text = environment_file(own_environment(desired, process))
    its = frozenset(it for it in units.lasting if it.endswith(".service") and it.split(".")[0] == name)
    return Group([ManagedFile(path=path, content=text, mode=0o600)], its)
