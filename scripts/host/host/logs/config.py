"""What sends journals, what takes them, and how each is told: texts. Pure.

A host sends its journal to the control host of the other region, with systemd-journal-upload and the certificate by which hosts know each other. There
HAProxy looks at the certificate and leads the name in it to a socket, behind which a systemd-journal-remote of that one host writes into a folder of
that one host. So no host writes as another one, and none takes the room of another one. (Debian builds systemd-journal-remote without GnuTLS: it can
serve TLS, and refuses to be told whom to trust.)
"""

from __future__ import annotations

from collections.abc import Iterable

from contract.documents import Host
from contract.hosts import PORTS
from contract.services.logs import COPIES, Kept

from ...frame.systemd import sandbox, verified_line

TOOL = "/opt/dr/dr-host.pyz"
PORT = PORTS["logs"]
UPLOAD, WATCH, TIMER = "dr-logs-upload.service", "dr-logs-watch.service", "dr-logs-watch.timer"
ENTRANCE, TAKES, TAKEN = "dr-logs.service", "dr-logs@.socket", "dr-logs@.service"
HAPROXY = "haproxy.service"  # the package's own, which is not used
CONFIG, BOUNDS = "/etc/dr/logs.cfg", "/etc/systemd/journal-remote.conf.d/dr.conf"
SOCKETS = "/run/dr-logs"
ACTIVE = "journal.journal"  # of a host's folder: the one that is written
STATE = "/var/lib/private/dr-logs-upload/state"  # where a host's upload remembers how far it is
WATCH_S = 60
MOST = 128  # connections; a site has 13 hosts, and each has one
MOST_OF_ONE = 8  # of these
PARTS = 8  # a copy is made of so many files, of which the oldest goes
OURS = "# Written by dr-host logs converge; changes made here are lost.\n"


# Of an entrance: one host's connections leave room for those of the others, whatever it does with them.
ROOM_FOR_ALL = f"""\
  stick-table type ip size 1k expire 10m store conn_cur
  tcp-request connection track-sc0 src
  tcp-request connection reject if {{ sc0_conn_cur gt {MOST_OF_ONE} }}
"""


def socket_of(key: str) -> str:
    """The unit that takes the journal of the host of that key ("db-1.a")."""
    return TAKES.replace("@", f"@{key}")


def service_of(key: str) -> str:
    """The unit that writes it."""
    return TAKEN.replace("@", f"@{key}")


def credentials(pem: str = "host.crt") -> str:
    """Lines that hand a service its own copies of this host's certificate, key and CA. `pem`: what the certificate is called; the key ends in .key."""
    names = {pem: "host.crt", f"{pem}.key": "host.key", "ca.pem": "ca.pem"}
    return "".join(f"LoadCredential={name}:/etc/dr/{file}\n" for name, file in names.items())


def upload_arguments(name: str, files: str = "%d", state: str = "/var/lib/dr-logs-upload/state") -> list[str]:
    """How it is started. `name`: of the receiver, or its address; `files`: where its copies of certificate, key and CA are."""
    return [
        "/usr/lib/systemd/systemd-journal-upload",
        f"--url=https://{name}:{PORT}",
        f"--save-state={state}",
        f"--key={files}/host.crt.key",
        f"--cert={files}/host.crt",
        f"--trust={files}/ca.pem",
    ]


def upload(receiver: Host) -> str:
    """The unit of the one that sends. A receiver that is gone is no failure: it ends, and is begun again later, where it was."""
    return uploads(f"This host's journal, to {receiver.name}", "dr-logs-upload", receiver.name)


def uploads(description: str, folder: str, name: str) -> str:
    """`folder`: below /var/lib, where it remembers how far it is. `name`: the receiver's, or its address."""
    return f"""{OURS}[Unit]
Description={description}
After=systemd-journald.service
StartLimitIntervalSec=0

[Service]
DynamicUser=yes
SupplementaryGroups=systemd-journal
StateDirectory={folder}
StateDirectoryMode=0700
{credentials()}ExecStart={" ".join(upload_arguments(name, state=f"/var/lib/{folder}/state"))}
Restart=always
RestartSec=10
RestartSteps=4
RestartMaxDelaySec=60
SuccessExitStatus=1
WatchdogSec=180
TimeoutStopSec=10
LimitNOFILE=16384
UMask=0077
Nice=10
MemoryMax=96M
LogLevelMax=err
{sandbox([])}
[Install]
WantedBy=multi-user.target
"""


WATCH_UNIT = f"""{OURS}[Unit]
Description=Whether this host's journal reaches the other region, and what is too old here

[Service]
Type=oneshot
UMask=0077
Nice=10
MemoryMax=128M
TimeoutStartSec=55
StandardOutput=null
StandardError=journal
SyslogLevel=notice
LogLevelMax=notice
{verified_line(TOOL)}ExecStart=/usr/bin/python3 {TOOL} logs watch
{sandbox(["/run/dr", "/var/lib/dr/metrics/dr_logs", COPIES], capabilities=("CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"))}"""
WATCH_TIMER = f"""{OURS}[Timer]
OnActiveSec=20
OnUnitInactiveSec={WATCH_S - 5}
RandomizedDelaySec=5
AccuracySec=1s

[Install]
WantedBy=timers.target
"""

# --- of a control host

TAKES_UNIT = f"""{OURS}[Unit]
Description=Where the journal of %i comes in

[Socket]
ListenStream={SOCKETS}/%i.sock
SocketUser=haproxy
SocketMode=0600
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
"""
# One for each host: it has no network, and no folder but its own.
TAKEN_UNIT = f"""{OURS}[Unit]
Description=Copy of the journal of %i
StartLimitIntervalSec=0

[Service]
User=systemd-journal-remote
LogsDirectory=dr-logs/%i
LogsDirectoryMode=0700
ExecStart=/usr/lib/systemd/systemd-journal-remote --listen-http=-3 --split-mode=none --compress=yes --output={COPIES}/%i/{ACTIVE}
WatchdogSec=180
TimeoutStopSec=10
LimitNOFILE=1024
UMask=0077
Nice=10
MemoryMax=128M
LogLevelMax=notice
PrivateNetwork=yes
{sandbox([])}RestrictAddressFamilies=
RestrictAddressFamilies=AF_UNIX
"""


def haproxy(description: str, file: str, more: str = "") -> str:
    """The unit of an HAProxy that shows the host's certificate, by its configuration in `file`. `more`: lines of its own."""
    return f"""{OURS}[Unit]
Description={description}
StartLimitIntervalSec=0

[Service]
Type=exec
User=haproxy
Group=haproxy
{credentials("host.pem")}{more}ExecStart=/usr/sbin/haproxy -db -f {file}
Restart=always
RestartSec=5
TimeoutStopSec=5
LimitNOFILE={8 * MOST}
UMask=0077
Nice=10
MemoryMax=128M
LogLevelMax=notice
AmbientCapabilities=CAP_NET_BIND_SERVICE
{sandbox([], capabilities=("CAP_NET_BIND_SERVICE",))}
[Install]
WantedBy=multi-user.target
"""


ENTRANCE_UNIT = haproxy("Who of the other region may leave its journal here", CONFIG)
NOT_USED = f"[Unit]\nConditionPathExists=!{CONFIG}\n"


def bounds(kept: Kept) -> str:
    """What each of them may take of the disk; and none writes while less than systemd's own 15 % (4 GiB at most) are free."""
    return f"{OURS}[Remote]\nMaxUse={kept.host_mb}M\nMaxFileSize={kept.host_mb // PARTS}M\nMaxFiles={4 * PARTS}\n"


def entrance(address: str, others: Iterable[tuple[str, Host]], files: str = f"/run/credentials/{ENTRANCE}") -> str:
    """HAProxy's whole configuration. `address`: where it listens, with its port; `others`: hosts of the other region with their keys."""
    told = list(others)
    leads = "".join(f"  use_backend {key} if {{ ssl_c_s_dn(CN) -m str {host.name} }}\n" for key, host in told)
    behind = "".join(f"\nbackend {key}\n  server it unix@{SOCKETS}/{key}.sock maxconn 4\n" for key, _ in told)
    return f"""{OURS}global
  maxconn {MOST}
  no strict-limits
  log stdout format raw daemon notice

defaults
  log global
  mode http
  timeout http-request 10s
  timeout connect 5s
  # Whoever has nothing to say keeps its connection, or comes again.
  timeout client 2m
  timeout server 2m

frontend entrance
{ROOM_FOR_ALL}  bind {address} ssl crt {files}/host.pem ca-file {files}/ca.pem verify required ssl-min-ver TLSv1.2 alpn http/1.1
  http-request deny unless {{ method POST }} {{ path /upload }}
{leads}  default_backend nobody

backend nobody
  http-request deny
{behind}"""
