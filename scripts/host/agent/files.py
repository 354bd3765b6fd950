"""The units of the agent and its dead-man, as texts, and what binds a service to them."""

from __future__ import annotations

import hashlib
import pkgutil

from contract.errors import Failed
from contract.lease import Lease

from ..frame.files import ManagedFile
from ..frame.layout import Layout
from ..frame.systemd import drop_in, sandbox
from ..postgres.versions import VERSIONS
from ..redis.engine import ENGINES
from .deadman import FLAGS

UNIT, DEADMAN = "dr-agent.service", "dr-deadman.service"
# What is left to either of root's power is what finds and ends a server of whatever user. Neither has a folder in /tmp, for on a full disk it could
# not be started. The agent signs in at the database as that one's user; the dead-man goes ahead of everybody, stays in memory, and speaks to
# nobody but the service manager.
_FINDS = ("CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SYS_PTRACE")
_AGENT_BOX = (
    sandbox(
        ["/run", "/var/lib"],
        capabilities=(*_FINDS, "CAP_SETGID", "CAP_SETUID"),
        as_others=True,
        without=("PrivateTmp",),
    )
    + "MemoryDenyWriteExecute=yes\nUMask=0077\n"
)
_DEADMAN_BOX = (
    sandbox(
        [],
        capabilities=(*_FINDS, "CAP_IPC_LOCK", "CAP_SYS_NICE"),
        as_others=True,
        without=("PrivateTmp", "RestrictRealtime"),
    )
    + "SystemCallFilter=~@privileged\nSystemCallFilter=@resources\nRestrictAddressFamilies=\nRestrictAddressFamilies=AF_UNIX\nUMask=0077\n"
)
# At boot they start after the agent has tried to be heard, since their guard asks for the lease.
_SERVICE_UNITS = [
    "postgresql.service",
    *(f"postgresql@{version}-main.service" for version in VERSIONS),
    *(engine.unit for engine in ENGINES),
]


def unit_file(layout: Layout, terms: Lease) -> ManagedFile:
    """The unit. It comes back whatever ends it, before the margin of those who wait for the lease is used up."""
    text = f"""# Written by dr-host; changes are overwritten.
[Unit]
Description=Heartbeat and lease of this host's database or cache
Documentation=man:systemd.service(5)
After=network-online.target
Wants=network-online.target
Before={" ".join(_SERVICE_UNITS)}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/bin/python3 /opt/dr/dr-host.pyz agent run
Restart=always
RestartSec=1
WatchdogSec={terms.watchdog_s:g}
WatchdogSignal=SIGKILL
TimeoutStartSec=30
TimeoutStopSec={terms.stop_s + 10:g}
Environment=MALLOC_ARENA_MAX=1 PYTHONNODEBUGRANGES=1
OOMScoreAdjust=-950
Nice=-10
LimitNOFILE=256
{_AGENT_BOX}
[Install]
WantedBy=multi-user.target
"""
    return ManagedFile(path=layout.units / UNIT, content=text)


def deadman_files(layout: Layout, service: str) -> list[ManagedFile]:
    """The dead-man and its unit. The archive of this software may be broken one day, so it is a file of its own.

    It is renewed by a reload, which begins it anew in its own process: a restart would restart what is bound to it.
    """
    script, source = layout.at("/opt/dr/dr-deadman.py"), pkgutil.get_data(__package__, "deadman.py")
    if source is None:
        raise Failed(
            "archive of dr-host: found none of its dead-man; nothing was changed; run `pulumi up` for this site"
        )
    text = f"""# Written by dr-host; changes are overwritten.
[Unit]
Description=Stops this host's database or cache when its lease is over and its agent has not
Before={" ".join(_SERVICE_UNITS)}
StartLimitIntervalSec=30
StartLimitBurst=20

[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/bin/python3 {" ".join(FLAGS)} /opt/dr/dr-deadman.py {service}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=100ms
RestartMode=direct
WatchdogSec=3
WatchdogSignal=SIGKILL
TimeoutStartSec=10
OOMScoreAdjust=-1000
MemoryMin=32M
CPUWeight=10000
Nice=-20
{_DEADMAN_BOX}
[Install]
WantedBy=multi-user.target
"""
    return [
        ManagedFile(path=script, content=source.decode()),
        ManagedFile(path=layout.units / DEADMAN, content=text),
    ]


def bonds(layout: Layout, service: str) -> list[ManagedFile]:
    """Without the dead-man no such service runs: it starts before them, and they end when it cannot be started any more."""
    text = f"[Unit]\nBindsTo={DEADMAN}\nAfter={DEADMAN}\n"
    units = ["postgresql@.service"] if service == "postgres" else [engine.unit for engine in ENGINES]
    return [drop_in(layout, unit, "dr-lease", text) for unit in units]


def fingerprint(layout: Layout) -> str:
    """Of everything that an agent reads only when it starts; another one asks for a restart."""
    digest = hashlib.sha256()
    files = [
        layout.tool,
        layout.units / UNIT,
        *(layout.etc / name for name in ("agent.json", "witness.json", "ca.pem", "host.crt", "host.key")),
    ]
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes() if path.exists() else b"").digest())
    return digest.hexdigest()[:16]
