"""`dr-host <service> <verb> [--check] [--report]`: reads the document, holds the lock, runs the verb, prints one JSON object."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, TextIO

from contract.errors import DrError, ExitCode, Failed, Usage

from . import trouble
from .call import Call, Verb
from .files import make_folder, write_atomically
from .layout import Layout
from .locks import hold
from .log import Log
from .result import Result, dump

_FLAGS = ("--check", "--report")


def main(
    argv: Sequence[str],
    services: Mapping[str, str],
    *,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    layout: Layout | None = None,
) -> int:
    """Exit code as in `contract.errors.ExitCode`. `services`: the module of each service, which holds its table `VERBS`."""
    os.umask(0o077)
    err = stderr or sys.stderr
    try:
        arguments = _arguments(argv, services)
    except Usage as error:
        Log(err, "dr-host").error(str(error))
        return error.code
    log = Log(err, f"{arguments.service} {arguments.verb}")
    try:
        verb = _verb(services[arguments.service], arguments.service, arguments.verb)
        document = _document(stdin or sys.stdin, arguments) if verb.reads else {}
        lines = None if verb.reads else stdin or sys.stdin
        call = Call(arguments.service, arguments.verb, document, layout or Layout(), log, arguments.check, lines)
        with (
            hold(call.layout, f"{call.service}-{call.verb}" if verb.apart else call.service)
            if verb.locked
            else nullcontext()
        ):
            result = verb.run(call)
            if call.verb == "converge" and not call.check:
                _remember(call, result)
    except DrError as error:
        log.error(str(error))
        return error.code
    except OSError as error:
        told = trouble.sentence(error)
        if told is None:
            return _unexpected(log, error, f" ({trouble.reason(error)})", err)
        log.error(told)
        return ExitCode.FAILED
    except Exception as error:  # a fault of this program: where it happened, without its text, which may hold a secret
        return _unexpected(log, error, "", err)
    report = arguments.report or arguments.check or call.verb != "converge"
    print(dump(result.document(call.op, report=report)), file=stdout or sys.stdout)
    return ExitCode.DONE


def _unexpected(log: Log, error: Exception, why: str, err: TextIO) -> int:
    import traceback  # noqa: PLC0415 - of a fault of this program alone, and it reads a lot

    traceback.print_tb(error.__traceback__, file=err)
    log.error(
        f"unexpected {type(error).__name__}{why}; what was done so far stands; report it with the lines above, and see `status`"
    )
    return ExitCode.FAILED


class _Called(NamedTuple):
    service: str
    verb: str
    check: bool  # say what is due, change nothing
    report: bool  # print what was changed, too


def _arguments(argv: Sequence[str], services: Mapping[str, str]) -> _Called:
    """By hand: a parser of the library's reads a tenth of what a reading of figures takes, which is twice a minute on every host."""
    words = [word for word in argv if not word.startswith("-")]
    flags = [word for word in argv if word.startswith("-")]
    if unknown := [flag for flag in flags if flag not in _FLAGS]:
        raise _unusable(f"found {unknown[0]!r}, wanted none but {', '.join(_FLAGS)}")
    if len(words) != 2:
        raise _unusable(f"found {len(words)} words, wanted a service and a verb")
    service, verb = words
    if service not in services:
        raise _unusable(f"service {service!r}, wanted one of {', '.join(sorted(services))}")
    return _Called(service, verb, "--check" in flags, "--report" in flags)


def _unusable(why: str) -> Usage:
    return Usage(f"arguments: {why}; nothing was changed; call `dr-host <service> <verb> [--check] [--report]`")


def _verb(module: str, service: str, verb: str) -> Verb:
    verbs: dict[str, Verb] = importlib.import_module(module).VERBS
    if verb not in verbs:
        raise Usage(
            f"verb of {service}: found {verb!r}, wanted one of {', '.join(sorted(verbs))}; nothing was changed; correct the call"
        )
    return verbs[verb]


def _document(stream: TextIO, called: _Called) -> dict[str, Any]:
    if stream.isatty():  # somebody has typed it, and nothing would ever come
        raise Usage(
            f"stdin: found a terminal, wanted one object; nothing was changed; `echo '{{}}' | dr-host {called.service} {called.verb}`, with what it is to be "
            "told in the braces"
        )
    text = stream.read()
    try:
        found = json.loads(text)
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "somewhere"
        raise Usage(
            f"stdin: found no JSON ({where}), wanted one object; nothing was changed; pass the desired document"
        ) from None
    if not isinstance(found, dict):
        raise Usage(
            "stdin: found JSON that is no object, wanted one object; nothing was changed; pass the desired document"
        )
    return found


def _remember(call: Call, result: Result) -> None:
    """Leave `changed` and `actions` where people find them; stdout must not differ between runs."""
    call.log.info(
        f"changed: {str(result.changed).lower()}" + (f" ({', '.join(result.actions)})" if result.actions else "")
    )
    folder = call.layout.var / "last"
    try:
        make_folder(folder, 0o700)
        write_atomically(folder / f"{call.service}.json", (dump(result.document(call.op, report=True)) + "\n").encode())
    except OSError as error:
        raise Failed(
            f"file {folder / call.service}.json: cannot be written ({error.strerror}); the change itself is done; free the disk"
        ) from None
