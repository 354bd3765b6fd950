"""Whether a release may be deployed: it lies well in both regions, hosts could run it, and it leaves the one that still runs what that needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from components import fitting
from components.settings import Settings
from contract import artefact
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.plain import phrase
from contract.release import SPARE as ROOM
from contract.release import Manifest
from contract.services.processes import processes
from scripts.ctl.releases import migrations
from scripts.ctl.releases.migrations import Finding
from scripts.ctl.releases.store import WELL, Row
from scripts.ctl.survey.seen import Survey

MOST_TOLD = 6  # findings


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """`new`: its migrations that the release at work does not have, by name, with their texts; `copies`: what is wrong with where it lies; `there`: one
    copy of it is well; `bytes`: of the artefact.
    """

    digest: str
    manifest: Manifest | None
    new: Mapping[str, str]
    against: tuple[str, ...]
    copies: tuple[str, ...] = ()
    there: bool = True
    bytes: int = 0

    @property
    def findings(self) -> list[Finding]:
        return migrations.lint(self.new)


def candidate(row: Row, body: bytes | None, settings: Settings, known: Collection[str]) -> Candidate:
    """`row`, `body`: as both copies were read; `known`: migrations of the release at work. Raises OSError."""
    against, copies = list[str](), list[str]()
    if set(row.states.values()) != {WELL}:
        states = ", ".join(f"{site} {state}" for site, state in row.states.items())
        copies.append(
            f"release {row.digest[:12]}: lies {states}, wanted it well in both regions' buckets: a region that is left alone would lack it; run "
            "`drctl releases verify --repair`"
        )
    told, new = None, dict[str, str]()
    if body is not None:
        with TemporaryDirectory(prefix="drctl-") as folder:
            path, most = Path(folder) / "release", settings.app.release_max_mb * 2**20
            path.write_bytes(body)
            try:
                told = artefact.peek(path, most)
                new = artefact.texts(path, most, migrations.of_release(told.files) - {*known})
            except Failed as error:
                against.append(str(error))
        against += [] if told is None else _unfit(told, settings)
    return Candidate(
        digest=row.digest,
        manifest=told,
        new=new,
        against=tuple(against),
        copies=tuple(copies),
        there=body is not None,
        bytes=len(body or b""),
    )


def crowded(it: Candidate, survey: Survey) -> list[str]:
    """App hosts whose disk it does not fit on, by what they say of it; one that says nothing is not judged, nor one that has it unpacked already."""
    if it.manifest is None:
        return []
    wanted, found = it.bytes + it.manifest.size + ROOM, list[str]()
    for name, free in survey.rooms.items():
        if free is not None and free < wanted and it.digest not in {survey.releases[name], *survey.placed[name]}:
            found.append(
                f"{name}: {free / 2**20:.0f} MB of its disk are free, wanted {wanted / 2**20:.0f} MB for release {it.digest[:12]}, packed and unpacked, and "
                "what else is written there; lower dr:app.releases_kept and run `pulumi up`, or free the disk"
            )
    return found


def missed(it: Candidate, newer: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What a release that comes back may miss in the schema. `newer`: texts of migrations that it does not have, by their release and name."""
    try:
        found = [finding for texts in newer.values() for finding in migrations.lint(texts) if finding.breaks]
    except Failed as error:  # no linter bars the way back
        return [str(error)]
    told = [
        phrase(
            f"{each.file.rpartition('/')[2]}, line {each.line}: {each.text}: where it has run, release {it.digest[:12]} may need what it took; `drctl deploy` "
            "of a release that gives it back is the other way",
            300,
        )
        for each in found[:MOST_TOLD]
    ]
    return told + ([f"and {len(found) - MOST_TOLD} more"] if len(found) > MOST_TOLD else [])


def judged(it: Candidate, older: Collection[str], unsafe: str) -> tuple[list[str], list[str]]:
    """What its migrations have against it, and what of that the operator's reason lets pass. `older`: releases at work on hosts of both regions."""
    found = it.findings
    told = [finding.sentence() for finding in found[:MOST_TOLD]]
    told += [f"and {len(found) - MOST_TOLD} more"] if len(found) > MOST_TOLD else []
    if len(older) > 1 and any(finding.breaks for finding in found):
        names = ", ".join(sorted(each[:12] for each in older))
        return [
            *told,
            f"hosts run {names}: what an older release needs goes only when all hosts run one; deploy that first",
        ], []
    return ([], told) if unsafe else (told, [])


def misfits(it: Candidate, settings: Settings) -> list[str]:
    """What it would start and what it would be given do not go together: it would run, and fail under load."""
    if it.manifest is None:
        return []
    found, _ = processes(it.manifest.procfile() or None, settings.app.processes)
    return [str(fault) for fault in fitting.misfits(settings, found)]


def _unfit(told: Manifest, settings: Settings) -> list[str]:
    """Why hosts could not run it."""
    _, faults = processes(told.procfile() or None, settings.app.processes)
    wrong = [str(fault) for fault in faults]
    hosts = _minor(settings.app.ruby)
    for found, what in ((told.ruby, "it asks for"), (told.ruby_built, "its gems were built by")):
        if found is not None and _minor(found) != hosts:
            wrong.append(
                f"release: {what} Ruby {found}, wanted {hosts}, which hosts have (dr:app.ruby); it would not start; build it for that one"
            )
    return wrong


def _minor(ruby: str) -> str:
    return ".".join(ruby.split(".")[:2])
