"""`drctl`: the operator's command. It says how both regions stand, moves the shop, and makes what an installation needs.

Parsing only: what a command does is in its module of `commands/`, which is imported when it is called for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from contract.errors import ExitCode
from contract.rotation import KEEP_DAYS, KINDS
from contract.sites import SITES
from contract.ssh_keys import HOURS, MOST_HOURS
from contract.version import VERSION
from contract.witness import USERS
from scripts.ctl import output
from scripts.ctl.commands import COMMANDS, arguments, logged
from scripts.ctl.commands.arguments import KEY
from scripts.ctl.output import ending, log
from scripts.ctl.releases import arguments as releases

MOVES = {
    "switchover": "move the shop to the other region, both being well: nothing is lost, or it is refused with every reason",
    "failover": "the active region is lost: the other one takes over, without a word of it",
    "rejoin": "a region that is back follows the active one",
    "failback": "home: rejoin, wait until nothing stands against it, switchover",
    "abort": "take back a move that was begun and left, or finish it where its epoch was claimed",
}
AT_HOSTS = {
    "ssh": "a shell on a host, or one command, through the bastion that leads there",
    "logs": "a host's journal, from itself or from its copy in the other region; or a whole region's",
    "psql": "the shop's database on a host, as the superuser",
    "redis": "the cache on a host, as the operator, who sees no data",
    "run": "a command of the shop's release on an app host, as its processes run: a console, a task",
}
PERSON = "whose doing it is, in the hosts' logs; by default who the audit trail says you are"
STACK_FILE, IN_STACK_FILE = Path("Pulumi.region-a.yaml"), "one of the two stack files, Pulumi.yaml beside it"


def parser() -> argparse.ArgumentParser:
    """Each command with its arguments; they reach the command's `run` as they are named here."""
    drctl = argparse.ArgumentParser(prog="drctl", description=(__doc__ or "").partition("\n")[0])
    drctl.add_argument("--version", action="version", version=f"drctl {VERSION}")
    commands = drctl.add_subparsers(dest="command", required=True)
    _status(commands.add_parser("status", help="both regions side by side, and what is not as it should be"))
    _dashboard(commands.add_parser("dashboard", help="both regions' figures in a browser, through ssh"))
    _check(
        commands.add_parser(
            "check", help="whether the shop could be moved, or lost, now; exit code 3 when something is not well"
        )
    )
    _init(
        commands.add_parser(
            "init", help="from nothing to two stacks that pulumi up takes; again: finish what was begun"
        )
    )
    _secrets(commands)
    _rights(commands.add_parser("rights", help="what to allow the keys that you make by hand"))
    _config(commands.add_parser("config", help="the configuration's files"))
    arguments.state(
        commands.add_parser("state", help="copies of the stacks' states at the witness: make, list, put back")
    )
    _audit(commands.add_parser("audit", help="who has done what to this shop"))
    arguments.report(
        commands.add_parser("report", help="what came of each move, drill, deploy and rotation, and who stands for it")
    )
    arguments.drill(
        commands.add_parser("drill", help="rehearsals: on the real pair, each with a record, or in the lab")
    )
    arguments.chaos(
        commands.add_parser(
            "chaos", help="random faults in the lab: stories drawn from seeds, and what must hold after each"
        )
    )
    releases.add(commands)
    _destroy(
        commands.add_parser(
            "destroy", help="make ready to take a site down: the name leads away from it, nothing is deleted"
        )
    )
    _unlock(
        commands.add_parser(
            "unlock", help="free a stack that a killed run has left locked; a run that lives is not disturbed"
        )
    )
    _ssh_certificate(
        commands.add_parser(
            "ssh-certificate", help="root on the hosts for one person and some hours, by that person's own key"
        )
    )
    _upkeep(commands)
    for name, about in MOVES.items():
        arguments.move(name, commands.add_parser(name, help=about))
    for name, about in AT_HOSTS.items():
        _host(name, commands.add_parser(name, help=about))
    _manual(commands)
    return drctl


def _upkeep(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What is done from time to time, while the shop sells, and once a watcher says that it does not."""
    _confirm(
        commands.add_parser(
            "confirm", help="agree to the plan of a watcher that has seen a region lost (dr:watch.mode: assist)"
        )
    )
    _reboot(
        commands.add_parser(
            "reboot", help="the standby's hosts begin anew, one after the other, where an update waits for it"
        )
    )
    _rotate(commands.add_parser("rotate", help="renew secrets in both regions while the shop sells; again: go on"))


def _secrets(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    new = commands.add_parser(
        "secrets",
        help="make keys, certificates and passwords once; prints JSON for `pulumi config set --secret secrets`",
    )
    new.add_argument(
        "stack_file",
        type=Path,
        nargs="?",
        default=STACK_FILE,
        help=f"{IN_STACK_FILE}; the same secrets go into both stacks",
    )


def _manual(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What is made from this parser, or from the contract."""
    completion = commands.add_parser("completion", help="what a shell completes after drctl, as a script for it")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help="which one")
    commands.add_parser("man", help="the manual page, for `man -l -`")
    made = commands.add_parser(
        "reference",
        help="write the made parts of docs/ and the comments of Pulumi.yaml, for those who change the contract",
    )
    made.add_argument("--check", action="store_true", help="change nothing; exit code 3 when something differs")
    made.set_defaults(folder=arguments.PROJECT)


def _status(status: argparse.ArgumentParser) -> None:
    arguments.of_site(status)
    shape = status.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="all of it, as JSON")
    shape.add_argument("--watch", action="store_true", help="on the whole screen, again and again, until Ctrl-C")
    status.add_argument("--every", type=float, default=5.0, help="seconds between two looks of --watch; 5 by default")


def _check(check: argparse.ArgumentParser) -> None:
    arguments.of_site(check)
    check.add_argument("--form", choices=("text", "json", "nagios", "junit"), default="text", help="of what is printed")
    check.add_argument("--list", action="store_true", help="the checks there are, and nothing is asked")
    check.add_argument(
        "--metrics", type=Path, help="a file for the collector of node_exporter (.prom), written anew as a whole"
    )
    check.add_argument(
        "--record", action="store_true", help="leave the counts at the witness, for `drctl status` to say when that was"
    )
    arguments.of_both(check)


def _init(init: argparse.ArgumentParser) -> None:
    init.add_argument(
        "--answers", type=Path, help="a YAML file with answers; init.yaml of the folder where there is one"
    )
    init.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one answer, like zone=shop.example; before those of the file",
    )
    init.add_argument(
        "--clouds", type=Path, help="a clouds.yaml with the OpenStack user, mode 0600; OS_CLOUD names its cloud"
    )
    init.add_argument("--ovh-conf", type=Path, help="an ovh.conf with the keys of the OVHcloud API, mode 0600")
    init.add_argument(
        "--secrets-provider",
        default="",
        help="of Pulumi's secrets, as `pulumi stack init` takes it; a passphrase by default",
    )
    init.add_argument("--dry-run", action="store_true", help="the plan, and nothing is changed")
    init.add_argument("--yes", action="store_true", help="agreed, whatever the plan is")
    init.add_argument(
        "--rights",
        action="store_true",
        help="the access rules of both consumer keys, as `POST /auth/credential` takes them; nobody is asked",
    )
    init.add_argument(
        "--folder", type=Path, default=arguments.PROJECT, help="of the project; the program's own by default"
    )


def _rights(rights: argparse.ArgumentParser) -> None:
    what = rights.add_subparsers(dest="what", required=True)
    witness = what.add_parser("witness", help="S3 policies of the keys to the witness bucket, by their users")
    witness.add_argument("--user", choices=USERS, help="the policy of this one alone, as it is attached")
    ovh = what.add_parser(
        "ovh", help="access rules of the OVHcloud API's consumer key, as `POST /auth/credential` takes them"
    )
    acme = what.add_parser(
        "acme", help="the same of the key with which bastions answer an ACME CA's challenge, `acme` of dr:secrets"
    )
    page = what.add_parser("page", help="S3 policy of the key by which the page for customers is written")
    for each in (witness, ovh, acme, page):
        each.add_argument("stack_file", type=Path, nargs="?", default=STACK_FILE, help=IN_STACK_FILE)


def _audit(audit: argparse.ArgumentParser) -> None:
    what = audit.add_subparsers(dest="what", required=True)
    verify = what.add_parser("verify", help="walk the trail at the witness; exit code 1 where its chain breaks")
    verify.add_argument("--site", choices=SITES, default="a", help="whose stack knows the witness; a by default")
    arguments.of_stack(verify)
    verify.add_argument(
        "--from", dest="folder_of", type=Path, help="a folder with copies of the objects, instead of the witness"
    )
    verify.add_argument(
        "--head", default="", help="number and digest that were noted before, as this prints them: 42:<sha256>"
    )
    verify.add_argument("--json", action="store_true", help="all of it, as JSON")
    logins = what.add_parser(
        "logins",
        help="who has signed in to which host, as the hosts have told the witness; exit code 1 where something of it is missing",
    )
    logins.add_argument("--since", default="24h", help="how far back: 90m, 24h, 7d; 24h by default")
    logins.add_argument("--site", choices=SITES, help="hosts of this site alone; both by default")
    arguments.of_stack(logins)
    logins.add_argument("--json", action="store_true", help="all of it, as JSON")


def _destroy(destroy: argparse.ArgumentParser) -> None:
    destroy.add_argument("site", choices=SITES, help="the site that shall go")
    destroy.add_argument(
        "--dry-run", action="store_true", help="what stands against it and what would be done; nothing is"
    )
    arguments.of_stack(destroy)


def _unlock(unlock: argparse.ArgumentParser) -> None:
    unlock.add_argument("site", choices=SITES, help="the site of the stack that is locked")
    unlock.add_argument("--dry-run", action="store_true", help="whose lock would go, and nothing is changed")
    arguments.of_stack(unlock)


def _confirm(confirm: argparse.ArgumentParser) -> None:
    confirm.add_argument("alarm", help="its id, as the page says it")
    confirm.add_argument("--yes", action="store_true", help="agreed")
    confirm.add_argument("--dry-run", action="store_true", help="what waits for a word, and none is given")
    confirm.add_argument("--reason", default="", help="why, for the audit trail")
    arguments.of_site(confirm)


def _reboot(reboot: argparse.ArgumentParser) -> None:
    reboot.add_argument("site", choices=SITES, help="the standby region")
    which = reboot.add_mutually_exclusive_group()
    which.add_argument(
        "--host", dest="hosts", action="append", default=[], metavar="NAME", help="this one, like db-1, due or not"
    )
    which.add_argument("--all", action="store_true", help="all of them, due or not")
    reboot.add_argument(
        "--minutes", type=int, default=10, help="how long each may take to be well again; 10 by default"
    )
    reboot.add_argument("--dry-run", action="store_true", help="which hosts, and nothing is done")
    reboot.add_argument("--yes", action="store_true", help="agreed")
    reboot.add_argument("--reason", default="", help="why, for the audit trail")
    reboot.add_argument("--ticket", default="", help="its number, for the audit trail")
    reboot.add_argument(
        "--person", default="", help="whose the certificate is; by default who the audit trail says you are"
    )
    arguments.of_stack(reboot)


def _rotate(rotate: argparse.ArgumentParser) -> None:
    rotate.add_argument("kind", choices=list(KINDS), help="which; of one that is renewed by hand it says how")
    rotate.add_argument(
        "--keep-days",
        type=int,
        help="of sessions and buckets: how long what was signed with the old one is good; "
        f"{KEEP_DAYS['sessions']} and {KEEP_DAYS['buckets']} by default",
    )
    rotate.add_argument(
        "--project",
        default="",
        help="of witness: the Public Cloud project that its users are in; as init.yaml says, else the shop's own",
    )
    arguments.undertaking(rotate)


def _ssh_certificate(certificate: argparse.ArgumentParser) -> None:
    certificate.add_argument(
        "--person",
        default="",
        help="whose it is, as the hosts' logs say it; by default who the audit trail says you are",
    )
    certificate.add_argument(
        "--hours", type=int, default=HOURS, help=f"until it ends, {MOST_HOURS} at most; {HOURS} by default"
    )
    certificate.add_argument(
        "--key",
        type=Path,
        default=KEY,
        help=f"that person's public key, {KEY} by default; the certificate is written beside it",
    )
    certificate.add_argument("--site", choices=SITES, default="a", help="whose stack has the secrets; a by default")
    arguments.of_stack(certificate)


def _host(name: str, command: argparse.ArgumentParser) -> None:
    command.add_argument("host", nargs="?" if name == "logs" else None, help="like db-1.b")
    command.add_argument("--person", default="", help=PERSON)
    arguments.of_site(command)
    if name == "logs":
        command.add_argument("units", nargs="*", help="units of systemd, like dr-agent; all by default")
        command.add_argument(
            "--unit",
            action="append",
            default=[],
            metavar="UNIT",
            help="the same, for a region; may be said several times",
        )
        command.add_argument(
            "--region",
            choices=SITES,
            help="all hosts of that one instead of one, from their copies in the other region",
        )
        command.add_argument(
            "--since",
            default="1h",
            help="how far back: 30m, 1h, 2d, or a time like 2026-11-30T05:10:00Z; 1h by default",
        )
        command.add_argument("--until", help="until when, in the same words; now by default")
        command.add_argument("--follow", "-f", action="store_true", help="go on until Ctrl-C")
    else:
        command.add_argument("words", nargs="*", help="a command, or its arguments, behind --; interactive without")
    if name == "run":
        command.add_argument("--limit", default="12h", help="after which it is ended: 30m, 2h, 3d; 12h by default")


def _dashboard(dashboard: argparse.ArgumentParser) -> None:
    dashboard.add_argument(
        "--of", choices=SITES, help="whose Prometheus is asked first; the other's where it is silent"
    )
    dashboard.add_argument("--port", type=int, default=0, help="of this machine; any that is free by default")
    dashboard.add_argument("--person", default="", help=PERSON)
    arguments.of_site(dashboard)


def _config(config: argparse.ArgumentParser) -> None:
    what = config.add_subparsers(dest="what", required=True)
    share = what.add_parser("share", help="move what both stack files say alike to Pulumi.yaml")
    share.add_argument("--check", action="store_true", help="change nothing; exit code 3 when something is to be moved")
    share.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=arguments.PROJECT,
        help="where the files lie; the project's own by default",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; argparse ends by itself after `--help`, `--version` and what it does not understand."""
    words = sys.argv[1:] if arguments is None else arguments
    with ExitStack() as around:
        around.enter_context(ending.heard())
        return log.ended(output.to_the_end(lambda: _run(words, around)))


def _run(words: Sequence[str], around: ExitStack) -> ExitCode:
    chosen = parser().parse_args(words)
    if name := logged(chosen):
        around.enter_context(log.kept(name, words))
    code: ExitCode = import_module(COMMANDS[chosen.command]).run(chosen)
    return code


def command() -> int:
    """As a process: whoever ends it is told in one line."""
    try:
        return main()
    except KeyboardInterrupt as error:
        code, sentence = ending.how(error)
        output.say(f"drctl: {sentence}")
        return code


if __name__ == "__main__":
    sys.exit(command())
