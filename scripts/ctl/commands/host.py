"""`drctl ssh`, `psql`, `redis`, `run`: at a host, by its name, with this terminal. What is done there is that person's, and the hosts' logs say so."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping

from components.render.documents import DATABASE_NAME
from components.settings import Settings
from contract.errors import Usage
from contract.hosts import APP, CACHE, DATABASE, kind_of
from contract.plain import shown
from scripts.ctl.commands import arguments
from scripts.ctl.persons.reach import way
from scripts.ctl.stacks.stack import Stack

# A command of the release as its processes run: as the shop's user, with what `web` is told. Systemd reads the files, so no secret is an argument; the shell
# finds the command in the release's folder. With a terminal it gets one, else what it reads and says passes through. It is a unit, and outlives a session
# that dies: so it has an end by itself.
ONCE = (
    "systemd-run", "--quiet", "--wait", "--collect", "--pty", "--pipe", "--expand-environment=no", "--property=User=shop", "--property=UMask=0027",
    "--property=WorkingDirectory=/opt/shop/current", "--setenv=HOME=/opt/shop/current/tmp",
    "--property=EnvironmentFile=/etc/shop/env", "--property=EnvironmentFile=/etc/shop/processes/web.env",
    "/bin/sh", "-c", 'exec "$@"', "sh",
)  # fmt: skip
# Its password is in a file of root's and goes by the environment: an argument would show it to everybody there.
_REDIS = """\
import json, os, shutil, sys
told, name = json.load(open("/etc/dr/redis.json")), shutil.which("redis-cli") or shutil.which("valkey-cli")
etc = "/etc/redis" if os.path.exists("/etc/redis/dr.conf") else "/etc/valkey"
os.environ["REDISCLI_AUTH"] = told["password"]
tls = ["--tls", "--cacert", etc + "/dr-ca.pem", "--cert", etc + "/dr.crt", "--key", etc + "/dr.key"]
at = ["-h", told["local"]["address"], "-p", str(told["local"]["port"]), "--user", "dr_operator", "--no-auth-warning"]
os.execv(name, [name, *tls, *at, *sys.argv[1:]])
"""


def run(chosen: argparse.Namespace) -> int:
    """The exit code of what was run there. Raises DrError."""
    settings = Stack.chosen(chosen).settings()
    line = LINES[chosen.command](chosen, settings)
    terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()
    with way(settings, chosen.host, chosen.person) as found:
        return found.attach(line, terminal=terminal)


def _ssh(chosen: argparse.Namespace, _: Settings) -> str:
    return shlex.join(chosen.words)


def _psql(chosen: argparse.Namespace, _: Settings) -> str:
    _is(chosen.host, DATABASE)
    return shlex.join(["runuser", "-u", "postgres", "--", "psql", "-X", "-d", DATABASE_NAME, *chosen.words])


def _redis(chosen: argparse.Namespace, _: Settings) -> str:
    _is(chosen.host, CACHE)
    return shlex.join(["python3", "-c", _REDIS, *chosen.words])


def _once(chosen: argparse.Namespace, _: Settings) -> str:
    _is(chosen.host, APP)
    if not chosen.words:
        raise Usage("command: found none, wanted one of the release, like -- bin/rails console; nothing was done")
    try:
        limit_s = arguments.age(chosen.limit)
    except Usage:
        raise Usage(
            f"--limit: found {shown(chosen.limit)}, wanted a number with s, m, h or d, like 2h; nothing was done"
        ) from None
    first, *rest = ONCE
    return shlex.join([first, f"--property=RuntimeMaxSec={limit_s}", *rest, *chosen.words])


def _is(host: str, kind: str) -> None:
    if kind_of(host.partition(".")[0]) != kind:
        raise Usage(f"host {shown(host)}: is no {kind} host, wanted one, like {kind}-1.a; nothing was done")


LINES: Mapping[str, Callable[[argparse.Namespace, Settings], str]] = {
    "ssh": _ssh,
    "psql": _psql,
    "redis": _redis,
    "run": _once,
}
