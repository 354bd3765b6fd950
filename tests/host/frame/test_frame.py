"""What every verb of dr-host shares: arguments, documents, exit codes, locks, files, and the base of a host."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ExitCode, Failed, Refused, Usage
from contract.services import assets
from scripts.host.__main__ import main
from scripts.host.frame import cli, plan, rolefile, systemd
from scripts.host.frame.call import Call, Verb
from scripts.host.frame.commands import TIMED_OUT, Done
from scripts.host.frame.desired import read
from scripts.host.frame.files import ManagedFile, with_block, write_atomically
from scripts.host.frame.layout import Layout
from scripts.host.frame.locks import hold
from scripts.host.frame.log import Log
from scripts.host.frame.plan import LOOK_AGAIN, Step, converge
from scripts.host.frame.rolefile import PRIMARY, STANDBY, Role
from scripts.host.host import service as base

BUCKET = {"endpoint": "http://s3", "region": "gra", "bucket": "assets", "access_key": "k", "secret_key": "A-SECRET"}
DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "site": "a",
    "peer": "b",
    "host": "db-1",
    "request": "a",
    "hosts": {"db-1.a": {"name": "db-1.a.dr.internal", "vrack": "10.100.0.11", "front": "10.1.0.11"}},
    "tls": {"ca": "CA\n", "cert": "CERT\n", "key": "KEY-SECRET\n"},
    "epoch": {"epoch": 1, "active": "a", "previous": None, "planned": True, "checkpoint": None, "fence": {"rung": 1}},
}
SETUP: dict[str, Any] = {
    "packages": [],
    "witness": {"endpoint": "http://w", "region": "de", "bucket": "w", "access_key": "k", "secret_key": "W-SECRET"},
}
ASSETS: dict[str, Any] = {**DOCUMENT, "assets": {"source": BUCKET, "target": BUCKET}}
HOST: dict[str, Any] = {**DOCUMENT, "setup": SETUP}


def call(root: Path, *argv: str, document: Any = None) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    if document is None:
        document = HOST if argv[0] == "host" else ASSETS
    text = document if isinstance(document, str) else json.dumps(document)
    code = main(argv, stdin=io.StringIO(text), stdout=out, stderr=err, layout=Layout(root))
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("argv", "document", "says"),
    [
        (("nothing", "converge"), ASSETS, "arguments"),
        (("assets", "dance"), ASSETS, "wanted one of converge"),
        (("assets", "converge"), "{", "found no JSON (line 1"),
        (("assets", "converge"), [], "no object"),
        (
            ("assets", "converge"),
            {**ASSETS, "schema": 2},
            "document.schema: found a number, wanted a whole number from 1 to 1",
        ),
        (
            ("assets", "converge"),
            {**ASSETS, "site": 5, "hosts": []},
            "document.site: found a number, wanted a or b; document.hosts: found a list",
        ),
    ],
)
def test_bad_input_is_exit_2_one_line_and_changes_nothing(
    tmp_path: Path, argv: tuple[str, ...], document: Any, says: str
) -> None:
    code, out, err = call(tmp_path, *argv, document=document)
    assert (code, out) == (2, "")
    assert says in err and len(err.splitlines()) == 1 and "SECRET" not in err
    assert not (tmp_path / "var").exists()


def test_converge_prints_the_same_bytes_whether_or_not_it_changed_anything(tmp_path: Path) -> None:
    first, second = call(tmp_path, "host", "converge"), call(tmp_path, "host", "converge")
    assert first[0] == second[0] == 0
    assert (
        first[1]
        == second[1]
        == '{"facts": {"name": "db-1.a.dr.internal", "packages": []}, "op": "host converge", "schema": 1}\n'
    )
    assert "changed: true" in first[2] and "changed: false" in second[2]
    last = json.loads((tmp_path / "var/lib/dr/last/host.json").read_text())
    assert (last["changed"], last["actions"]) == (False, [])
    assert json.loads(call(tmp_path, "host", "converge", "--report")[1])["changed"] is False


def test_base_files_have_their_modes_and_a_hosts_block_once(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("127.0.0.1 localhost\n")
    check = call(tmp_path, "host", "converge", "--check")
    assert json.loads(check[1])["changed"] is True and not (tmp_path / "etc/dr").exists()
    for _ in range(2):
        code, out, err = call(tmp_path, "host", "converge")
        assert code == 0 and "SECRET" not in out + err
    assert (
        tmp_path / "etc/hosts"
    ).read_text() == "127.0.0.1 localhost\n# begin dr hosts\n10.100.0.11 db-1.a.dr.internal\n# end dr hosts\n"
    modes = {
        name: (tmp_path / "etc/dr" / name).stat().st_mode & 0o777 for name in ("ca.pem", "host.key", "witness.json")
    }
    assert modes == {"ca.pem": 0o644, "host.key": 0o600, "witness.json": 0o600}


def test_what_messages_and_documents_call_dr_host_is_a_command_on_a_host(tmp_path: Path) -> None:
    call(tmp_path, "host", "converge")
    command = tmp_path / "usr/local/sbin/dr-host"
    assert command.stat().st_mode & 0o777 == 0o755
    tool = tmp_path / "tool.py"
    tool.write_text("import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(3)")
    text = command.read_text()
    assert "/opt/dr/dr-host.pyz" in text
    command.write_text(text.replace("/opt/dr/dr-host.pyz", str(tool)))
    done = subprocess.run(
        [str(command), "postgres", "stop", "a b"], input="{}", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "['postgres', 'stop', 'a b'] {}\n")


def test_a_person_who_types_a_verb_that_reads_is_not_left_waiting(tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def read(self, *_: Any) -> str:
            raise AssertionError("nobody ends it")

    err = io.StringIO()
    code = main(["postgres", "resume"], stdin=Terminal(), stdout=io.StringIO(), stderr=err, layout=Layout(tmp_path))
    assert code == ExitCode.USAGE and "`echo '{}' | dr-host postgres resume`" in err.getvalue()


def test_a_host_that_asks_nothing_at_the_witness_keeps_no_key_to_it(tmp_path: Path) -> None:
    """Not even the one that an earlier version has left there, which could say which region is active."""
    call(tmp_path, "host", "converge")
    file = tmp_path / "etc/dr/witness.json"
    assert "W-SECRET" in file.read_text()
    setups: list[dict[str, Any]] = [{"packages": []}, {"packages": [], "witness": None}]
    for told in setups:
        file.write_text("W-SECRET")
        code, out, _ = call(tmp_path, "host", "converge", document={**DOCUMENT, "setup": told})
        assert code == 0 and not file.exists(), out
        done = json.loads((tmp_path / "var/lib/dr/last/host.json").read_text())["actions"]
        assert done == [f"forget {file}"]


def test_an_agent_without_a_witness_is_refused(tmp_path: Path) -> None:
    lease = {"lease_s": 30, "stop_s": 5, "margin_s": 5, "heartbeat_s": 2}
    document = {**DOCUMENT, "setup": {"packages": [], "witness": None, "lease": lease}}
    code, _, err = call(tmp_path, "host", "converge", document=document)
    assert code == 2 and "document.setup.witness" in err and not (tmp_path / "etc").exists()


def test_only_missing_packages_are_installed(tmp_path: Path) -> None:
    states = {"nginx": "install ok installed", "puma": "deinstall ok config-files", "ruby": "hold ok installed"}
    status = "\n".join(f"Package: {name}\nEssential: no\nStatus: {state}\n" for name, state in states.items())
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(status)
    assert base.installed_packages(Layout(tmp_path)) == {"nginx", "ruby"}
    document = {**DOCUMENT, "setup": {**SETUP, "packages": ["nginx", "puma", "ruby"]}}
    actions = json.loads(call(tmp_path, "host", "converge", "--check", document=document)[1])["actions"]
    assert actions[-1] == "install puma"


def test_a_block_is_replaced_where_it_stands() -> None:
    text = "one\n# begin x\nold\n# end x\ntwo\n# begin x\nolder\n# end x\n"
    assert with_block(text, "x", ["new"]) == "one\n# begin x\nnew\n# end x\ntwo\n"
    assert with_block("one", "x", ["new"]) == "one\n# begin x\nnew\n# end x\n"


def test_a_managed_file_differs_by_content_and_by_mode(tmp_path: Path) -> None:
    file = ManagedFile(path=tmp_path / "sub" / "file", content="é\n", mode=0o600)
    assert file.differs()
    file.write()
    assert not file.differs()
    file.path.chmod(0o644)
    assert file.differs()
    assert [path.name for path in file.path.parent.iterdir()] == ["file"], "nothing half-written stays"


def test_long_work_in_the_background_keeps_no_converge_waiting(tmp_path: Path) -> None:
    for verb, why in (("check", "no record of what was prepared"), ("drain", "")):
        layout, err, text = Layout(tmp_path), io.StringIO(), io.StringIO("{}")
        with hold(layout, "archive"):  # each minute's check, and a take-over's drain, beside a converge
            code = main(["archive", verb], stdin=text, stdout=io.StringIO(), stderr=err, layout=layout)
        assert code == (ExitCode.FAILED if why else ExitCode.DONE) and why in err.getvalue(), (
            "it ran, and has that to say"
        )
    assert (layout.run / "archive-drain.lock").exists()


def test_a_second_run_is_refused_while_the_first_holds_the_lock(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with hold(layout, "postgres"), pytest.raises(Refused, match="held by process"), hold(layout, "postgres", 0.05):
        pass
    with hold(layout, "postgres", 0.05):
        assert (layout.run / "postgres.lock").exists()


@pytest.mark.parametrize(
    ("error", "code"), [(Failed("it"), 1), (Usage("it"), 2), (Refused("it"), 3), (KeyError("W-SECRET"), 1)]
)
def test_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int) -> None:
    def fails(_: object) -> Any:
        raise error

    monkeypatch.setattr(cli, "_verb", lambda module, service, verb: Verb(fails))
    found = call(tmp_path, "assets", "converge")
    assert found[0] == code and found[1] == ""
    assert found[2].splitlines()[-1].startswith("ERROR assets converge: ")
    assert "W-SECRET" not in found[2]


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        ([], "found 0 words"),
        (["redis"], "found 1 words"),
        (["redis", "status", "more"], "found 3 words"),
        (["nothing", "status"], "service 'nothing', wanted one of agent, app"),
        (["redis", "status", "--now"], "found '--now', wanted none but --check, --report"),
        (["redis", "nothing"], "verb of redis: found 'nothing'"),
    ],
)
def test_what_is_no_call_is_usage_and_one_line(tmp_path: Path, argv: list[str], found: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    assert main(argv, stdin=io.StringIO("{}"), stdout=out, stderr=err, layout=Layout(tmp_path)) == ExitCode.USAGE
    assert out.getvalue() == "" and len(err.getvalue().splitlines()) == 1
    assert found in err.getvalue() and "nothing was changed; " in err.getvalue()


def raised(number: int, *paths: str) -> OSError:
    return OSError(number, os.strerror(number), *([paths[0], None, *paths[1:]] if paths else []))


@pytest.mark.parametrize(
    ("error", "says", "remedy"),
    [
        (raised(errno.EROFS, "/etc/redis/dr.conf"), "file /etc/redis/dr.conf: found Read-only file system", "remount"),
        (
            raised(errno.ENOSPC, "/var/lib/dr/role.json"),
            "file /var/lib/dr/role.json: found No space left on device",
            "df -h",
        ),
        (raised(errno.EACCES, "/etc/redis"), "file /etc/redis: found Permission denied", "namei"),
        (raised(errno.EXDEV, "/a", "/b"), "file /a and /b: found Invalid cross-device link", "journalctl -k"),
        (raised(errno.EIO), "unexpected OSError (Input/output error)", "lines above"),
        (OSError("W-SECRET"), "unexpected OSError (no reason given)", "lines above"),
    ],
)
def test_what_the_system_refuses_is_told_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, says: str, remedy: str
) -> None:
    def fails(_: object) -> Any:
        raise error

    monkeypatch.setattr(cli, "_verb", lambda module, service, verb: Verb(fails))
    code, out, err = call(tmp_path, "assets", "converge")
    last = err.splitlines()[-1]
    assert (code, out) == (1, "") and says in last and remedy in last and "what was done so far stands" in last
    assert "W-SECRET" not in err and ("Traceback" in err or 'File "' in err) is ("unexpected" in last)


@pytest.mark.parametrize("broken", ["open", "fsync", "write"])
def test_a_file_that_cannot_be_written_is_named_and_not_the_one_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "dr.conf"

    def fails(*_: object, **__: object) -> Any:
        raise raised(errno.ENOSPC)

    patched = {"open": "os.open", "fsync": "os.fsync", "write": "os.fchmod"}[broken]
    monkeypatch.setattr(f"scripts.host.frame.files.{patched}", fails)
    with pytest.raises(OSError, match="No space left") as found:
        write_atomically(path, b"content")
    assert (found.value.filename, list(tmp_path.iterdir())) == (str(path), [])


def test_a_read_only_folder_is_told_with_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "dr.conf"
    with pytest.raises(FileNotFoundError) as found:
        write_atomically(path, b"content")
    assert found.value.filename == str(path)


class Counter:
    """A service that needs two rounds."""

    def __init__(self, broken: bool = False) -> None:
        self.state, self.broken = 0, broken

    def facts(self) -> int:
        return self.state

    def plan(self, facts: int) -> list[Step]:
        return {0: [Step("up"), LOOK_AGAIN], 1: [Step("up", "again")]}.get(facts, [])

    def apply(self, step: Step) -> None:
        self.state += 0 if self.broken else 1

    def verify(self, facts: int) -> dict[str, Any]:
        return {"state": facts}


def test_a_plan_may_ask_to_look_again_but_not_for_ever(tmp_path: Path) -> None:
    request = Call("x", "converge", {}, Layout(tmp_path), Log(io.StringIO(), "x converge"))
    done = converge(Counter(), request)
    assert (done.actions, done.facts, done.changed) == (["up", "up again"], {"state": 2}, True)
    with pytest.raises(Failed, match="rounds"):
        converge(Counter(broken=True), request)


def test_the_role_comes_from_the_epoch_alone() -> None:
    envelope, _ = read({**ASSETS, "request": "b"}, "assets", assets.Block)
    assert envelope.active and envelope.role().role == "primary"
    other, _ = read({**ASSETS, "epoch": {**DOCUMENT["epoch"], "epoch": 2, "active": "b"}}, "assets", assets.Block)
    assert (other.role().role, other.role().epoch) == ("standby", 2)


class Nothing:
    """A service in which everything is as wanted; it says when it was looked at."""

    def __init__(self) -> None:
        self.looked = 0

    def facts(self) -> int:
        self.looked += 1
        return self.looked

    def plan(self, facts: int) -> list[Step]:
        return []

    def apply(self, step: Step) -> None:
        raise AssertionError(step)

    def verify(self, facts: int) -> dict[str, object]:
        return {}


@pytest.mark.parametrize("check", [False, True])
def test_no_host_goes_back_in_epochs(tmp_path: Path, check: bool) -> None:
    layout, service = Layout(tmp_path), Nothing()
    Role("a", "b", STANDBY, 7).write(layout)

    def to(epoch: int) -> None:
        call = Call("app", "converge", {"epoch": {"epoch": epoch}}, layout, Log(io.StringIO(), "x"), check)
        plan.converge(service, call)

    for epoch in (1, 6):
        with pytest.raises(Refused, match=rf"found 7 \(standby\) in its role file, and {epoch} as the one in force"):
            to(epoch)
    assert service.looked == 0
    to(7)
    to(8)
    assert service.looked == 2
    with pytest.raises(Refused, match="nothing was changed"):
        Role("a", "b", PRIMARY, 6).write(layout)
    assert rolefile.read(layout) == Role("a", "b", STANDBY, 7)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("inactive", True),
        ("failed", True),
        ("active", False),
        ("activating", False),
        ("deactivating", False),
        ("", False),
    ],
)
def test_a_unit_is_down_once_nothing_of_it_is_at_work(monkeypatch: pytest.MonkeyPatch, said: str, found: bool) -> None:
    monkeypatch.setattr(systemd, "run", lambda *_, **__: Done(0, f"{said}\n", ""))
    assert systemd.Systemd().down("dr-assets-sync.service") is found


@pytest.mark.parametrize(
    ("code", "left"), [(0, {"job.service": "inactive", "other.service": "failed"}), (TIMED_OUT, {"job.service": "failed", "other.service": "failed"})]
)  # fmt: skip
@pytest.mark.parametrize("verb", ["stop", "halt"])
def test_a_job_that_was_told_to_end_is_no_failed_unit(
    monkeypatch: pytest.MonkeyPatch, verb: str, code: int, left: dict[str, str]
) -> None:
    """A copier that is told to end says that it has not done all: it would be told as a failed unit for as long as its site is active."""
    states = {"other.service": "failed"}

    def systemctl(argv: list[str], **_: object) -> Done:
        states.update(dict.fromkeys(argv[2:], {"stop": "failed", "reset-failed": "inactive"}[argv[1]]))
        return Done(code, "", "")

    monkeypatch.setattr(systemd, "run", systemctl)
    it = systemd.Systemd()
    assert (it.stop("job.service", 30) if verb == "stop" else it.halt(["job.service"], 30)) is (code == 0)
    assert states == left


@pytest.mark.parametrize(
    ("state", "processes", "verb"),
    [
        ("ActiveState=activating\nSubState=start\nControlPID=0\nMainPID=0", 0, "restart"),
        ("ActiveState=activating\nSubState=start\nControlPID=0\nMainPID=0", 2, "start"),  # a server that recovers
        ("ActiveState=activating\nSubState=start-pre\nControlPID=7\nMainPID=0", 0, "start"),
        ("ActiveState=activating\nSubState=auto-restart\nControlPID=0\nMainPID=0", 0, "start"),
        ("ActiveState=inactive\nSubState=dead\nControlPID=0\nMainPID=0", 0, "start"),
        ("", 0, "start"),
    ],
)
def test_a_start_that_waits_for_nothing_is_replaced(
    monkeypatch: pytest.MonkeyPatch, state: str, processes: int, verb: str
) -> None:
    asked: list[list[str]] = []

    def systemctl(argv: list[str], **_: object) -> Done:
        asked.append(argv)
        return Done(0, state if argv[1] == "show" else "", "")

    monkeypatch.setattr(systemd, "run", systemctl)
    monkeypatch.setattr(systemd, "count_processes", lambda _: processes)
    systemd.Systemd().start("postgresql@17-main.service", 30)
    assert asked[-1] == ["systemctl", verb, "postgresql@17-main.service"]
