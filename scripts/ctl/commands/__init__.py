"""The table of commands: which module holds a command's `run(chosen)`. A command is added by its row here and its arguments in `cli.py`.

`run` gets what was parsed, writes its result with `scripts.ctl.output`, and returns an exit code or raises DrError.
"""

from __future__ import annotations

_MODULES = {
    "abort": "move",
    "audit": "audit",
    "check": "check",
    "completion": "manual",
    "config": "config",
    "destroy": "destroy",
    "drill": "drill",
    "failback": "move",
    "failover": "move",
    "init": "init",
    "logs": "host",
    "man": "manual",
    "psql": "host",
    "reboot": "reboot",
    "redis": "host",
    "reference": "reference",
    "rejoin": "move",
    "report": "report",
    "rights": "rights",
    "secrets": "secrets",
    "ssh": "host",
    "ssh-certificate": "ssh_certificate",
    "state": "state",
    "status": "status",
    "switchover": "move",
    "unlock": "unlock",
}
# Imported only when called for: `drctl --help` needs none of what they load.
COMMANDS = {name: f"{__package__}.{module}" for name, module in _MODULES.items()}
