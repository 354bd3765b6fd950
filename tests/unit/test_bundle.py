"""What is uploaded: the same bytes from the same tree, runnable, and nothing that does not belong."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components import bundle
from components.remote import RECORD, TOOL_PATH, install_script, install_steps, upload_path, verified
from contract.errors import ConfigError
from contract.release import MANIFEST
from contract.services.processes import Process
from scripts.host.frame import bytecode


@pytest.fixture
def project(tmp_path: Path) -> Path:
    host = tmp_path / "scripts" / "host"
    (host / "__pycache__").mkdir(parents=True)
    (host / "__init__.py").write_text("")
    (host / "__main__.py").write_text("import sys\nfrom host.words import WORD\nprint(WORD, *sys.argv[1:])\n")
    (host / "words.py").write_text("WORD = 'ran'\n")
    (host / "__pycache__" / "words.pyc").write_bytes(b"x")
    (tmp_path / "contract").mkdir()
    (tmp_path / "contract" / "__init__.py").write_text("")
    shop = tmp_path / "shop"
    (shop / "bin").mkdir(parents=True)
    (shop / "log").mkdir()
    (shop / "Procfile").write_text("web: puma\n")
    (shop / "bin" / "migrate").write_text("#!/bin/sh\n")
    (shop / "bin" / "migrate").chmod(0o700)
    (shop / "log" / "production.log").write_text("noise")
    return tmp_path


def test_the_archive_runs_as_it_is_called_on_a_host(project: Path) -> None:
    made = bundle.dr_host(project)
    said = subprocess.run(
        [sys.executable, "-I", str(project / made.path), "host", "converge"], capture_output=True, text=True, check=True
    )
    assert said.stdout == "ran host converge\n"


@pytest.mark.parametrize(
    "pack", [bundle.dr_host, lambda root: bundle.release(root, "shop", {}, 10)], ids=["dr-host", "release"]
)
def test_the_same_tree_gives_the_same_bytes(project: Path, pack: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(pack)
    first = pack(project)
    content = (project / first.path).read_bytes()
    for path in project.rglob("*"):
        if ".build" not in path.parts:
            os.utime(path, (1, 1))
    (project / first.path).unlink()
    monkeypatch.setattr(time, "time", lambda: 1.0)
    assert pack(project) == first
    assert (project / first.path).read_bytes() == content


def test_another_tree_gives_another_name(project: Path) -> None:
    first = bundle.dr_host(project)
    (project / "scripts" / "host" / "words.py").write_text("WORD = 'other'\n")
    assert bundle.dr_host(project).digest != first.digest
    assert not Path(first.path).is_absolute()


def test_a_spoiled_file_is_written_again(project: Path) -> None:
    made = bundle.dr_host(project)
    content = (project / made.path).read_bytes()
    (project / made.path).write_bytes(b"half")
    bundle.dr_host(project)
    assert (project / made.path).read_bytes() == content


def test_the_release_holds_the_application_and_no_noise(project: Path) -> None:
    packed = (project / bundle.release(project, "shop", {}, 10).path).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        entries = {entry.name: entry for entry in archive}
    assert {name: entry.mode for name, entry in entries.items()} == {
        MANIFEST: 0o644,
        "Procfile": 0o644,
        "bin/migrate": 0o755,
    }
    assert {(entry.uid, entry.uname, entry.mtime) for entry in entries.values()} == {(0, "root", 0)}


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("nowhere", "dr:shop.release is 'nowhere': application: found no folder"),
        ("scripts", "release of the shop is no Procfile; wanted a line `web: ...`"),
    ],
)
def test_a_folder_without_an_application_is_refused(project: Path, folder: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        bundle.release(project, folder, {}, 10)
    assert not list(project.glob(".build/shop-*"))


def test_every_fault_of_its_processes_is_told_before_anything_is_packed(project: Path) -> None:
    (project / "shop" / "Procfile").write_text("web: puma && true\nworker\n")
    with pytest.raises(ConfigError) as caught:
        bundle.release(project, "shop", {"clock": Process()}, 10)
    assert [fault.subject for fault in caught.value.faults] == [
        "Procfile of the release, line 1",
        "Procfile of the release, line 2",
        "dr:app.processes.clock",
    ]


def test_a_release_may_be_named_by_its_file_and_by_its_digest(project: Path) -> None:
    packed = bundle.release(project, "shop", {}, 10)
    assert bundle.release(project, packed.path, {}, 10) == packed
    assert bundle.release(project, packed.digest, {}, 10) == bundle.Bundle(path="", digest=packed.digest)
    (project / packed.path).write_bytes(b"half")
    for told, found in ((packed.path, "no gzipped tar"), ("none.tar.gz", "cannot be read or packed")):
        with pytest.raises(ConfigError, match=found):
            bundle.release(project, told, {}, 10)


def test_a_folder_that_is_too_large_or_holds_a_secret_is_refused(project: Path) -> None:
    (project / "shop" / "large").write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(ConfigError, match="more than 1 MB of files"):
        bundle.release(project, "shop", {}, 1)
    (project / "shop" / "config").mkdir()
    (project / "shop" / "config" / "master.key").write_text("0" * 32)
    with pytest.raises(ConfigError, match="found secrets"):
        bundle.release(project, "shop", {}, 10)
    assert not list((project / ".build").glob("release.*")), "nothing is left of what was not made"


def put(tmp_path: Path, digest: str, name: str) -> subprocess.CompletedProcess[str]:
    script = install_script(digest, str(tmp_path / "uploads" / f"{name}-{digest}.pyz"), str(tmp_path / f"{name}.pyz"))
    assert "'" not in script
    return subprocess.run(["sh", "-c", f"{script}; exec cat"], input="DOC", capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["dr-host", "dr-assets"])
def test_software_is_put_into_its_place_whole_and_once(tmp_path: Path, name: str) -> None:
    uploads, tool = tmp_path / "uploads", tmp_path / f"{name}.pyz"
    uploads.mkdir()
    tool.write_bytes(b"the one before")
    running = tool.open("rb")
    content = b"PK the whole archive"
    digest = hashlib.sha256(content).hexdigest()[:12]
    (uploads / f"{name}-0123456789ab.pyz").write_bytes(b"left by an older run")
    (uploads / "another-0123456789ab.pyz").write_bytes(b"on its way")
    (uploads / f"{name}-{digest}.pyz").write_bytes(content)
    done = put(tmp_path, digest, name)
    assert (done.returncode, done.stdout) == (0, "DOC"), f"the document is for the link that follows: {done.stderr}"
    assert tool.read_bytes() == content and tool.stat().st_mode & 0o777 == 0o644
    assert Path(f"{tool}{RECORD}").read_text().split() == [hashlib.sha256(content).hexdigest()] * 2
    assert [path.name for path in uploads.iterdir()] == ["another-0123456789ab.pyz"]
    assert running.read() == b"the one before", "whoever is at work with it reads on"
    running.close()
    tool.write_bytes(content + b" with bytecode")
    assert put(tmp_path, digest, name).returncode == 0 and tool.read_bytes().endswith(b"bytecode"), (
        "nothing has arrived"
    )


@pytest.mark.parametrize("name", ["dr-host", "dr-assets"])
def test_half_a_copy_never_comes_where_software_starts_from(tmp_path: Path, name: str) -> None:
    content = b"PK the whole archive"
    digest = hashlib.sha256(content).hexdigest()[:12]
    (tmp_path / "uploads").mkdir()
    (tmp_path / f"{name}.pyz").write_bytes(b"the one before")
    (tmp_path / "uploads" / f"{name}-{digest}.pyz").write_bytes(content[:9])
    done = put(tmp_path, digest, name)
    assert (done.returncode, done.stdout) == (1, "")
    assert "found other contents than were sent" in done.stderr and "run the same again" in done.stderr
    assert (tmp_path / f"{name}.pyz").read_bytes() == b"the one before"


def test_what_is_copied_in_place_is_not_what_runs() -> None:
    arrives = upload_path(bundle.Bundle(path=".build/dr-host-0123456789ab.pyz", digest="0123456789ab"))
    assert arrives == "/opt/dr/uploads/dr-host-0123456789ab.pyz" and Path(arrives).parent != Path(TOOL_PATH).parent


SAYS = "import sys\nprint(sys.argv[1:], sys.stdin.read())\n"


@pytest.fixture
def installed(tmp_path: Path) -> bundle.Bundle:
    """Software that was put into its place, as the first link does it."""
    (tmp_path / "uploads").mkdir()
    made = tmp_path / "made.pyz"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("__main__.py", SAYS)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()[:32]
    made.rename(tmp_path / "uploads" / f"dr-host-{digest}.pyz")
    assert put(tmp_path, digest, "dr-host").returncode == 0
    return bundle.Bundle(path=f".build/dr-host-{digest}.pyz", digest=digest)


def start(tmp_path: Path, tool: bundle.Bundle) -> subprocess.CompletedProcess[str]:
    line = verified(tool, "postgres converge", path=str(tmp_path / "dr-host.pyz"))
    return subprocess.run(["sh", "-c", f"timeout 20 {line}"], input="DOC", capture_output=True, text=True, check=False)


def test_what_was_put_there_starts_with_its_document_with_bytecode_and_without(
    tmp_path: Path, installed: bundle.Bundle
) -> None:
    for _ in range(2):
        done = start(tmp_path, installed)
        assert (done.returncode, done.stdout) == (0, "['postgres', 'converge'] DOC\n"), done.stderr
        if bytecode.wanted(tmp_path / "dr-host.pyz"):
            bytecode.add(tmp_path / "dr-host.pyz")
    assert len((tmp_path / f"dr-host.pyz{RECORD}").read_text().split()) == 3, "as it was sent, twice, and with bytecode"


def changed(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("sitecustomize.py", "")


@pytest.mark.parametrize(
    "change",
    [
        changed,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.with_name(f"{path.name}{RECORD}").unlink(),
        lambda path: path.with_name(f"{path.name}{RECORD}").write_text(""),
        lambda path: path.with_name(f"{path.name}{RECORD}").write_text(
            f"{'0' * 64} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        ),
        lambda path: path.unlink(),
    ],
    ids=["a file more", "a byte less", "no record", "an empty record", "another's record", "no archive"],
)
def test_anything_else_is_refused_with_a_sentence_and_not_started(
    tmp_path: Path, installed: bundle.Bundle, change: Callable[[Path], object]
) -> None:
    change(tmp_path / "dr-host.pyz")
    done = start(tmp_path, installed)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[-1].startswith(
        f"ERROR software: file {tmp_path}/dr-host.pyz: found other contents than this run has put there"
    )
    assert f"copy .build/dr-host-{installed.digest}.pyz to /opt/dr/uploads there, raise dr:repair" in done.stderr


def test_an_older_software_is_not_what_this_run_has_put_there(tmp_path: Path, installed: bundle.Bundle) -> None:
    done = start(tmp_path, bundle.Bundle(path=".build/dr-host-new.pyz", digest="f" * 32))
    assert done.returncode == 3


@pytest.mark.parametrize("done", range(14))
def test_an_installation_that_was_killed_anywhere_is_finished_by_the_next(
    tmp_path: Path, installed: bundle.Bundle, done: int
) -> None:
    """The shell is killed behind so many steps; then the same comes again, as the next run does it."""
    newer = tmp_path / "newer.pyz"
    with zipfile.ZipFile(newer, "w") as archive:
        archive.writestr("__main__.py", f"{SAYS}# newer\n")
    tool = bundle.Bundle(path=".build/x", digest=hashlib.sha256(newer.read_bytes()).hexdigest()[:32])
    arrived = tmp_path / "uploads" / f"dr-host-{tool.digest}.pyz"
    newer.rename(arrived)
    steps = install_steps(tool.digest, str(arrived), str(tmp_path / "dr-host.pyz"))
    assert len(steps) == 14
    killed = subprocess.run(["sh", "-c", "; ".join(["set -eu", *steps[:done], "kill -9 $$"])], check=False)
    assert killed.returncode == -9
    assert put(tmp_path, tool.digest, "dr-host").returncode == 0
    assert start(tmp_path, tool).returncode == 0
