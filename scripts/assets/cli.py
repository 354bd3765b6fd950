"""`dr-assets`: compare, copy, verify and reconcile two S3 buckets. One JSON object on stdout, errors on stderr, exit codes as in `errors`."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from contract.errors import DrError, ExitCode, Usage

from .config import Job, parse
from .epoch import Epoch
from .hands import become_holder
from .output import Bar, metrics, read_status, result, status, write_file
from .plan import Step
from .reconcile import Reconcile
from .sync import Run
from .tally import show
from .verify import Verify


def main(arguments: list[str] | None = None, now: Callable[[], Epoch] | None = None) -> int:
    """Returns the exit code. `now` says which epoch is in force, in place of an epoch file."""
    chosen = _parser().parse_args(arguments)
    try:
        job = _job(chosen)
        become_holder(job.state_dir)
        document, error = COMMANDS[chosen.command](job, chosen, now)
    except DrError as found:
        document, error = None, found
    if document is not None:
        print(json.dumps(document, sort_keys=True, indent=None if chosen.compact else 2))
    if error is not None:
        print(f"dr-assets: {error}", file=sys.stderr)
        return error.code
    return ExitCode.DONE


Outcome = tuple[dict[str, Any] | None, DrError | None]


def plan(job: Job, chosen: argparse.Namespace, now: Callable[[], Epoch] | None) -> Outcome:
    """What a sync would do; nothing is changed but the state folder's lock."""
    run = Run(job, now)

    def see(name: str, step: Step) -> None:
        entry = step.source or step.target
        if entry is not None and len(run.tally.lists.get(name, ())) < run.options.listed:
            run.tally.lists.setdefault(name, []).append({"key": show(entry.key), "size": entry.size})

    try:
        report = run.plan(see)
        return result(run, "plan"), report.error
    finally:
        run.close()


def sync(job: Job, chosen: argparse.Namespace, now: Callable[[], Epoch] | None) -> Outcome:
    """Copy what differs, once or (`--continuous`) again and again until a signal or an epoch ends it."""
    if chosen.dry_run:
        return plan(job, chosen, now)
    over = threading.Event()
    if not chosen.continuous:
        return _sync_once(job, now, over)
    with _signals(over):
        while True:
            document, error = _sync_once(job, now, over)
            if error is not None and error.code != ExitCode.FAILED:
                return document, error
            if over.is_set():
                # Asked to end, and it ended.
                return document, None
            print(json.dumps(document, sort_keys=True), flush=True)
            if error is not None:
                print(f"dr-assets: {error}", file=sys.stderr, flush=True)
            if over.wait(chosen.continuous):
                return None, None


def _sync_once(job: Job, now: Callable[[], Epoch] | None, over: threading.Event) -> Outcome:
    run = Run(job, now)
    bar = Bar()
    try:
        with _signals(over, run.stop):
            report = run.sync(bar)
        known = status(run, read_status(job.status_file) if job.status_file else {})
        document = result(run, "sync") | {name: known[name] for name in ("unreplicated", "replicated_until")}
        if job.status_file:
            write_file(job.status_file, json.dumps(known, sort_keys=True) + "\n")
        if job.metrics_file:
            write_file(job.metrics_file, metrics(known))
        return document, report.error
    finally:
        bar.end()
        run.close()


@contextmanager
def _signals(*events: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT ask the run to stop, which writes down what it has done; elsewhere than in the main thread nothing is changed."""

    def stop(number: int, _: object) -> None:
        for event in events:
            event.set()

    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)} if here else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def reconcile(job: Job, chosen: argparse.Namespace, now: Callable[[], Epoch] | None) -> Outcome:
    """Settle what the losing side (the document's source) has and the winning one (its target) has not."""
    run = Reconcile(job, now)
    run.dry_run = chosen.dry_run
    path = job.state_dir / f"reconcile-{run.guard.epoch or 0}.jsonl"
    bar = Bar()
    try:
        run.check()
        with path.open("a", encoding="utf-8") as listing, _signals(run.stop):
            run.listing = listing
            report = run.sync(bar)
        return result(run, "reconcile") | {"listing": str(path), "dry_run": chosen.dry_run}, report.error
    finally:
        bar.end()
        run.close()


def offsite(job: Job, chosen: argparse.Namespace, now: Callable[[], Epoch] | None) -> Outcome:
    """A sync that removes nothing and asks the source nothing that a reader may not. Raises Refused where the target would lose what it held."""
    from .offsite import kept, prepared  # noqa: PLC0415 - a sync starts without what it does not use

    job = kept(job)
    lock = prepared(job)
    document, error = _sync_once(job, now, threading.Event())
    return None if document is None else document | {"op": "offsite", "lock": lock}, error


def verify(job: Job, chosen: argparse.Namespace, _: Callable[[], Epoch] | None) -> Outcome:
    """Read both sides and compare. What was found alike is noted beside the status file, for whoever asks how long ago that was."""
    known = read_status(job.status_file) if job.status_file else {}
    run = Verify(job, 1.0 if chosen.full else chosen.sample, known.get("replicated_until"), chosen.seed)
    try:
        with _signals(run.stop):
            document, error = run.run()
    finally:
        run.close()
    if job.status_file and error is None:
        noted = {"at": time.time(), "share": document["share"], "checked": document["checked"]}
        write_file(job.status_file.with_name("verified.json"), json.dumps(noted, sort_keys=True) + "\n")
    return document, error


def show_status(job: Job, chosen: argparse.Namespace, now: Callable[[], Epoch] | None) -> Outcome:
    """The last run's status file."""
    if job.status_file is None:
        raise Usage(
            "status_file: not set, wanted the file that `dr-assets sync` writes; name it in the document or with --status-file"
        )
    known = read_status(job.status_file)
    if not known:
        raise Usage(
            f"status file {job.status_file}: not there or not readable, wanted that of an earlier run; run `dr-assets sync` first"
        )
    return known | {"op": "status"}, None


def settings(job: Job, chosen: argparse.Namespace, _: Callable[[], Epoch] | None) -> Outcome:
    """The target bucket's lifecycle and CORS as the document says."""
    from . import bucket  # noqa: PLC0415 - a sync starts without what it does not use

    return bucket.converge(job)


def replicated(job: Job, chosen: argparse.Namespace, now: Callable[[], Epoch] | None) -> Outcome:
    """How far the platform's own replication from the source is."""
    from . import replication  # noqa: PLC0415 - as above

    return replication.run(job, now, alone=chosen.alone)


def undelete(job: Job, chosen: argparse.Namespace, _: Callable[[], Epoch] | None) -> Outcome:
    """What was removed from the target bucket is put back from its versions."""
    from .undelete import Undelete  # noqa: PLC0415 - as above

    run = Undelete(job, chosen.since, chosen.overwritten, chosen.dry_run)
    try:
        with _signals(run.stop):
            return run.run()
    finally:
        run.close()


COMMANDS: dict[str, Callable[[Job, argparse.Namespace, Callable[[], Epoch] | None], Outcome]] = {
    "plan": plan,
    "sync": sync,
    "offsite": offsite,
    "verify": verify,
    "reconcile": reconcile,
    "status": show_status,
    "bucket": settings,
    "replication": replicated,
    "undelete": undelete,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dr-assets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "plan": "what a sync would do",
        "sync": "copy what differs",
        "offsite": "copy what differs into another account's bucket, and never remove anything there",
        "verify": "read both sides and compare",
        "reconcile": "after a take-over: bring over what only the losing side (the source) has",
        "status": "the last run's figures",
        "bucket": "put the target bucket's lifecycle and CORS, where they differ from the document's",
        "undelete": "put back what was removed from the target bucket since a time, from its versions",
        "replication": "how far the platform's own replication from the source is, by a sample of its objects",
    }
    made = {name: commands.add_parser(name, help=text) for name, text in texts.items()}
    for command in made.values():
        command.add_argument("--config", metavar="FILE", help="the document (docs/assets.md); - for stdin")
        command.add_argument(
            "--source",
            metavar="URL",
            help="https://host/bucket[/prefix]; keys in SOURCE_ACCESS_KEY and SOURCE_SECRET_KEY",
        )
        command.add_argument("--target", metavar="URL", help="the same with TARGET_ACCESS_KEY and TARGET_SECRET_KEY")
        command.add_argument("--source-region", default="us-east-1")
        command.add_argument("--target-region", default="us-east-1")
        command.add_argument("--state-dir", metavar="DIR", help="remembers what both sides had; one for each direction")
        command.add_argument("--epoch", type=int, help="the epoch that this run belongs to")
        command.add_argument(
            "--epoch-file",
            metavar="FILE",
            help='{"epoch": n, "active": "a", "moving": false}, read again while the run writes',
        )
        command.add_argument("--status-file", metavar="FILE")
        command.add_argument("--metrics-file", metavar="FILE")
        command.add_argument(
            "--set", metavar="OPTION=VALUE", action="append", default=[], help="one of `options`, for this run"
        )
        command.add_argument("--compact", action="store_true", help="the result on one line")
    _own_arguments(made)
    return parser


def _own_arguments(made: dict[str, argparse.ArgumentParser]) -> None:
    """What single commands take."""
    made["replication"].add_argument(
        "--alone", action="store_true", help="no copier runs beside: the status file's figures are these"
    )
    made["sync"].add_argument("--dry-run", action="store_true", help="the same as plan")
    made["reconcile"].add_argument("--dry-run", action="store_true", help="decide and list, change nothing")
    made["undelete"].add_argument("--dry-run", action="store_true", help="decide and list, change nothing")
    made["undelete"].add_argument(
        "--since",
        type=_moment,
        required=True,
        metavar="TIME",
        help="when it began, with a zone: 2026-11-25T10:15:00+00:00",
    )
    made["undelete"].add_argument(
        "--overwritten",
        action="store_true",
        help="also what has another content than it had then: all that was uploaded over it since",
    )
    share = made["verify"].add_mutually_exclusive_group(required=True)
    share.add_argument("--sample", type=_share, metavar="1%%", help="of the objects, the same ones for the same seed")
    share.add_argument("--full", action="store_true", help="all of them")
    made["verify"].add_argument("--seed", default="", help="another sample")
    made["sync"].add_argument(
        "--continuous", type=float, metavar="SECONDS", help="again and again, with a pause of so many seconds"
    )


def _moment(text: str) -> float:
    found = datetime.datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return found.timestamp()


def _share(text: str) -> float:
    value = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    if not 0 < value <= 1:
        raise ValueError(text)
    return value


def _job(chosen: argparse.Namespace) -> Job:
    document = _document(chosen)
    for option in chosen.set:
        name, separator, value = option.partition("=")
        if not separator:
            raise Usage(f"--set: found {option!r}, wanted OPTION=VALUE")
        try:
            document.setdefault("options", {})[name] = json.loads(value)
        except ValueError:
            document["options"][name] = value
    job = parse(document)
    given: dict[str, Any] = {} if chosen.epoch is None else {"epoch": chosen.epoch}
    given |= {
        name: Path(getattr(chosen, name))
        for name in ("epoch_file", "status_file", "metrics_file", "state_dir")
        if getattr(chosen, name)
    }
    return replace(job, **given)


def _document(chosen: argparse.Namespace) -> dict[str, Any]:
    if chosen.config:
        try:
            document = json.loads(sys.stdin.read() if chosen.config == "-" else Path(chosen.config).read_text())
        except OSError as error:
            raise Usage(f"document {chosen.config}: cannot be read ({error.strerror}); nothing was done") from None
        except ValueError as error:
            raise Usage(f"document {chosen.config}: is not JSON ({error}); nothing was done") from None
        if not isinstance(document, dict):
            raise Usage(
                f"document {chosen.config}: is {type(document).__name__}, wanted a JSON object; nothing was done"
            )
        return document
    if not (chosen.source and chosen.target and chosen.state_dir):
        raise Usage("arguments: wanted --config, or --source, --target and --state-dir; nothing was done")
    return {
        "schema": 1,
        "source": _endpoint("source", chosen.source, chosen.source_region),
        "target": _endpoint("target", chosen.target, chosen.target_region),
        "state_dir": chosen.state_dir,
    }


def _endpoint(name: str, url: str, region: str) -> dict[str, str]:
    parts = urlsplit(url)
    bucket, _, prefix = parts.path.lstrip("/").partition("/")
    keys = {key: os.environ.get(f"{name.upper()}_{key.upper()}", "") for key in ("access_key", "secret_key")}
    missing = [f"{name.upper()}_{key.upper()}" for key, value in keys.items() if not value]
    if missing:
        raise Usage(
            f"environment: {', '.join(missing)} not set, wanted the keys of {name}; export them and run it again"
        )
    return {
        "endpoint": f"{parts.scheme}://{parts.netloc}",
        "region": region,
        "bucket": bucket,
        "prefix": unquote(prefix),
        **keys,
    }
