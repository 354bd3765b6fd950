"""Units of this software as systemd itself judges them: how much of the machine is open to each, from 0 to 10."""

from __future__ import annotations

import ast
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.lease import Lease
from contract.services.logs import Forward
from contract.services.processes import Process, processes
from lab.pairs.postgres import Node
from lab.pairs.redis import Pair
from scripts.host.agent import files as agent
from scripts.host.app import caches
from scripts.host.app.names import CACHES_UNIT
from scripts.host.app.units import units
from scripts.host.archive import config as archive
from scripts.host.archive.desired import Desired as ArchiveDesired
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.assets import Assets
from scripts.host.assets import Desired as AssetsDesired
from scripts.host.frame.files import ManagedFile
from scripts.host.frame.layout import Layout
from scripts.host.frame.systemd import Systemd, sandbox
from scripts.host.host import authlog, hardening
from scripts.host.host.certificate import install as certificate
from scripts.host.host.logs.verbs import Desired as Copying
from scripts.host.host.logs.verbs import Logs
from scripts.host.host.monitoring.service import Desired as Watching
from scripts.host.host.monitoring.service import Monitoring
from scripts.host.host.sshd import Sshd
from scripts.host.postgres import config as postgres
from scripts.host.postgres.desired import Desired as PostgresDesired
from scripts.host.postgres.layout import PostgresLayout
from scripts.host.redis import config as redis
from scripts.host.redis.engine import ENGINES
from scripts.host.redis.sentinel import Sentinel
from tests.host.archive.test_rules import document as archive_document
from tests.host.test_assets import document as assets_document
from tests.host.test_logs import document as logs_document
from tests.host.test_monitoring import document as monitoring_document

HOST = Path(__file__).resolve().parents[2] / "scripts/host"
MOST = 3.0
JOBS, MOST_OF_JOBS = (
    re.compile(r"dr-(assets-|archive-|authlog\.|certificate\.|status-page\.)"),
    2.0,
)  # those that need nothing of root's
NOWHERE = Layout(Path("/nowhere"))
TLS = {"ca": "c", "cert": "c", "key": "k"}


def of_agent() -> list[ManagedFile]:
    bound = [*agent.bonds(NOWHERE, "postgres"), *agent.bonds(NOWHERE, "redis")]
    return [agent.unit_file(NOWHERE, Lease()), *agent.deadman_files(NOWHERE, "postgres"), *bound]


def of_app() -> list[ManagedFile]:
    given = {"nightly": Process(schedule="@daily"), "mailer": Process(active_only=False)}
    found, _ = processes("web: puma\nworker: x\nmailer: x\nnightly: x\nrelease: x\n", given)
    texts = {**units(found, "/opt/shop/releases/abc", 300, first=True).texts, CACHES_UNIT: caches.UNIT}
    return [ManagedFile(path=NOWHERE.units / name, content=text) for name, text in texts.items()]


def of_archive() -> list[ManagedFile]:
    desired = ArchiveDesired.read(archive_document())
    return archive.managed_files(desired, ArchiveLayout(PostgresLayout(NOWHERE)))


def of_assets() -> list[ManagedFile]:
    return Assets(AssetsDesired.read(assets_document()), NOWHERE, Systemd(), print).files()


def of_authlog() -> list[ManagedFile]:
    return authlog.Installation(True, "a", "db-1", NOWHERE, Systemd()).files()


def of_certificate() -> list[ManagedFile]:
    units = [("dr-certificate.service", certificate.ORDERS), ("dr-certificate-take.service", certificate.TAKES)]
    return [ManagedFile(path=NOWHERE.units / name, content=text) for name, text in units]


def of_hardening() -> list[ManagedFile]:
    return hardening.Hardening(True, Sshd(AssetsDesired.read(assets_document()).envelope), NOWHERE, Systemd()).files()


def of_monitoring() -> list[ManagedFile]:
    return Monitoring(Watching.read(monitoring_document("control-1")), NOWHERE, Systemd()).early()


def of_logs() -> list[ManagedFile]:
    told = logs_document("control-1", store=Forward(url="https://logs.example", user="shop", password="word"))
    return Logs(Copying.read(told), NOWHERE, Systemd()).files()


def of_postgres() -> list[ManagedFile]:
    node = Node("a", NOWHERE.root, TLS, {"a": 5432, "b": 5433})
    return postgres.managed_files(PostgresDesired.read(node.document(1, "a")), PostgresLayout(NOWHERE))


def of_redis() -> list[ManagedFile]:
    with tempfile.TemporaryDirectory() as folder:
        desired = redis.Desired.read(Pair(Path(folder)).a.document(1, "a"))
    return redis.files(desired, ENGINES[0], NOWHERE, follows=None)


def of_sentinel(layout: Layout = NOWHERE) -> list[ManagedFile]:
    with tempfile.TemporaryDirectory() as folder:
        desired = redis.Desired.read(Pair(Path(folder)).a.document(1, "a"))
    return [Sentinel(desired, desired.envelope.role(), ENGINES[0], layout, Systemd())._unit()]


# Whatever writes a unit or a part of one, and what renders it here. A mount has no process.
WRITERS: dict[str, Callable[[], list[ManagedFile]] | None] = {
    "agent/files.py bonds": of_agent,
    "agent/files.py deadman_files": of_agent,
    "agent/files.py unit_file": of_agent,
    "app/caches.py files": of_app,
    "app/files.py groups": of_app,
    "archive/config.py _path": of_archive,
    "archive/config.py _service": of_archive,
    "archive/config.py _timer": of_archive,
    "archive/config.py epoch_service": of_archive,
    "assets.py files": of_assets,
    "host/authlog.py files": of_authlog,
    "host/certificate/install.py files": of_certificate,
    "host/hardening.py files": of_hardening,
    "host/monitoring/page/job.py wanted": of_monitoring,
    "host/monitoring/service.py _started": of_monitoring,
    "host/monitoring/service.py early": of_monitoring,
    "host/logs/verbs.py _store": of_logs,
    "host/logs/verbs.py files": of_logs,
    "postgres/config.py managed_files": of_postgres,
    "postgres/volume.py mount": None,
    "redis/config.py files": of_redis,
    "redis/sentinel.py _unit": of_sentinel,
}
RENDERED = {
    str(file.path.relative_to(NOWHERE.units)): file.content
    for render in dict.fromkeys(filter(None, WRITERS.values()))
    for file in render()
    if file.path.is_relative_to(NOWHERE.units)
}
UNITS = {name: text for name, text in RENDERED.items() if name.endswith(".service")}
DROP_INS = {name: text for name, text in RENDERED.items() if ".service.d/" in name}
# All that is said in a unit of somebody else's package: its own box stays as that package has it (decision 22).
SAID = {
    "Unit": {"BindsTo", "After", "ConditionPathExists", "StartLimitIntervalSec"},
    "Service": {"ExecStartPre", "ExecStart", "Restart", "RestartSec", "RestartSteps", "RestartMaxDelaySec"}
    | {"TimeoutStartSec", "TimeoutStopSec", "StateDirectory", "StateDirectoryMode", "UMask"}
    | {"Environment", "MemoryMax", "Nice"},
}

# They listen, and are given what is asked of every unit of ours.
WATCHING = [name for name in DROP_INS if name.startswith("prometheus")]
BOXED = {*sandbox([]).splitlines(), "SystemCallFilter=adjtimex clock_adjtime"} | {
    f"ReadWritePaths=-/var/lib/prometheus/{name}" for name in ("metrics2", "alertmanager")
}


def writers() -> Iterator[str]:
    """Functions of the hosts' software that write below the folder of units, by their source."""
    for path in sorted(HOST.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and path.name != "systemd.py" and _writes(function):
                yield f"{path.relative_to(HOST)} {function.name}"


def _writes(function: ast.FunctionDef) -> bool:
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    names = {(call.func.id if isinstance(call.func, ast.Name) else ""): call for call in calls}
    files = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "ManagedFile"]
    return bool({"drop_in", "guard_drop_in"} & set(names)) or any(
        re.search(r"\bunits /", ast.unparse(call)) for call in files
    )


def exposure(folder: Path, name: str, text: str) -> float:
    """Also that systemd understands every line."""
    unit = folder / name
    unit.write_text(text)
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    assert found is not None, told.stderr
    unknown = set(re.findall(r"Unknown key '(\w+)'", told.stderr)) - {
        "RestartMaxDelaySec",
        "RestartMode",
        "RestartSteps",
    }  # since systemd 254
    assert not unknown and "Failed to parse" not in told.stderr
    return float(found[1])


def test_whatever_writes_a_unit_is_judged() -> None:
    assert sorted(writers()) == sorted(WRITERS), "a unit that nobody looks at may be open to all of the machine"
    assert len(UNITS) >= 14 and len(DROP_INS) >= 6


@pytest.mark.parametrize("name", UNITS)
def test_little_of_the_machine_is_open_to_a_unit(tmp_path: Path, name: str) -> None:
    most = MOST_OF_JOBS if JOBS.match(name) else MOST
    assert exposure(tmp_path, name, UNITS[name]) <= most


@pytest.mark.parametrize("name", [name for name in UNITS if JOBS.match(name)])
def test_a_job_is_not_roots_and_has_nothing_of_its_power(name: str) -> None:
    lines = UNITS[name].splitlines()
    users = [line for line in lines if line.startswith(("User=", "DynamicUser="))]
    assert users in (["User=dr-assets"], ["User=postgres"], ["DynamicUser=yes"])
    assert "CapabilityBoundingSet=" in lines
    assert not any(line.startswith("AmbientCapabilities") for line in lines)
    # Before the archive is found to be what was put there nothing of it runs, and that is all that root does.
    roots = [line for line in lines if re.match(r"Exec\w+=[-:@]*[+!]", line)]
    assert len(roots) == 1 and "sha256sum" in roots[0]


@pytest.mark.parametrize("name", UNITS)
def test_no_unit_takes_from_others_of_its_user_when_it_ends(name: str) -> None:
    """A job of PostgreSQL's user with `RemoveIPC` takes the shared memory of the server, which then lets nobody in. A user of its own has no others."""
    lines = UNITS[name].splitlines()
    assert "DynamicUser=yes" in lines or not any(line.startswith("RemoveIPC=") for line in lines)


@pytest.mark.parametrize("name", DROP_INS)
def test_a_unit_of_another_package_keeps_the_box_that_it_has(name: str) -> None:
    section = ""
    for line in DROP_INS[name].splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif name not in WATCHING or line not in BOXED:
            assert line.partition("=")[0] in SAID[section], line


@pytest.mark.parametrize("name", WATCHING)
def test_little_of_the_machine_is_open_to_who_watches(tmp_path: Path, name: str) -> None:
    """Debian has a box for Prometheus alone."""
    unit = name.partition(".d/")[0]
    assert exposure(tmp_path, unit, DROP_INS[name].replace("[Service]", "[Service]\nUser=prometheus", 1)) <= MOST
