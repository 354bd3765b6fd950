"""What `drctl` says of itself: every word that it takes, in the manual page and in what shells complete."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.errors import ExitCode
from scripts.ctl import cli
from scripts.ctl.manual import completion, page, words

COMMANDS = list(words.commands(cli.parser()))


def flags(parser: argparse.ArgumentParser) -> set[str]:
    """Of a parser and all below it, as argparse itself spells them in its usage."""
    found = set(re.findall(r"--[a-z][a-z-]*", parser.format_usage()))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                found |= flags(below)
    return found


@pytest.mark.parametrize("made", [page.roff, *completion.SHELLS.values()], ids=["man", *completion.SHELLS])
def test_every_command_and_option_stands_in_it(made: Callable[[list[words.Command]], str]) -> None:
    text = made(COMMANDS).replace("\\-", "-")
    for it in COMMANDS:
        assert all(word in text for word in it.path), it.path
        for option in it.options:
            assert any(flag in text or f"-l {flag[2:]}" in text for flag in option.flags), (it.path, option)


def test_no_option_of_the_parser_is_passed_over() -> None:
    known = {flag for it in COMMANDS for option in it.options for flag in option.flags}
    assert flags(cli.parser()) <= known and len(known) > 30


def completed(*typed: str, folder: Path) -> list[str]:
    """What bash itself makes of the script, when Tab is pressed behind these words."""
    script = folder / "drctl.bash"
    script.write_text(completion.bash(COMMANDS))
    press = f'source {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMPREPLY=(); _drctl; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "--norc", "-uc", press, "-", *typed], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (("drctl", "swi"), ["switchover"]),
        (("drctl", "switchover", "--pl"), ["--plan"]),
        (("drctl", "failover", ""), ["a", "b"]),
        (("drctl", "report", "de"), ["deficiency"]),
        (("drctl", "report", "sign", "--k"), ["--key"]),
        (("drctl", "check", "--form", "n"), ["nagios"]),
        (("drctl", "status", "--site", ""), ["a", "b"]),
        (("drctl", "report", "sign", "--nothing-of-this-name"), []),
    ],
)
def test_bash_completes(typed: tuple[str, ...], wanted: list[str], tmp_path: Path) -> None:
    found = completed(*typed, folder=tmp_path)
    assert [it for it in found if not it.startswith("--") or typed[-1].startswith("--")] == wanted


def test_options_of_one_command_are_not_offered_at_another(tmp_path: Path) -> None:
    assert "--plan" not in completed("drctl", "status", "--", folder=tmp_path)
    assert "--watch" in completed("drctl", "status", "--", folder=tmp_path)


def test_zsh_reads_what_bash_does() -> None:
    """Of its own words it would take these for others: `path` is PATH there, and a length of a slice that begins with a letter a modifier."""
    text = completion.zsh(COMMANDS)
    own = {"argv", "cdpath", "fpath", "options", "path", "pipestatus", "prompt", "status", "words"}
    assert set(re.findall(r"\b([a-z]+)=", text)) & own == set()
    assert re.findall(r"\$\{[^}]*:\d+:[A-Za-z]", text) == []


def test_a_manual_page_has_macros_alone_at_the_beginning_of_a_line() -> None:
    macros = {line.split()[0] for line in page.roff(COMMANDS).splitlines() if line.startswith((".", "'"))}
    assert macros == {".TH", ".SH", ".SS", ".TP", ".B", ".I"}


def test_each_exit_code_has_its_sentence() -> None:
    assert set(page.CODES) == set(ExitCode)


@pytest.mark.parametrize("typed", [["man"], *(["completion", shell] for shell in completion.SHELLS)])
def test_it_is_printed(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(typed) == ExitCode.DONE
    assert "switchover" in capsys.readouterr().out
