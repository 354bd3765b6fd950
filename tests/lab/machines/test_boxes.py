"""Whether units can do their work in the box that they are put into: a real systemd, PostgreSQL, pgBackRest and Sentinel of the guests' image."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from components import bundle
from scripts.host.archive import config as archive
from scripts.host.archive.desired import Desired, Memory
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.archive.word import TOLD
from scripts.host.frame.layout import Layout
from scripts.host.frame.wait import until
from scripts.host.redis.sentinel import UNIT as SENTINEL
from tests.host.archive.test_rules import document
from tests.host.test_sandbox import of_sentinel
from tests.lab.machines.bench import GRA, Bench

pytestmark = pytest.mark.lab
ROOT = Path(__file__).resolve().parents[3]
LAYOUT = ArchiveLayout()
# In place of a bucket: a folder that the job may write. Nothing else about the job is another one.
REPOSITORY = """[global]
repo1-path=/var/lib/dr/archive/repository-{name}
repo1-retention-full=2
archive-timeout=20
start-fast=y
compress-type=zst
spool-path={spool}
lock-path={locks}
log-path={logs}
log-level-console=off
log-level-stderr=warn
"""
# The word of a witness that nobody has to play, by whoever is handed the key and may read nothing else.
SAYS = """test "$(id -u)" -ne 0 && grep -q hidden "$CREDENTIALS_DIRECTORY/witness.json" && test ! -r /etc/dr/witness.json || exit 1
read -r up rest < /proc/uptime
echo "{\\"facts\\": {\\"epoch\\": 1, \\"active\\": \\"a\\", \\"silent\\": null, \\"asked\\": $up}}"
"""


def write(bench: Bench, path: str | Path, content: str | bytes, mode: str = "0644 root:root") -> None:
    bits, owner = mode.split()
    data = content.encode() if isinstance(content, str) else content
    line = f"sudo mkdir -p $(dirname {path}) && base64 -d | sudo tee {path} >/dev/null && sudo chown {owner} {path} && sudo chmod {bits} {path}"
    bench.ssh(GRA, line, base64.b64encode(data).decode())


@pytest.fixture
def primary(bench: Bench) -> Bench:
    """A database that archives into both repositories, prepared as `archive prepare` does it."""
    wanted = Desired.read(document())
    write(bench, archive.TOOL, (ROOT / bundle.dr_host(ROOT).path).read_bytes())
    write(bench, "/etc/dr/witness.json", '{"secret_key": "hidden"}', "0600 root:root")
    role = {"site": "a", "peer": "b", "role": "primary", "epoch": 1}
    write(bench, "/var/lib/dr/role.json", json.dumps(role))
    bench.ssh(GRA, "sudo chmod 0711 /var/lib/dr")
    places = [*archive.folders(wanted, LAYOUT), LAYOUT.figures.folder]
    bench.ssh(GRA, f"sudo install -d -o postgres -g postgres -m 0750 {' '.join(map(str, places))}")
    write(bench, LAYOUT.memory, Memory("a", "b", 17, 5432, 1 << 30).text())
    for file in archive.managed_files(wanted, LAYOUT):
        if file.path.is_relative_to("/etc/systemd"):
            write(bench, file.path, file.content)
    for name in wanted.repositories:
        text = REPOSITORY.format(name=name, spool=LAYOUT.spool(name), locks=LAYOUT.locks(name), logs=LAYOUT.logs / name)
        write(bench, LAYOUT.config(name), text, "0640 root:postgres")
    write(bench, "/opt/dr/says.sh", SAYS)
    replaced = "[Service]\nExecStart=\nExecStart=/bin/sh /opt/dr/says.sh\n"
    write(bench, f"/etc/systemd/system/{archive.EPOCH}.service.d/says.conf", replaced)
    bench.ssh(GRA, "sudo systemctl daemon-reload; pg_lsclusters -h | grep -q . || sudo pg_createcluster 17 main")
    push = "; ".join(
        f"pgbackrest --config={LAYOUT.config(name)} --stanza=dr-$(/usr/lib/postgresql/17/bin/pg_controldata {LAYOUT.postgres.data} | "
        f'sed -n "s/^Database system identifier: *//p") --pg1-path={LAYOUT.postgres.data} archive-push %p'
        for name in wanted.repositories
    )
    bench.ssh(GRA, "sudo pg_conftool 17 main set archive_mode on")
    bench.ssh(GRA, 'sudo pg_conftool 17 main set archive_command "$(cat)"', push)
    bench.ssh(GRA, "sudo systemctl restart postgresql@17-main")
    return bench


def said(bench: Bench, unit: str) -> str:
    return bench.ssh(GRA, f"sudo journalctl -u {unit} -o cat --no-pager")


def test_a_check_and_the_backup_that_it_asks_for_are_made_in_their_boxes(primary: Bench) -> None:
    primary.ssh(GRA, f"sudo systemctl start {archive.DUE}.path && sudo systemctl start {archive.CHECK}.service")
    told = said(primary, archive.CHECK)
    assert "place for dr-" in told and "a backup is due" in told and "WARNING" not in told, told
    made = until(lambda: '"made": ["a", "b"]' in said(primary, archive.DUE), 45, 0.5)
    assert made, said(primary, archive.DUE) + primary.ssh(GRA, f"sudo tail -n 20 {LAYOUT.postgres.log}")
    word = primary.ssh(GRA, f"stat -c '%U %a' {TOLD}")
    assert word == "root 644"
    assert "dr_archive_repository_up" in primary.ssh(GRA, f"sudo cat {LAYOUT.figures.path}")
    for unit in (archive.FULL, archive.INCREMENTAL):
        assert primary.try_ssh(GRA, f"sudo systemctl start {unit}.service").returncode == 0, said(primary, unit)
    server = primary.ssh(GRA, f"sudo cat {LAYOUT.postgres.log}")
    assert "shared memory" not in server, "what ends takes nothing of the server along"
    for unit in (archive.CHECK, archive.DUE, archive.FULL, archive.INCREMENTAL):
        shown = primary.ssh(GRA, f"systemctl show -p User,Result {unit}.service").splitlines()
        assert sorted(shown) == ["Result=success", "User=postgres"], said(primary, unit)


def test_a_sentinel_begins_and_keeps_its_state_in_its_box(bench: Bench) -> None:
    folder = "/var/lib/redis/dr-sentinel"
    bench.ssh(GRA, f"sudo install -d -o redis -g redis -m 0700 {folder}")
    began = f'dir "{folder}"\nport 26379\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 6379 1\n'
    write(bench, f"{folder}/sentinel.conf", began, "0600 redis:redis")
    write(bench, f"/etc/systemd/system/{SENTINEL}", of_sentinel(Layout())[0].content)
    write(bench, f"/etc/systemd/system/{SENTINEL}.d/unguarded.conf", "[Service]\nExecStartPre=\n")
    bench.ssh(GRA, f"sudo systemctl daemon-reload && sudo systemctl start {SENTINEL}")
    try:
        assert "sentinel myid" in bench.ssh(GRA, f"sudo cat {folder}/sentinel.conf"), said(bench, SENTINEL)
        assert bench.ssh(GRA, "redis-cli -p 26379 sentinel get-master-addr-by-name shop").split() == [
            "127.0.0.1",
            "6379",
        ]
    finally:
        bench.ssh(
            GRA,
            f"sudo systemctl stop {SENTINEL}; sudo rm -rf /etc/systemd/system/{SENTINEL}*; sudo systemctl daemon-reload",
        )
