"""Arguments of `drctl build`, `releases`, `deploy` and `rollback`. Parsing only."""

from __future__ import annotations

import argparse
from pathlib import Path

from contract.sites import SITES
from scripts.ctl.commands import arguments
from scripts.ctl.commands.arguments import PROJECT, of_stack


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """All of these commands."""
    _build(commands.add_parser("build", help="a Rails application becomes a release: one file, known by its digest"))
    _releases(commands.add_parser("releases", help="releases in the buckets of both regions"))
    deploy = commands.add_parser(
        "deploy", help="a release runs in both regions, the standby first, host by host; again: go on"
    )
    deploy.add_argument("release", help="its digest, or how that begins")
    deploy.add_argument(
        "--unsafe",
        default="",
        metavar="REASON",
        help="let its migrations pass although the release before needs what they take away",
    )
    arguments.undertaking(deploy)
    rollback = commands.add_parser(
        "rollback", help="the release before, in both regions, the active one first; the schema stays; again: go on"
    )
    rollback.add_argument("release", nargs="?", default="", help="another one than the last deploy has replaced")
    arguments.undertaking(rollback)


def _build(build: argparse.ArgumentParser) -> None:
    build.add_argument("application", type=Path, help="its folder")
    build.add_argument("--out", type=Path, help="the file; .build/<name of the folder>-<digest>.tar.gz by default")
    build.add_argument("--ruby", help="the hosts' Ruby, X.Y; dr:app.ruby by default")
    build.add_argument("--no-assets", action="store_true", help="without assets:precompile")
    build.add_argument("--json", action="store_true", help="what came of it, as JSON")
    build.set_defaults(folder=PROJECT)


def _releases(releases: argparse.ArgumentParser) -> None:
    what = releases.add_subparsers(dest="what", required=True)
    listed = what.add_parser("list", help="all of them, where they lie, and which one runs where")
    push = what.add_parser("push", help="put a release into both regions' buckets, and read it back")
    push.add_argument("file", type=Path, help="as `drctl build` made it, its card beside it")
    verify = what.add_parser("verify", help="read every copy; exit code 1 where one is missing or spoiled")
    verify.add_argument("--repair", action="store_true", help="put the other region's copy in its place")
    for each in (listed, push, verify):
        each.add_argument("--json", action="store_true", help="what came of it, as JSON")
        each.add_argument("--site", choices=SITES, default="a", help="whose stack has the keys; a by default")
        of_stack(each)
