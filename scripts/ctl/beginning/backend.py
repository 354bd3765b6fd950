"""Where Pulumi keeps the state: the backend that this machine is signed in to, or a bucket of the third region that a beginning makes."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from components import state
from contract.beginning import Answers
from contract.errors import ConfigError
from contract.plain import phrase
from contract.sites import SITES
from scripts.ctl.beginning.account import Third
from scripts.ctl.beginning.values import state_url
from scripts.ctl.beginning.world import World, state_user

FILE = "state.env"
OTHERS = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
)  # of another account, which would go before the key to the state, or with it


class Backend:
    """`made`: whether its bucket, its user and the file with its key are the beginning's to make."""

    def __init__(self, answers: Answers, environment: Mapping[str, str], home: Path) -> None:
        found = state.backend(environment, home)
        self.made = not found or urlsplit(found).netloc == answers.state_bucket
        self.url = state_url(answers) if self.made else found
        self._answers, self._environment = answers, environment

    def words(self) -> str:
        """For the plan: where it is, without what may stand in the address beside that."""
        parts = urlsplit(self.url)
        return phrase(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", 200)

    def judge(self, world: World) -> None:
        """What stands against keeping the state there, and what should be known, as each run would say it later."""
        if shutil.which("pulumi", path=self._environment.get("PATH")) is None:
            world.against.append(
                "pulumi: is not there, wanted version 3.272 or newer in PATH; no stack can be made; install it, https://www.pulumi.com/docs/install"
            )
        settings = world.settings.get(SITES[0])
        if settings is None:
            return
        try:
            world.warnings += state.check(settings, self.url, self._environment, first=True)
        except ConfigError as error:
            world.against += [str(fault) for fault in error.faults]

    def reachable(self, world: World) -> bool:
        """Whether it can be asked which stacks it has."""
        if not self.made:
            return True
        user = world.people.get(state_user(self._answers))
        return world.buckets.get(self._answers.state_bucket) is not None and user is not None and bool(user.keys)

    def environment(self, third: Third) -> dict[str, str]:
        """Of pulumi. Raises Failed."""
        others = {name: it for name, it in self._environment.items() if not (self.made and name in OTHERS)}
        return {**others, **(self._own(third) if self.made else {"PULUMI_BACKEND_URL": self.url})}

    def text(self, third: Third) -> str:
        """What a shell reads before it runs pulumi. Holds the key to the state. Raises Failed."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self._own(third).items()]
        lines.append(f"unset {' '.join(OTHERS)}")
        return "# Read by `. ./state.env` before pulumi: it holds the key to the state.\n" + "\n".join(lines) + "\n"

    def _own(self, third: Third) -> dict[str, str]:
        name = state_user(self._answers)
        keys = third.secret(third.people([name])[name])
        return {
            "PULUMI_BACKEND_URL": self.url,
            "AWS_ACCESS_KEY_ID": keys["access_key"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
            "AWS_REGION": third.region.lower(),
        }
