"""The lab's command line.

    lab up                       start it and wait until everything answers
    lab down                     remove all of it, also after a crash
    lab status                   what runs and which faults are in force, as JSON
    lab answers [--credentials]  the running lab as the cloud of `drctl init`: an answers file, or what to export
    lab exec -- COMMAND...       run something inside, with the lab's resolver
    lab ssh HOST [-- COMMAND...]   a root shell in a host, also when its sshd is dead
    lab logs HOST [UNIT]         its journal, also without power
    lab console [HOST]           what it wrote to its console
    lab scan [PATH...]           search the running lab, and these files, for secrets that lie where they should not
    lab fault KIND kill|return [TARGET] [DETAIL]
    lab fault list | return-all

Exit codes: 0 done, 1 failed, 2 usage or a machine that cannot run it, 3 refused and nothing changed, 130 interrupted,
141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from contract import pipes
from lab import lifecycle, looking
from lab.control import call
from lab.namespace import LabError, Places, places

INTERRUPTED = 130  # as a shell tells it
FAULTS = """\
faults (KIND TARGET DETAIL):
  host NAME                      power cut of one server
  disk-full NAME                 the volumes of one server are full
  region-hosts a|b               all servers, routers and balancers of a site; its APIs and storage go on
  region a|b                     the whole region: hosts, network, APIs, storage
  clock a|b [MINUTES]            the wall clocks of a site's servers are ahead by that (10), behind with a minus; the first time boots them
  api NAME [503|500|429|timeout|half]   one API: compute@a, network@b, load-balancer@a, volumev3@a, image@a, identity, ovh;
                                 half: it does what it is asked, and its answers end in the middle
  server-state NAME STATE        the platform has done that to a server: PAUSED, SUSPENDED, RESCUE, SHELVED, SHELVED_OFFLOADED, SOFT_DELETED (its
                                 machine stands still or is off); RESIZE, VERIFY_RESIZE, MIGRATING, REBOOT, HARD_REBOOT, BUILD, SCHEDULING,
                                 ERROR, LOCKED, HYPERVISOR_DOWN (its machine runs on)
  cell-down NAME                 the compute API has lost the database that knows the server: lists omit it, it cannot be asked for or stopped
  page-limit a|b [ROWS]          no list of servers shows more rows on a page (2)
  storage gra|sbg|de             a storage region refuses connections
  storage-lies gra|sbg|de [503|empty]   it refuses every request, or shows every bucket as empty
  link [both|a->b|b->a]          the stretched VLAN: nothing arrives
  uplink a|b                     a site's way out and in: no address outside is reached, its own region's APIs and storage neither
  name-server 1|2                one of the two authoritative servers is dead
  slow-link [RATE]               the stretched VLAN carries no more than that (1mbit)
  dns-refresh [refused|forbidden|ignored]   what OVHcloud's API makes of a zone refresh
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lab", description="A cloud with two regions on one Linux machine.")
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it and wait until everything answers")
    commands.add_parser("down", help="remove all of it, also after a crash")
    commands.add_parser("clean", help="the same as down")
    commands.add_parser("status", help="what runs, as JSON")
    commands.add_parser("answers", help="the running lab as the cloud of `drctl init`").add_argument(
        "--credentials", action="store_true", help="what to export, instead of the answers file"
    )
    run = commands.add_parser("exec", help="run a command inside")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    looking.add_to(commands)
    for name, told in (
        ("snapshot", "keep the disks of a server that has no power"),
        ("rollback", "put its disks back to the snapshot"),
    ):
        commands.add_parser(name, help=told).add_argument("target", metavar="SERVER")
    drill = commands.add_parser(
        "drill", help="play drills in a lab of their own: kill, move, count; `lab drill list` names them"
    )
    drill.add_argument("names", nargs="*", metavar="NAME")
    drill.add_argument(
        "--runs", type=int, default=1, help="how often they are played; then lowest, middle, highest (1)"
    )
    drill.add_argument("--records", type=Path, default=Path(".build/drills"), help="folder for a JSON record of each")
    chaos = commands.add_parser(
        "chaos",
        help="random faults against a lab of their own: stories drawn from seeds, and what must hold after each",
    )
    chaos.add_argument("--seed", type=int, nargs="+", default=[1], help="the first story (1), or several")
    chaos.add_argument("--runs", type=int, default=1, help="how many from there, each of the next seed (1)")
    chaos.add_argument("--show", action="store_true", help="print the stories, play none")
    chaos.add_argument("--records", type=Path, default=Path(".build/chaos"), help="folder for a JSON record of each")
    search = commands.add_parser(
        "scan",
        help="secrets that lie where they should not: of a running lab, and in further files; exit code 1 for any",
    )
    search.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="files and folders that must hold none, as records of drills",
    )
    fault = commands.add_parser(
        "fault", help="break something, mend it", epilog=FAULTS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    fault.add_argument("kind", metavar="KIND | list | return-all")
    fault.add_argument("action", nargs="?", choices=("kill", "return"))
    fault.add_argument("target", nargs="?", default="")
    fault.add_argument("detail", nargs="?", default="")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        return run(places(), options)
    except LabError as error:
        print(error, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print(
            f"lab {options.command}: interrupted; what it has begun may stand, `lab down` removes it", file=sys.stderr
        )
        return INTERRUPTED


def run(where: Places, options: argparse.Namespace) -> int:
    if options.command == "up":
        lifecycle.up(where)
        print(f"lab {where.name} is up; what a stack file needs: {where.description}")
    elif options.command in ("down", "clean"):
        print(f"lab {where.name} is down" if lifecycle.down(where) else f"lab {where.name}: there was none")
    elif options.command == "status":
        show(call(where, "status"))
    elif options.command == "answers":
        told(where, credentials=options.credentials)
    elif options.command == "exec":
        command = looking.after_dashes(options.argv)
        if not command:
            raise LabError("lab exec: found no command, wanted one after `--`", 2)
        return lifecycle.execute(where, command)
    elif options.command in looking.COMMANDS:
        return looking.COMMANDS[options.command](where, options)
    elif options.command in ("drill", "chaos", "scan"):
        return rehearse(where, options)
    elif options.command in ("snapshot", "rollback"):
        show(call(where, options.command, target=options.target))
    else:
        fault(where, options)
    return 0


def rehearse(where: Places, options: argparse.Namespace) -> int:
    """What needs more than the lab itself: the other commands do without its modules, which is why they are imported here."""
    if options.command == "scan":
        from lab.rehearsal.leaks import scan  # noqa: PLC0415

        return scan.main(where, options.paths)
    if options.command == "chaos":
        from lab.rehearsal.chaos import run as chaos  # noqa: PLC0415

        return chaos.main(options.seed, options.runs, options.records, show=options.show)
    from lab.rehearsal import drill  # noqa: PLC0415

    if options.names != ["list"]:
        return drill.main(options.names, options.records, options.runs)
    drills = drill.chosen([])
    width = max(len(each.name) for each in drills)
    print("\n".join(f"{each.name:<{width}}  {each.shows}" for each in drills))
    return 0


def told(where: Places, *, credentials: bool) -> None:
    """What `drctl init` takes the lab by."""
    import yaml  # noqa: PLC0415 - the other commands do without

    from lab.rehearsal import answers  # noqa: PLC0415

    try:
        description = json.loads(where.description.read_text())
    except FileNotFoundError:
        raise LabError(f"lab {where.name}: found none that runs, wanted one; `python -m lab up` starts it", 3) from None
    if credentials:
        print("\n".join(f"export {name}={shlex.quote(it)}" for name, it in answers.credentials(description).items()))
    else:
        print(yaml.safe_dump(answers.answers(description), sort_keys=False), end="")


def fault(where: Places, options: argparse.Namespace) -> None:
    if options.kind == "list":
        show(call(where, "faults"))
    elif options.kind == "return-all":
        show(call(where, "return-all"))
    elif options.action is None:
        raise LabError(
            f"lab fault {options.kind}: found no action, wanted `kill` or `return`; `lab fault --help` lists all", 2
        )
    elif options.action == "kill":
        show(call(where, "kill", kind=options.kind, target=options.target, detail=options.detail))
    else:
        show(call(where, "return", kind=options.kind, target=options.target))


def show(value: object) -> None:
    print(json.dumps(value, indent=1, sort_keys=True))


if __name__ == "__main__":
    sys.exit(pipes.status(main))
