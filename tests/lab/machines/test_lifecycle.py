"""`lab up`, `status`, `exec`, `fault`, `down`, by the command line; and that nothing stays behind, whatever happened in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.__main__ import main
from lab.machines import cleanup, image
from lab.machines.shell import run
from lab.namespace import NETNS, Places, cgroup_mount, entered
from tests.lab.machines.bench import GRA, make_bench, make_namespace

pytestmark = pytest.mark.lab
PROJECT = Path(__file__).resolve().parents[3]
NAME = f"drl{os.getpid()}"


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DRLAB_NAME": NAME, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "lab", *arguments]
    return subprocess.run(
        command,
        env=environment,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def places() -> Places:
    return Places(NAME, Path("/run") / NAME, Path("/var/lib") / NAME, cgroup_mount() / NAME)


def traces() -> dict[str, list[str]]:
    """Whatever a lab could leave on the machine: anything that bears its name."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if NAME in line]
    loops = [line for line in run("test", ["losetup", "--list", "--noheadings"]).splitlines() if NAME in line]
    namespaces = [entry.name for entry in NETNS.iterdir() if entry.name.startswith(NAME)] if NETNS.exists() else []
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{NAME}")]
    folders = [
        str(path)
        for base in ("/run", "/var/lib", "/run/systemd/nspawn/propagate")
        for path in Path(base).glob(f"{NAME}*")
    ]
    return {
        "mounts": mounts,
        "loops": loops,
        "namespaces": namespaces,
        "groups": groups,
        "folders": folders,
        "processes": processes(),
    }


def processes() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line, member = (entry / "cmdline").read_bytes(), (entry / "cgroup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # One that has ended and waits for its parent has no command line.
        if line and f"/{NAME}" in member:
            found.append(line.decode(errors="replace").replace("\0", " "))
    return found


ASK = """
for url in sys.argv[1:]:
    try:
        print(r.urlopen(url, timeout=5).status)
    except e.HTTPError as error:
        print(error.code)
"""
STORE = """
import sys, boto3
from botocore.config import Config
from botocore.exceptions import ClientError
config = Config(retries=dict(total_max_attempts=1), s3=dict(addressing_style="path"))
s3 = boto3.client("s3", endpoint_url="http://192.0.2.12:7070", region_name="de", aws_access_key_id="{access}", aws_secret_access_key="{secret}", config=config)
try:
    if sys.argv[1] == "make":
        s3.create_bucket(Bucket="truth")
        s3.put_object(Bucket="truth", Key="key", Body=b"data")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="truth").get("Contents", [])]
    print(keys, *([s3.get_object(Bucket="truth", Key="key")["Body"].read()] if sys.argv[1] == "look" else []))
except ClientError as error:
    print(error.response["Error"]["Code"])
"""
NOTHING: dict[str, list[str]] = {
    "mounts": [],
    "loops": [],
    "namespaces": [],
    "groups": [],
    "folders": [],
    "processes": [],
}


@pytest.fixture
def running() -> Iterator[None]:
    assert traces() == NOTHING
    done = lab("up")
    assert done.returncode == 0, done.stderr
    yield
    cleanup.remove(places())
    assert traces() == NOTHING


def test_up_answers_and_a_second_up_changes_nothing(running: None) -> None:
    described = json.loads((places().run / "lab.json").read_text())
    assert (places().run / "lab.json").stat().st_mode & 0o077 == 0
    assert set(described) == {"openstack", "ovh", "init", "regions", "s3", "s3_tls", "root_s3", "dns"}
    assert set(described["regions"]["GRA11"]) == {"ext_net_id", "image_id", "flavors", "lb_flavor_id"}
    again = lab("up")
    assert again.returncode == 3
    assert "runs already" in again.stderr
    urls = (
        described["openstack"]["auth_url"],
        described["s3"]["de"]["endpoint"],
        described["s3"]["gra"]["endpoint"],
        "http://198.51.100.2:8774/",
    )
    code = "import sys, urllib.request as r, urllib.error as e\n" + ASK
    answered = lab("exec", "--", sys.executable, "-c", code, *urls)
    assert answered.returncode == 0, answered.stderr
    assert len(answered.stdout.split()) == len(urls), answered.stdout
    assert json.loads(lab("status").stdout)["storage"] == {"gra": True, "sbg": True, "de": True}


def test_exec_uses_the_labs_resolver_and_gives_the_commands_status(running: None) -> None:
    done = lab("exec", "--", "sh", "-c", "cat /etc/resolv.conf; exit 7")
    assert done.returncode == 7
    assert done.stdout.startswith("nameserver 192.0.2.53\n")
    assert "192.0.2.53" not in Path("/etc/resolv.conf").read_text()


def test_faults_begin_and_end_by_the_command_line(running: None) -> None:
    for arguments in (
        ("storage", "sbg"),
        ("api", "compute@a", "429"),
        ("region", "a"),
        ("link", "a->b"),
        ("dns-refresh", "refused"),
        ("name-server", "2"),
    ):
        kind, *rest = arguments
        assert lab("fault", kind, "kill", *rest).returncode == 0
    status = json.loads(lab("status").stdout)
    assert [fault["kind"] for fault in status["faults"]] == [
        "storage",
        "api",
        "region",
        "link",
        "dns-refresh",
        "name-server",
    ]
    assert status["storage"] == {"gra": False, "sbg": False, "de": True}
    twice = lab("fault", "region", "kill", "a")
    assert (twice.returncode, "in force already" in twice.stderr) == (3, True)
    assert lab("fault", "region-hosts", "kill", "a").returncode == 3
    reach = ("exec", "--", "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/203.0.113.2/8774")
    assert lab(*reach).returncode == 124, "packets to a dead region vanish"
    assert lab("fault", "return-all").returncode == 0
    assert json.loads(lab("fault", "list").stdout) == []
    assert lab(*reach).returncode == 0
    assert json.loads(lab("status").stdout)["storage"] == {"gra": True, "sbg": True, "de": True}


def test_a_storage_region_lies_and_tells_the_truth_again(running: None) -> None:
    root = json.loads((places().run / "lab.json").read_text())["root_s3"]
    code = STORE.format(access=root["access_key"], secret=root["secret_key"])

    def listing(step: str) -> str:
        return lab("exec", "--", sys.executable, "-c", code, step).stdout.strip()

    assert listing("make") == "['key']"
    assert lab("fault", "storage-lies", "kill", "de", "empty").returncode == 0
    assert listing("look") == "[] b'data'"
    assert lab("fault", "storage-lies", "return", "de").returncode == 0
    assert lab("fault", "storage-lies", "kill", "de").returncode == 0
    assert listing("look") == "SlowDown"
    assert lab("fault", "return-all").returncode == 0
    assert listing("look") == "['key'] b'data'"


def test_wrong_words_are_refused_with_what_is_wanted(running: None) -> None:
    for arguments, wanted in (
        (("explode", "kill"), "wanted one of host, region-hosts"),
        (("host", "kill", "db-9"), "wanted one of"),
        (("region", "kill", "c"), "wanted one of a, b"),
        (("api", "kill", "nova@a"), "compute@a"),
        (("link", "kill", "a-b"), "wanted `both`"),
        (("storage", "return", "gra"), "not in force"),
        (("slow-link", "kill", "fast"), "as 1mbit"),
    ):
        done = lab("fault", *arguments)
        assert done.returncode in (1, 2, 3), arguments
        assert wanted in done.stderr
        assert "Traceback" not in done.stderr
    assert json.loads(lab("fault", "list").stdout) == []


def test_down_leaves_nothing_also_after_the_daemon_was_killed(running: None) -> None:
    pid = int((places().run / "daemon.pid").read_text())
    assert len(processes()) > 5
    os.kill(pid, 9)
    assert lab("status").returncode == 3
    done = lab("down")
    assert done.returncode == 0, done.stderr
    assert traces() == NOTHING
    assert "there was none" in lab("down").stdout


def test_up_after_a_crash_starts_afresh(running: None) -> None:
    before = (places().run / "lab.json").read_text()
    os.kill(int((places().run / "daemon.pid").read_text()), 9)
    done = lab("up")
    assert done.returncode == 0, done.stderr
    assert (places().run / "lab.json").read_text() != before


def test_hosts_volumes_and_balancers_go_without_their_daemon_telling_of_them() -> None:
    make_namespace(places())
    try:
        with entered(places().netns):
            bench = make_bench(places(), image.ensure())
            bench.build("")
            bench.machines.create_volume(GRA, "volume", 1)
            bench.machines.attach_volume(GRA, bench.servers[GRA].server_id, "volume")
        found = cleanup.leftovers(places())
        assert {kind: sum(line.startswith(kind) for line in found) for kind in ("mount", "loop", "network")} == {
            "mount": 2,
            "loop": 1,
            "network": 5,
        }
    finally:
        troubles = cleanup.remove(places())
    assert troubles == []
    assert traces() == NOTHING


def test_mounts_that_a_killed_nspawn_left_go_too(running: None) -> None:
    left = Path("/run/systemd/nspawn/unix-export") / f"{NAME}-h-x"
    left.mkdir(parents=True)
    run("test", ["mount", "-t", "tmpfs", "none", str(left)])
    assert lab("down").returncode == 0
    assert not left.exists()
    assert traces() == NOTHING


def test_a_namespace_of_somebody_else_is_left_alone() -> None:
    run("test", ["ip", "netns", "add", NAME])
    try:
        done = lab("up")
        assert done.returncode == 3
        assert f"ip netns delete {NAME}" in done.stderr
        assert (NETNS / NAME).exists()
    finally:
        run("test", ["ip", "netns", "delete", NAME])


def test_only_root_can_bring_a_lab_up_and_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DRLAB_NAME", NAME)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert (main(["up"]), main(["down"])) == (2, 2)
    assert capsys.readouterr().err.count("found uid 65534, wanted root") == 2


def test_without_a_lab_every_command_says_how_to_start_one() -> None:
    for arguments in (("status",), ("exec", "--", "true"), ("fault", "list")):
        done = lab(*arguments)
        assert done.returncode == 3
        assert "start it with `lab up`" in done.stderr
