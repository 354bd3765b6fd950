"""A stack as pulumi knows it, asked through its own command: what is in its state, what its configuration says with the secrets in it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from components import config
from components.settings import Settings
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.reference import NAMESPACE
from contract.sites import SITES
from scripts.ctl.output import log
from scripts.ctl.stacks.configuration import PROJECT, load, own_values, project_text, shared_values, write
from scripts.ctl.stacks.sealed import Seal

ANSWER_S = 120.0
_REQUEST, _SHOP = f"{NAMESPACE}:failover_region", f"{NAMESPACE}:shop"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """`file`: the stack file, None where pulumi takes the one of the stack's name in `folder`; `environment`: of pulumi, None for this process's."""

    name: str
    folder: Path
    file: Path | None = None
    program: str = "pulumi"
    environment: Mapping[str, str] | None = field(default=None, repr=False)

    @classmethod
    def chosen(cls, told: argparse.Namespace) -> Stack:
        """Which one a command was told: by `--stack`, `--site` and `--config-file`."""
        return cls(name=told.stack or f"region-{told.site or SITES[0]}", folder=told.folder, file=told.config_file)

    @classmethod
    def both(cls, told: argparse.Namespace) -> dict[str, Stack]:
        """By site, as a command was told: by `--stacks` and `--config-dir`."""
        found = {}
        for site in SITES:
            name = told.stacks.replace("{site}", site)
            file = told.config_dir / f"Pulumi.{name}.yaml" if told.config_dir else None
            found[site] = cls(name=name, folder=told.folder, file=file, program=getattr(told, "program", "pulumi"))
        return found

    @property
    def path(self) -> Path:
        """Of its stack file."""
        return self.file or self.folder / f"Pulumi.{self.name}.yaml"

    @property
    def project(self) -> str:
        """Its project's name, as pulumi files its state under it. Raises Usage."""
        return str(load(self.folder / PROJECT).get("name") or "")

    def settings(self) -> Settings:
        """The whole configuration. Raises DrError, ConfigError with every fault of it.

        Its secrets are opened here where a passphrase keeps them and this process has it, so that the backend of the state need not answer; by pulumi
        otherwise.
        """
        values, hidden = self.values()
        settings = config.parse(values, hidden)
        log.know([settings.secrets, *(values[key] for key in hidden - {"secrets"} if key in values)])
        return settings

    def values(self) -> tuple[dict[str, Any], set[str]]:
        """What `config.parse` takes: the keys without their namespace, secrets in clear, and which of them are stored encrypted. Raises DrError."""
        file = self.path
        document = load(file)
        # As pulumi does it: the stack file may lie anywhere, what both regions share is the project's.
        stored = {**shared_values(self.folder), **own_values(file, document)}
        values = {key.removeprefix("dr:"): value for key, value in stored.items() if key.startswith("dr:")}
        hidden = {key for key, value in values.items() if _sealed(value)} | {"secrets"}
        seal = Seal.of(document, file)
        if seal is not None:
            values |= {key: seal.opened(values[key], f"dr:{key}") for key in hidden if key in values}
        else:
            values |= {key: self._opened(key) for key in hidden - {"secrets"}}
            values["secrets"] = self._json("config", "get", "dr:secrets", *self.file_words)
        return {key: config.decoded(key, value) for key, value in values.items()}, hidden

    def exported(self) -> bytes:
        """Its state as pulumi writes it, secrets encrypted. Raises Failed."""
        return self._run("stack", "export").encode()

    def imported(self, text: bytes) -> None:
        """Put a state that was exported in the place of the one there. Raises Failed; it is as it was then."""
        self._run("stack", "import", stdin=text.decode())

    def secrets(self) -> Any:
        """`dr:secrets` in clear. Raises DrError."""
        file = self.path
        document = load(file)
        seal = Seal.of(document, file, os.environ if self.environment is None else self.environment)
        if seal is None:
            found = self._json("config", "get", "dr:secrets", *self.file_words)
        else:
            found = config.decoded("secrets", seal.opened(own_values(file, document).get("dr:secrets"), "dr:secrets"))
        log.know(found)
        return found

    def known(self) -> bool:
        """Whether the backend has it. Raises Failed."""
        listed = self._json("stack", "ls", "--json")
        rows = listed if isinstance(listed, list) else []
        return self.name in {str(it.get("name")).rpartition("/")[2] for it in rows if isinstance(it, Mapping)}

    def make(self, provider: str = "") -> None:
        """`pulumi stack init`; `provider`: of its secrets, a passphrase where empty. Raises Failed."""
        self._run("stack", "init", "--no-select", *(["--secrets-provider", provider] if provider else []))

    def keep_secrets(self, secrets: Mapping[str, Any]) -> None:
        """Store `dr:secrets`, encrypted; it goes over in no argument. Raises Failed."""
        log.know(secrets)
        self._run("config", "set", "--secret", "dr:secrets", *self.file_words, stdin=json.dumps(secrets))

    def resources(self) -> Iterator[Resource]:
        """All that its state holds, secrets encrypted. Raises Failed."""
        exported = self._json("stack", "export")
        rows = (exported.get("deployment") or {}).get("resources") or [] if isinstance(exported, dict) else []
        for row in rows:
            yield Resource(
                name=str(row["urn"]).rsplit("::", 1)[1],
                kind=str(row["type"]),
                identity=str(row.get("id") or ""),
                protected=bool(row.get("protect")),
                retained=bool(row.get("retainOnDelete")),
                outputs=row.get("outputs") or {},
            )

    def output(self, name: str) -> Any:
        """One of its outputs, in clear. Raises Failed."""
        return self._json("stack", "output", name, "--show-secrets", "--json")

    def changes(self) -> dict[str, int]:
        """How many resources a `pulumi preview` would create, update, delete, replace; nothing is changed by it. Raises Failed."""
        told = self._json("preview", "--json", *self.file_words)
        found = told.get("changeSummary") if isinstance(told, dict) else None
        if not isinstance(found, dict):
            raise Failed(
                f"pulumi preview of stack {self.name}: told no summary of changes, wanted one; run that command by hand"
            )
        return {str(kind): count for kind, count in found.items() if kind != "same" and isinstance(count, int)}

    def cancel(self) -> None:
        """Take pulumi's own lock from it, whoever holds that. Raises Failed."""
        self._run("cancel", "--yes")

    def argv(self, *words: str) -> list[str]:
        """A command that a program runs: nobody is asked, and no colours."""
        return [self.program, *words, "--stack", self.name, "--non-interactive", "--color", "never"]

    def request(self, site: str) -> None:
        """Set `failover_region` in its stack file. Raises Failed, Usage."""
        path = self.path
        if own_values(path).get(_REQUEST) == site:
            return
        text, found = path.read_text(), f"{_REQUEST}:"
        lines = [number for number, line in enumerate(text.splitlines()) if line.strip().startswith(found)]
        if len(lines) != 1:  # not there, or spelled in another way: pulumi knows how
            self._run("config", "set", _REQUEST, site, *self.file_words)
            return
        rows = text.splitlines(keepends=True)
        indent = rows[lines[0]][: len(rows[lines[0]]) - len(rows[lines[0]].lstrip())]
        rows[lines[0]] = f"{indent}{found} {site}\n"
        write({path: "".join(rows)})

    def run_release(self, release: str) -> None:
        """Set `dr:shop.release` where it stands: in its stack file, or in the project's, for both regions. Raises Failed, Usage."""
        if _SHOP in own_values(self.path):
            self._run("config", "set", "--path", f"{_SHOP}.release", release, *self.file_words)
            return
        values = shared_values(self.folder)
        values[_SHOP] = {**values[_SHOP], "release": release}
        write({self.folder / PROJECT: project_text(self.folder, values)})

    def command(self, *words: str) -> str:
        """A command for the operator to type."""
        return shlex.join(["pulumi", *words, "-s", self.name, *self.file_words])

    @property
    def file_words(self) -> list[str]:
        """Of the commands that take a stack file."""
        return ["--config-file", str(self.file)] if self.file else []

    def _opened(self, key: str) -> Any:
        """A key beside the secrets that somebody has stored as one, or a part of it."""
        told = self._json("config", "get", f"dr:{key}", "--json", *self.file_words)
        return told.get("objectValue", told.get("value")) if isinstance(told, dict) else told

    def _json(self, *words: str) -> Any:
        """What pulumi prints; none of it goes into a message, for it may hold secrets."""
        try:
            return json.loads(self._run(*words))
        except ValueError:
            raise Failed(
                f"{self._what(words)}: answered no JSON; nothing was changed; run that command by hand"
            ) from None

    def _run(self, *words: str, stdin: str = "") -> str:
        what = self._what(words)
        argv = self.argv(*words)
        if words[:2] == ("stack", "ls"):  # of all stacks
            argv = [it for it in argv if it not in ("--stack", self.name)]
        try:
            done = subprocess.run(
                argv,
                cwd=self.folder,
                env=None if self.environment is None else dict(self.environment),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=ANSWER_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(
                f"{what}: {type(error).__name__}, wanted its answer; nothing was changed; see that pulumi is there and its backend answers"
            ) from None
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise Failed(
                f"{what}: ended with {done.returncode} ({said}), wanted its answer; nothing was changed; run that command by hand"
            )
        return done.stdout

    def _what(self, words: Sequence[str]) -> str:
        return f"pulumi {' '.join(words[:2])} of stack {self.name}"


def _sealed(value: object) -> bool:
    """Whether a value of a stack file, or one in it, is encrypted."""
    if isinstance(value, Mapping):
        return set(value) == {"secure"} or any(map(_sealed, value.values()))
    return isinstance(value, list) and any(map(_sealed, value))


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One row of a state."""

    name: str
    kind: str  # pulumi's token, "openstack:networking/port:Port"
    identity: str  # at the platform
    protected: bool
    retained: bool  # outlives the stack
    outputs: dict[str, Any]
