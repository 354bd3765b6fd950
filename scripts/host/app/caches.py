"""A way to the cache that leads, on this host alone: plain for who asks, TLS with the shop's certificate from here on. Pure.

A gem that knows one Redis, and neither certificates of clients nor several caches, is served by it (`REDIS_URL`). HAProxy asks each cache for its role
and forwards to the one that leads, the own site's first; a connection to one that leads no more is closed, so that the next one finds another.
"""

from __future__ import annotations

from contract.hosts import PORTS
from contract.services.redis import SHOP

from ..frame.files import ManagedFile
from ..frame.layout import Layout
from ..frame.systemd import sandbox
from .config import Desired
from .names import CACHES, CACHES_UNIT

USER = "haproxy"  # of the package
CONFIG = "/etc/dr/caches.cfg"
PEM = "/etc/dr/caches.pem"  # certificate and key in one, as HAProxy wants them
CA = "/etc/dr/caches-ca.pem"
# Every connection of the shop's processes, twice, and some.
MOST, FILES = 1000, 4096


def command(*words: str) -> str:
    """A command of Redis as it goes over the wire, in hexadecimal digits: no word of it can be taken for HAProxy's own."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        told = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(told), told))
    return b"".join(parts).hex()


def config(desired: Desired) -> str:
    """HAProxy's whole configuration; it holds the shop's password at the caches."""
    own = f".{desired.envelope.site}"
    servers = []
    for key in desired.caches:
        host = desired.envelope.at(key)
        later = "" if key.endswith(own) else " backup"
        servers.append(f"  server {key} {host.vrack}:{PORTS['redis']} verifyhost {host.name}{later}\n")
    return f"""# Written by dr-host app converge; changes made here are lost.
global
  maxconn {MOST}
  no strict-limits
  log stdout format raw daemon notice

defaults
  log global
  mode tcp
  option redispatch
  retries 2
  timeout connect 1s
  timeout check 1s
  # Whoever waits for a job or a message says nothing for as long as it waits.
  timeout client 1h
  timeout server 1h

listen caches
  bind {CACHES}
  option tcp-check
  tcp-check send-binary {command("AUTH", SHOP, desired.cache_password)}
  tcp-check expect string +OK
  tcp-check send-binary {command("ROLE")}
  tcp-check expect binary {b"$6".hex()}0d0a{b"master".hex()}
  default-server check inter 1s fastinter 250ms downinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
  default-server ssl crt {PEM} ca-file {CA} verify required ssl-min-ver TLSv1.2
{"".join(servers)}"""


UNIT = f"""[Unit]
Description=The shop's way to the cache that leads
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={USER}
Group={USER}
ExecStart=/usr/sbin/haproxy -db -f {CONFIG}
Restart=always
RestartSec=1
TimeoutStopSec=5
LimitNOFILE={FILES}
UMask=0077
PrivateUsers=yes
{sandbox([])}
[Install]
WantedBy=multi-user.target
"""


def files(desired: Desired, layout: Layout) -> list[ManagedFile]:
    """What this way is made of."""
    its = desired.cache_tls
    return [
        ManagedFile(path=layout.at(CONFIG), content=config(desired), mode=0o640, group=USER),
        ManagedFile(path=layout.at(PEM), content=f"{its.cert.rstrip()}\n{its.key.rstrip()}\n", mode=0o640, group=USER),
        ManagedFile(path=layout.at(CA), content=its.ca),
        ManagedFile(path=layout.units / CACHES_UNIT, content=UNIT),
    ]
