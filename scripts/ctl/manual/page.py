"""The manual page, and the same as a part of docs/drctl.md: every command with its options, and what each exit code says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from contract.errors import ExitCode
from contract.version import VERSION
from scripts.ctl.manual.words import Command, Word

# One sentence each; `contract.errors.ExitCode` has the numbers.
CODES: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "it failed, and nothing is half-done: the same again goes on from there",
    ExitCode.USAGE: "the arguments or a document are wrong; nothing was changed",
    ExitCode.REFUSED: "refused, and nothing was changed; of `check`: something is not well",
    ExitCode.PARTIAL: "stopped part-way: the last lines say what is so and what to run",
    ExitCode.UNKNOWN: "nobody can tell what has become of it: look (`drctl status`) before anything else is run",
}
VARIABLES: Mapping[str, str] = {
    "DR_WHO": "who this is, for the audit trail and records, where no ssh certificate says it",
    "DR_WHY": "why, for the audit trail, where no flag says it",
    "PULUMI_CONFIG_PASSPHRASE": "or PULUMI_CONFIG_PASSPHRASE_FILE: opens the stacks' secrets on this machine, without the backend of the state",
    "NO_COLOR": "no colours",
}


def roff(all_of: Sequence[Command]) -> str:
    """For `man`."""
    own, *others = all_of
    lines = [
        f'.TH DRCTL 1 "" "drctl {VERSION}"',
        ".SH NAME",
        f"drctl \\- {_roff(own.about.partition(': ')[2])}",
        ".SH SYNOPSIS",
    ]
    lines += [".B drctl", ".I command", "[options]", ".SH OPTIONS", *_words(own), ".SH COMMANDS"]
    for it in others:
        lines += [".SS", f"drctl {_roff(usage(it))}", _roff(_sentence(it.about)), *_words(it)]
    lines += [".SH EXIT STATUS"]
    for code, about in CODES.items():
        lines += [".TP", f".B {int(code)}", _roff(about)]
    lines += [".SH ENVIRONMENT"]
    for name, about in VARIABLES.items():
        lines += [".TP", f".B {name}", _roff(about)]
    return "\n".join(lines) + "\n"


def _words(it: Command) -> Iterator[str]:
    for word in it.words:
        yield from (".TP", f".B {_roff(_spelled(word))}", _roff(word.about))


def commands_table(all_of: Sequence[Command]) -> str:
    """Markdown."""
    rows = [f"| `drctl {_cell(usage(it))}` | {_cell(it.about)} |" for it in all_of if it.path and not it.below]
    return "\n".join(["| command | |", "| --- | --- |", *rows])


def codes_table() -> str:
    """Markdown."""
    return "\n".join(["| code | |", "| --- | --- |", *(f"| {int(code)} | {about} |" for code, about in CODES.items())])


def usage(it: Command) -> str:
    """Its words, and what it is told without an option."""
    return " ".join([*it.path, *(place.value for place in it.places)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _spelled(word: Word) -> str:
    return ", ".join(word.flags) + (f" {word.value}" if word.flags and word.value else "" if word.flags else word.value)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _roff(text: str) -> str:
    found = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{found}" if found.startswith((".", "'")) else found
