"""A store of the team's own that journals go to beside the copy: texts of what leads there. Pure.

Debian 13's systemd-journal-upload can show a certificate and no password (it learns headers with systemd 258), and over HTTP/2, which a store's entrance
may offer, it ends itself. So each host sends its journal a second time, to the control host of its own region, with a position of its own; there an
HAProxy of its own looks at the certificate, writes the host's name from it beside each line, adds the password, and hands it on over HTTP/1.1. The
password is on control hosts alone, and nothing of it is between a host and the other region.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import urlsplit

from contract.documents import Host
from contract.services.logs import Forward

from .config import MOST, OURS, ROOM_FOR_ALL, haproxy, uploads

UPLOAD, LEADS = "dr-logs-store-upload.service", "dr-logs-store.service"
STATE = "/var/lib/private/dr-logs-store-upload/state"  # where a host's upload remembers how far it is
CONFIG, SECRET, CA = "/etc/dr/logs-store.cfg", "/etc/dr/logs-store.secret", "/etc/dr/logs-store-ca.pem"
FILES = f"/run/credentials/{LEADS}"
PUBLIC = "/etc/ssl/certs/ca-certificates.crt"
FIELD = "dr_host"  # of each line in the store: the key of the host whose certificate it came with
# What a host may not say for itself: how the store reads it, whose it is, and who lets it in.
_OURS_TO_SAY = ("VL-", "AccountID", "ProjectID", "Authorization", "Cookie", "X-Forwarded-")


def upload(control: Host) -> str:
    """The unit of a host that sends. Over the front network: it is of one region, and one rule of the firewall lets in whom it holds."""
    return uploads("This host's journal, to the store", "dr-logs-store-upload", control.front)


LEADS_UNIT = haproxy("The way to the store of journals", CONFIG, f"LoadCredential=store.secret:{SECRET}\n")


def secret(store: Forward) -> str:
    """A file of words for HAProxy, which looks up `it`: what the store is shown. Empty where it is shown nothing."""
    if store.user is not None:
        return f"it Basic {base64.b64encode(f'{store.user}:{store.password}'.encode()).decode()}\n"
    return f"it Bearer {store.token}\n" if store.token else ""


def leads(
    address: str,
    own: Iterable[tuple[str, Host]],
    store: Forward,
    *,
    files: str = FILES,
    ca: str = CA,
    asks: str = "parse-resolv-conf",
) -> str:
    """HAProxy's whole configuration, without a secret. `address`: where it listens, with its port; `own`: hosts of this region with their keys;
    `asks`: which name servers.
    """
    told = list(own)
    names = "".join(f"  acl ours ssl_c_s_dn(CN) -m str {host.name}\n" for _, host in told)
    shown = f"bind {address} ssl crt {files}/host.pem ca-file {files}/ca.pem verify required"
    return f"""{OURS}global
  maxconn {MOST}
  no strict-limits
  log stdout format raw daemon notice

# Its address may change, and a name that is unknown today is no reason not to begin.
resolvers names
  {asks}
  hold valid 60s

defaults
  log global
  mode http
  timeout http-request 10s
  timeout connect 5s
  timeout client 2m
  timeout server 2m
  timeout queue 30s

frontend store
{ROOM_FOR_ALL}  {shown} ssl-min-ver TLSv1.2 alpn http/1.1
{names}  http-request deny unless ours {{ method POST }} {{ path /upload }}
{_said(told, store, files)}  default_backend there

backend there
  # What it says of a refusal ends in journals: its number is enough.
  http-response set-var(txn.answered) status
  http-response return status 502 content-type text/plain lf-string "the store answered %[var(txn.answered)]" unless {{ status 200:299 }}
  {_server(store, ca)}
"""


def _said(own: list[tuple[str, Host]], store: Forward, files: str) -> str:
    """What is said to the store of whoever comes, in place of what he says himself."""
    at = urlsplit(store.url)
    rules = [f"del-header {name} -m beg" for name in _OURS_TO_SAY]
    if store.user is not None or store.token:
        rules.append(f"set-header Authorization %[str(it),map({files}/store.secret)]")
    if store.tenant is not None:
        account, _, project = store.tenant.partition(":")
        rules += [f"set-header AccountID {account}", f"set-header ProjectID {project}"]
    rules += [
        f"set-header VL-Extra-Fields {FIELD}={key} if {{ ssl_c_s_dn(CN) -m str {host.name} }}" for key, host in own
    ]
    rules += [f"set-header VL-Stream-Fields {FIELD},_SYSTEMD_UNIT", f"set-header Host {at.netloc}"]
    return "".join(f"  http-request {it}\n" for it in (*rules, f"set-uri {at.path}/upload"))


def _server(store: Forward, ca: str) -> str:
    at = urlsplit(store.url)
    secure, name = at.scheme == "https", at.hostname or ""
    line = f"server it {name}:{at.port or (443 if secure else 80)} maxconn {MOST // 2}"
    line += " resolvers names resolve-prefer ipv4 init-addr last,libc,none"
    if not secure:
        return line
    roots = ca if store.ca is not None else PUBLIC
    return f"{line} ssl verify required ca-file {roots} sni str({name}) verifyhost {name} ssl-min-ver TLSv1.2 alpn http/1.1"
