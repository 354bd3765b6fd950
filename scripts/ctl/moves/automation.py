"""What a program does with a pair of stacks, as `drctl` does it: from CI, from a chat, from a drill. One process a run, no terminal, no questions.

    from scripts.ctl.moves.automation import Shop

    shop = Shop(Path("."))
    plan = shop.plan(Kind.SWITCHOVER, "b")
    if not plan.against:
        moved = shop.switchover("b", plan=plan.digest, reason="kernel", watch=print)

What a change of the configuration does in CI, `docs/ci.md` has it as a whole:

    if any(shop.previews().values()):
        outcomes = shop.both(why="merge request 7")

What a move says for people goes to this process's streams. It is agreed to by its plan's digest: another epoch since is another plan, and is refused.
Keys, passphrase and backend are those of this process's environment, as for `pulumi` by hand.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.errors import DrError, ExitCode, Refused
from contract.sites import SITES, other
from scripts.ctl import cli
from scripts.ctl.commands import deploy, move
from scripts.ctl.commands.check import CHECK_S
from scripts.ctl.moves import engine
from scripts.ctl.moves.engine import Outcome, Step, Watch
from scripts.ctl.moves.plan import Kind, Plan
from scripts.ctl.output import log
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.asking import look
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.checks.row import Finding
from scripts.ctl.survey.deep import Stacks
from scripts.ctl.survey.seen import Survey

OLDEST = (3, 272, 0)  # of pulumi: events and resource hooks as they are read here
ANSWER_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How a move ended, or a deploy. `error`: its sentence, empty where there is none; `steps`: of all its runs, in order."""

    code: ExitCode
    error: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def ok(self) -> bool:
        return self.code is ExitCode.DONE


@dataclass
class Shop:
    """Both stacks of one installation. `folder`: of the program; `stacks`: their names, {site} for the region's letter; `files`: where the stack files lie, the
    program's folder by default.
    """

    folder: Path
    stacks: str = "region-{site}"
    files: Path | None = None
    program: str = "pulumi"
    _checked: bool = field(default=False, repr=False)

    def stack(self, site: str) -> Stack:
        """Of a region."""
        name = self.stacks.replace("{site}", site)
        file = self.files / f"Pulumi.{name}.yaml" if self.files else None
        return Stack(name=name, folder=self.folder, file=file, program=self.program)

    def status(self) -> Survey:
        """Both regions; whoever is silent is an unknown in it. Raises DrError."""
        return look(self.stack(SITES[0]).settings())

    def check(self) -> tuple[Finding, ...]:
        """All of `drctl check`. Raises DrError."""
        first = self.stack(SITES[0])
        settings = first.settings()
        names = {site: self.stack(site).name for site in SITES}
        survey = look(settings, limit_s=CHECK_S, stacks=Stacks(project=first.project, names=names))
        return tuple(judge(survey, settings))

    def plan(self, kind: Kind, target: str) -> Plan:
        """Of a move. Raises DrError."""
        return move.planned(self._pair(kind, target), kind, target)

    def switchover(self, target: str, *, plan: str, watch: Watch | None = None, **told: str) -> Moved:
        """`plan`: the digest that is agreed to; `told`: `reason`, `ticket`, `approved_by`, `witnessed_by`, for the record."""
        return self._moved(Kind.SWITCHOVER, target, plan, watch, told)

    def failover(self, target: str, *, plan: str, watch: Watch | None = None, **told: str) -> Moved:
        """The same, of a region that is lost."""
        return self._moved(Kind.FAILOVER, target, plan, watch, told)

    def up(self, site: str, *, watch: Watch | None = None, why: str = "", stays: bool = False) -> Outcome:
        """`pulumi up` of one region with its request as it is; `stays`: it is refused where that would move the shop. Raises DrError where it cannot begin."""
        self._engine()
        with log.kept("up", ["up", site, *([f"--reason={why}"] if why else [])]):
            outcome = engine.up(self.stack(site), watch or _nobody, why=why, stays=stays)
            log.ended(ExitCode.DONE if outcome.ok else ExitCode.FAILED)
        return outcome

    def preview(self, site: str) -> Mapping[str, int]:
        """How many resources a run would create, update, delete, replace; empty where none. Raises DrError."""
        self._engine()
        return self.stack(site).changes()

    def active(self) -> str:
        """The region that the shop lives in, by the witness. Raises DrError, Refused where there is no epoch yet."""
        return move.leading(self._pair(Kind.SWITCHOVER, SITES[0]))

    def previews(self) -> dict[str, Mapping[str, int]]:
        """`preview` of each region, by its letter. Raises DrError."""
        return {site: self.preview(site) for site in SITES}

    def both(self, *, watch: Watch | None = None, why: str = "") -> dict[str, Outcome]:
        """`up` of both regions, by their letters in the order in which they ran: the standby first, and the active one only where that has ended well. So
        a change that does not work is seen where no customer is. It moves the shop nowhere: a checkout may ask for the region that was active before somebody
        moved it. Raises DrError where one cannot begin.
        """
        active, outcomes = self.active(), dict[str, Outcome]()
        for site in (other(active), active):
            outcomes[site] = self.up(site, watch=watch, why=why, stays=True)
            if not outcomes[site].ok:
                break
        return outcomes

    def deploy(self, release: str, **told: str) -> Moved:
        """`drctl deploy` of a digest, or how that begins: both regions, the standby first, host by host. Agreed to whatever its plan is, and refused by what
        stands against it. `told`: `reason`, `ticket`, `approved_by`, for the record; `unsafe`.
        """
        words = ["deploy", release, "--yes"]
        code, error = self._ended(words, lambda: deploy.run(self._parsed(words, told)))
        return Moved(code=code, error=error)

    def _moved(self, kind: Kind, target: str, plan: str, watch: Watch | None, told: Mapping[str, str]) -> Moved:
        steps: list[Step] = []

        def seen(step: Step) -> None:
            steps.append(step)
            (watch or _nobody)(step)

        words = [str(kind), target, "--plan", plan]
        code, error = self._ended(words, lambda: move.carry_out(self._parsed(words, told), seen))
        return Moved(code=code, error=error, steps=tuple(steps))

    def _ended(self, words: Sequence[str], act: Callable[[], ExitCode]) -> tuple[ExitCode, str]:
        """How a command ends, and its sentence where it does not end well; with its log."""
        with log.kept(words[0], words):
            try:
                self._engine()
                code, error = act(), ""
            except DrError as wrong:
                code, error = ExitCode(wrong.code), str(wrong)
                log.note(error)
            log.ended(code)
        return code, error

    def _pair(self, kind: Kind, target: str) -> move.Pair:
        return move.Pair.chosen(self._parsed([str(kind), target, "--dry-run"], {}))

    def _parsed(self, words: Sequence[str], told: Mapping[str, str]) -> argparse.Namespace:
        """As they are typed: one parser says what a command may be told."""
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in told.items() if value]
        files = [f"--config-dir={self.files}"] if self.files else []
        chosen = cli.parser().parse_args([*words, *flags, *files, f"--stacks={self.stacks}"])
        chosen.folder, chosen.program = self.folder, self.program
        return chosen

    def _engine(self) -> None:
        """Once, that the command is there and is none of another time. Raises Refused."""
        if self._checked:
            return
        found = version([self.program, "version"])
        if found < OLDEST:
            told, wanted = (".".join(map(str, it)) for it in (found, OLDEST))
            raise Refused(
                f"{self.program}: found {f'version {told}' if found else 'no such command, or none that says its version'}, wanted {wanted} or newer in PATH; "
                "nothing was changed; install it, https://www.pulumi.com/docs/install"
            )
        self._checked = True


def version(command: Sequence[str]) -> tuple[int, ...]:
    """What a command says of itself; empty where it does not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout.strip())
    return tuple(map(int, found.groups())) if found and done.returncode == 0 else ()


def _nobody(_: Step) -> None:
    return None
