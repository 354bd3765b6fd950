"""The table of commands: which module holds a command's `run(chosen)`. A command is added by its row here and its arguments in `cli.py`.

`run` gets what was parsed, writes its result with `scripts.ctl.output`, and returns an exit code or raises DrError.
"""

from __future__ import annotations

import argparse

_MODULES = {
    "abort": "move",
    "audit": "audit",
    "build": "build",
    "chaos": "rehearse",
    "check": "check",
    "completion": "manual",
    "config": "config",
    "confirm": "confirm",
    "dashboard": "dashboard",
    "deploy": "deploy",
    "destroy": "destroy",
    "drill": "drill",
    "failback": "move",
    "failover": "move",
    "init": "init",
    "logs": "logs",
    "man": "manual",
    "psql": "host",
    "reboot": "reboot",
    "redis": "host",
    "run": "host",
    "reference": "reference",
    "rejoin": "move",
    "releases": "releases",
    "report": "report",
    "rights": "rights",
    "rollback": "deploy",
    "rotate": "rotate",
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
# What changes something: each run of it keeps a log (`scripts.ctl.output.log`). What a person does at a host is in that host's own.
LOGGED = frozenset(
    {
        *(name for name, module in _MODULES.items() if module == "move"),
        *(
            "init",
            "confirm",
            "destroy",
            "unlock",
            "reboot",
            "rotate",
            "deploy",
            "rollback",
            "config share",
            "state backup",
            "state restore",
        ),
        *(
            "drill certificates",
            "drill restore",
            "drill standby",
            "drill switchover",
            "report sign",
            "report deficiency",
            "report add",
            "report push",
            "releases push",
            "releases verify",
        ),
    }
)
_ONLY_LOOKS = ("dry_run", "check", "rights")


def logged(chosen: argparse.Namespace) -> str:
    """What its log is called; empty where nothing is changed."""
    name = " ".join(filter(None, (chosen.command, getattr(chosen, "what", ""))))
    looks = any(getattr(chosen, flag, False) for flag in _ONLY_LOOKS)
    return name if name in LOGGED and not looks else ""
