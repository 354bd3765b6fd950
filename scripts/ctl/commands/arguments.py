"""What the longer commands are told: moves, drills, records; and what several are told alike."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from contract.errors import Usage
from contract.plain import shown
from contract.report import EVENTS
from contract.sites import SITES

KEY = Path("~/.ssh/id_ed25519.pub")
PROJECT = Path(__file__).resolve().parents[3]


_AGE, _UNITS = re.compile(r"([1-9][0-9]{0,4})([smhd])"), {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def age(text: str) -> int:
    """Seconds of "30m" and the like, as `--since` is told them. Raises Usage."""
    found = _AGE.fullmatch(text)
    if found is None:
        raise Usage(f"--since: found {shown(text)}, wanted a number with s, m, h or d, like 30m; nothing was read")
    return int(found[1]) * _UNITS[found[2]]


def of_site(command: argparse.ArgumentParser) -> None:
    """Which stack has the configuration."""
    command.add_argument("--site", choices=SITES, help="whose stack has the configuration; a by default")
    of_stack(command)


def of_stack(command: argparse.ArgumentParser) -> None:
    """Which stack, by its own name or file."""
    command.add_argument("--stack", help="its stack; region-SITE by default")
    command.add_argument("--config-file", type=Path, help="its stack file; Pulumi.<stack>.yaml by default")
    command.set_defaults(folder=PROJECT)


def of_both(command: argparse.ArgumentParser) -> None:
    """Which stacks both are."""
    command.add_argument(
        "--stacks",
        default="region-{site}",
        help="names of both stacks, {site} for the region's letter; region-{site} by default",
    )


def undertaking(command: argparse.ArgumentParser) -> None:
    """What goes through both stacks step by step, with a record."""
    command.add_argument("--dry-run", action="store_true", help="the plan, and nothing is changed")
    command.add_argument("--yes", action="store_true", help="agreed")
    command.add_argument("--reason", default="", help="why, for the audit trail and the record")
    command.add_argument("--ticket", default="", help="its number, for the audit trail and the record")
    command.add_argument("--approved-by", default="", help="who has agreed to it, for the record")
    of_both(command)
    command.add_argument(
        "--config-dir", type=Path, help="where Pulumi.<stack>.yaml of both lie; the project's folder by default"
    )
    command.set_defaults(folder=PROJECT)


def move(name: str, command: argparse.ArgumentParser) -> None:
    """Of `name`, one of the moves."""
    if name != "abort":
        command.add_argument("region", choices=SITES, help="which one")
    command.add_argument("--dry-run", action="store_true", help="the plan, and nothing is changed")
    if name in ("switchover", "failover", "failback"):
        _agreement(command)
    if name in ("switchover", "failover"):
        command.add_argument(
            "--resume", action="store_true", help="go on with that move, which was begun on this machine and left"
        )
    if name == "failover":
        command.add_argument(
            "--state-copy",
            default="",
            metavar="DIGEST",
            help="while Pulumi's backend is silent: run with the copy of the region's state that `drctl state list` names so",
        )
    if name != "rejoin":
        command.add_argument(
            "--with-changes",
            action="store_true",
            help="let what else is pending come along; without it nothing of the platform is made, changed, replaced or deleted",
        )
    _of_move(command)


def _agreement(command: argparse.ArgumentParser) -> None:
    command.add_argument("--yes", action="store_true", help="agreed, whatever the plan is")
    command.add_argument("--plan", default="", help="agreed to the plan with this digest, and to no other")


def _of_move(command: argparse.ArgumentParser) -> None:
    command.add_argument("--reason", default="", help="why, for the audit trail and the record")
    command.add_argument("--ticket", default="", help="its number, for the audit trail and the record")
    command.add_argument("--approved-by", default="", help="who has agreed to it, for the record")
    command.add_argument("--witnessed-by", default="", help="who watches it, for the record")
    command.add_argument(
        "--samples",
        type=Path,
        help="a file in which orders and health probes are noted meanwhile, for the record (docs/reports.md)",
    )
    of_both(command)
    command.add_argument(
        "--config-dir", type=Path, help="where Pulumi.<stack>.yaml of both lie; the project's folder by default"
    )
    command.set_defaults(folder=PROJECT)


def drill(drill: argparse.ArgumentParser) -> None:
    """Rehearsals on the real pair."""
    what = drill.add_subparsers(dest="what", required=True)
    there = what.add_parser(
        "switchover",
        help="the shop moves to the other region, stays there for a while, and moves home: strict both ways",
    )
    there.add_argument("--dry-run", action="store_true", help="the plan, and nothing is changed")
    _agreement(there)
    there.add_argument("--hold", type=int, default=900, help="seconds that it stays there; 900 by default")
    _window(there)
    _of_move(there)
    _drill_standby(
        what.add_parser(
            "standby",
            help="the standby's database and cache lose their power for a while, the shop sells on, and they come back",
        )
    )
    restore = what.add_parser(
        "restore",
        help="the newest backup and WAL, beside the standby's database: restored, counted, every page checked, removed",
    )
    restore.add_argument("--dry-run", action="store_true", help="what would be done, and nothing is")
    restore.add_argument("--hours", type=int, default=6, help="how long it may take; 6 by default")
    _of_drill(restore)
    _drill_certificates(
        what.add_parser(
            "certificates",
            help="whether every certificate could be renewed today: new ones are made, and shown by the hosts of both regions to each other alone",
        )
    )
    lab = what.add_parser(
        "lab",
        help="any drill of the lab by its name, on this machine, with a cloud and customers of its own; without a name, all that there are",
    )
    lab.add_argument("names", nargs="*", metavar="NAME", help="which ones; none: tell all of them, and what each shows")
    lab.add_argument("--runs", type=int, default=1, help="how often each; 1 by default")
    lab.set_defaults(folder=PROJECT)


def _window(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--window",
        default="",
        help="times of a day in UTC between which all of it has to be, like 02:00-04:00; any by default",
    )


def _of_drill(command: argparse.ArgumentParser) -> None:
    """Of a drill that one stack's configuration is enough for, and that has a record."""
    command.add_argument("--reason", default="", help="why, for the record")
    command.add_argument("--ticket", default="", help="its number, for the record")
    command.add_argument("--approved-by", default="", help="who has agreed to it, for the record")
    command.add_argument("--witnessed-by", default="", help="who watches it, for the record")
    command.add_argument("--site", choices=SITES, default="a", help="whose stack has the configuration; a by default")
    of_stack(command)


def _drill_certificates(renewed: argparse.ArgumentParser) -> None:
    renewed.add_argument("--dry-run", action="store_true", help="what would be done, and nothing is")
    renewed.add_argument(
        "--shop-cert", type=Path, help="a certificate of the shop with its chain, PEM, that is to be tried; one is made"
    )
    renewed.add_argument("--shop-key", type=Path, help="its key, PEM; stored nowhere")
    _window(renewed)
    _of_drill(renewed)


def _drill_standby(lost: argparse.ArgumentParser) -> None:
    lost.add_argument("--dry-run", action="store_true", help="what would be done, and nothing is")
    lost.add_argument("--yes", action="store_true", help="agreed")
    lost.add_argument("--hold", type=int, default=300, help="seconds that they are off; 300 by default")
    _window(lost)
    _of_drill(lost)


def state(state: argparse.ArgumentParser) -> None:
    """Copies of the stacks' states."""
    what = state.add_subparsers(dest="what", required=True)
    backup = what.add_parser("backup", help="copy the states as pulumi exports them, secrets encrypted")
    listed = what.add_parser("list", help="the copies there are, the newest last")
    listed.add_argument("--json", action="store_true", help="as JSON")
    restore = what.add_parser(
        "restore",
        help="put a copy in the place of the state there; refused while a run is at work, or over a newer one",
    )
    restore.add_argument("digest", help="of the copy, as `list` prints it")
    restore.add_argument(
        "--over", default="", help="the digest of the newer state that is to go, as the refusal names it"
    )
    restore.add_argument("--dry-run", action="store_true", help="what would give way to what, and nothing is changed")
    restore.add_argument("--yes", action="store_true", help="agreed")
    restore.add_argument("--reason", default="", help="why, for the audit trail")
    for each in (backup, listed, restore):
        each.add_argument(
            "--site",
            choices=SITES,
            required=each is restore,
            help="of this region alone" if each is not restore else "of which region",
        )
        of_both(each)
        each.add_argument("--config-file", type=Path, help="a stack file; Pulumi.<stack>.yaml by default")
        each.set_defaults(folder=PROJECT)


def chaos(chaos: argparse.ArgumentParser) -> None:
    """Stories of the lab."""
    chaos.add_argument("--seed", type=int, nargs="+", default=[1], help="the first story, or several; 1 by default")
    chaos.add_argument("--runs", type=int, default=1, help="how many from there, each of the next seed; 1 by default")
    chaos.add_argument("--show", action="store_true", help="print the stories, play none")
    chaos.set_defaults(folder=PROJECT)


def report(report: argparse.ArgumentParser) -> None:
    """Records, and what is done with them."""
    what = report.add_subparsers(dest="what", required=True)
    listed = what.add_parser("list", help="all of them, a line each")
    listed.add_argument("--html", type=Path, help="write them into this file, as one page")
    listed.add_argument("--json", action="store_true", help="all of it, as JSON")
    show = what.add_parser("show", help="one of them, with what others have recorded of it")
    show.add_argument("number", type=int, help="of the record")
    show.add_argument("--html", type=Path, help="write it into this file, as one page")
    show.add_argument("--json", action="store_true", help="all of it, as JSON")
    verify = what.add_parser(
        "verify", help="walk all of them; exit code 1 where one does not hold, the first one first"
    )
    verify.add_argument(
        "--from", dest="folder_of", type=Path, help="a folder with copies of the objects, instead of the witness"
    )
    verify.add_argument(
        "--head", default="", help="number and digest that were noted before, as this prints them: 42:<sha256>"
    )
    sign = what.add_parser("sign", help="stand for a record that somebody else has run, by your own key")
    sign.add_argument("number", type=int, help="of the record")
    sign.add_argument(
        "--key", type=Path, default=KEY, help=f"your public key, one of dr:reports.signers; {KEY} by default"
    )
    sign.add_argument("--note", default="", help="what is to be said with it")
    lack = what.add_parser("deficiency", help="add what is to be mended to a record")
    lack.add_argument("number", type=int, help="of the record")
    lack.add_argument("--owner", required=True, help="who mends it")
    lack.add_argument("--until", required=True, help="the day until which, like 2026-12-31")
    lack.add_argument("--text", required=True, help="what is to be mended")
    add = what.add_parser(
        "add", help="record what was not done by a move of this program, from a file in the form of docs/reports.md"
    )
    add.add_argument("kind", choices=EVENTS, help="what it was")
    add.add_argument("--from", dest="file", type=Path, required=True, help="the file, one JSON object")
    push = what.add_parser("push", help="write what waits on this machine to the witness")
    for each in (listed, show, verify, sign, lack, add, push):
        each.add_argument("--site", choices=SITES, default="a", help="whose stack knows the witness; a by default")
        of_stack(each)
