"""Faults of what watches: an exporter that hangs, a disk that is full, a way of telling that fails, a control host that is dead, both cut off from each other.

Real servers with the configuration of hosts, in a network of their own: each region's are a user of their own, by whom a packet filter tells them apart. What
is told is told once, and nothing is said to be over that is not. Those that wait longest are played with the drills (`make drills`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contract.documents import Host
from contract.monitoring.rules import MESSAGES_FAIL, REGION_GONE
from lab.namespace import entered
from scripts.host.host.monitoring import blind, config
from scripts.host.host.monitoring.config import Place
from tests.host.servers.monitoring_rig import HOSTS, Control, Rig, certify, until

USERS = {"a": 61_031, "b": 61_131}
DB = Host(name="db-1.a.dr.internal", vrack="127.61.0.11", front="127.61.0.11")
SEEN_S = 4  # what a figure counts for; five minutes on hosts
DISK_MB, ROOM_MIB, LEFT_MIB = 64, 16, 4  # a disk of hosts' sizes would fill this machine's memory
HURRIED = ("HostDown", "WatcherDown", REGION_GONE)
# On the way to the other region's host, whoever asks: both the questions of Prometheus and what Alertmanagers say to each other.
CUT = "".join(
    f"add rule ip cut out meta skuid {USERS[site]} ip daddr {HOSTS[f'control-1.{far}'].vrack} drop\n"
    for site, far in (("a", "b"), ("b", "a"))
) + f"add rule ip cut out meta skuid {USERS['b']} ip daddr {DB.vrack} drop\n"  # fmt: skip


class Faults(Rig):
    """Both regions with all their servers, and a database host of region a. Prometheus of region a has a small disk of its own."""

    def __init__(self, folder: Path, holder: int) -> None:
        super().__init__(folder)
        self.holder = holder
        hosts = {**HOSTS, "db-1.a": DB}
        for site, control in self.controls.items():
            control.hosts = hosts
            control.prefix = ("setpriv", f"--reuid={USERS[site]}", f"--regid={USERS[site]}", "--clear-groups")
            os.chown(control.folder, USERS[site], USERS[site])
        # The watched host, with an exporter alone: its folder is region a's, and what it says of itself lies there.
        self.db = Control("a", folder / "db", self.a.watch)
        self.db.folder.mkdir()
        certify(self.db.folder, self.authority, DB)
        self.place = Place("a", "db-1", hosts, str(self.db.folder))
        self.db.write("web.yml", config.web(self.place))
        (self.db.folder / "figures").mkdir()
        self.disk = self.a.folder / "data"

    def all(self) -> None:
        """Each that does not run, until all see each other."""
        if "node" not in self.db.running:
            self.db.start("node", config.node_arguments(self.place, str(self.db.folder / "figures")))
        for control in (self.a, self.b):
            for name, start in (("node", control.exporter), ("alertmanager", control.alertmanager)):
                if name not in control.running:
                    start()
            if "prometheus" not in control.running:
                self.watching(control)
        self.together()
        for control in (self.a, self.b):
            until("every target answers", partial(self.well, control))
        for got in self.sink.got.values():
            got.clear()

    def watching(self, control: Control) -> None:
        with self.beside_its_disk(control):
            control.prometheus(f"--query.lookback-delta={SEEN_S}s", hurried=HURRIED)

    @contextmanager
    def beside_its_disk(self, control: Control) -> Iterator[None]:
        before = control.prefix
        if control is self.a:
            control.prefix = ("nsenter", f"--mount=/proc/{self.holder}/ns/mnt", f"--wd={control.folder}", *before)
        try:
            yield
        finally:
            control.prefix = before

    def well(self, control: Control) -> bool:
        up = control.series('up{job=~"node|prometheus|alertmanager"}')
        return len(up) == 7 and all(it["value"][1] == "1" for it in up)

    def there(self, words: str) -> int:
        """Exit code of a shell's words where Prometheus of region a has its disk, as that one's user."""
        told = [*("setpriv", f"--reuid={USERS['a']}", "--clear-groups"), "sh", "-c", words]
        mount = f"--mount=/proc/{self.holder}/ns/mnt"
        return subprocess.run(["nsenter", mount, *told], check=False, capture_output=True, timeout=20).returncode

    def say(self, text: str) -> None:
        """What the database host says of itself."""
        path = self.db.folder / "figures/own.prom"
        made = path.with_suffix(".new")
        made.write_text(text)
        made.replace(path)

    def told(self, name: str, status: str = "firing", site: str | None = None) -> int:
        """How many messages the hook got of an alert."""
        return sum(
            it["status"] == status and it["commonLabels"]["alertname"] == name
            and site in (None, it["commonLabels"].get("site")) for it in self.sink.got["/hook"]
        )  # fmt: skip

    def gone(self, control: Control) -> list[str]:
        """Regions that are gone, as its Alertmanager knows it."""
        found = control.json(config.ALERTS, f"/api/v2/alerts?filter=alertname%3D{REGION_GONE}")
        return sorted(it["labels"]["site"] for it in found)

    def close(self) -> None:
        self.db.close()
        super().close()


@pytest.fixture(scope="module")
def faults() -> Iterator[Faults]:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    (folder / "a").mkdir()
    disk = folder / "a/data"
    disk.mkdir()
    words = f"ip link set lo up; {blind.GIVES_UP}; mount -t tmpfs -o size={DISK_MB}m,uid={USERS['a']} none {disk}; echo there; exec cat"
    holder = subprocess.Popen(
        ["unshare", "--net", "--mount", "sh", "-ec", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"there\n"
        with entered(Path(f"/proc/{holder.pid}/ns/net")):
            made = Faults(folder, holder.pid)
            try:
                yield made
            finally:
                made.close()
    finally:
        holder.kill()
        holder.wait()
        shutil.rmtree(folder, ignore_errors=True)


def quiet(faults: Faults, seconds: float, holds: Any) -> None:
    """It holds all that time: nothing tells that no message will come, but that its time is over."""
    end = time.monotonic() + seconds

    def over() -> bool:
        assert holds(), " ".join(f"{it['status']}:{it['groupLabels']}" for it in faults.sink.got["/hook"])
        return time.monotonic() > end

    until("its time is over", over, seconds + 5)


def nft(text: str) -> None:
    """One change of the packet filter of this network, which is nobody else's."""
    subprocess.run(["nft", "-f", "-"], input=f"{text}\n", check=True, text=True)


def test_an_exporter_that_hangs_is_down_within_its_time_and_no_other_figure_is_older_for_it(faults: Faults) -> None:
    faults.all()
    process = faults.db.running["node"]
    process.send_signal(signal.SIGSTOP)
    try:
        down = 'up{job="node",host="db-1.a"} == 0'
        for control in (faults.a, faults.b):
            until("it counts for down", partial(control.series, down))
            until("and is to be told", partial(control.series, 'ALERTS{alertname="DatabaseHostDown"}'))
            fresh = control.series('time() - timestamp(up{host!="db-1.a"}) < 3')
            assert len(fresh) == len(control.series('up{host!="db-1.a"}')) > 5
            assert control.series(down), "still"
    finally:
        process.send_signal(signal.SIGCONT)
    until("it is up again", lambda: faults.well(faults.a) and faults.well(faults.b))


def test_a_way_that_fails_is_told_of_by_the_others_once(faults: Faults) -> None:
    faults.all()
    faults.sink.ill["/slack"] = 404
    try:
        faults.say("dr_archive_split_brain 1\n")
        until("the others have the page", lambda: faults.told("ArchiveSplitBrain"))
        until("and that Slack has not", lambda: faults.told(MESSAGES_FAIL))
        (said,) = (it for it in faults.sink.got["/hook"] if it["commonLabels"]["alertname"] == MESSAGES_FAIL)
        assert "slack does not take what control-1." in said["commonAnnotations"]["summary"]
        until("by mail too", lambda: any(MESSAGES_FAIL in it["text"] for it in faults.sink.got["mail"]))
        assert faults.told("ArchiveSplitBrain") == 1 and not faults.sink.got["/slack"]
    finally:
        faults.sink.ill.clear()
        faults.say("dr_archive_split_brain 0\n")
    until("the page is over", lambda: faults.told("ArchiveSplitBrain", "resolved"))


@pytest.mark.rest
def test_a_full_disk_is_told_by_the_other_region_and_ends_no_alert(faults: Faults) -> None:
    """Prometheus lives on and hears nothing; it is ended before what it last heard is too old, and begins again once there is room."""
    faults.all()
    faults.say("dr_archive_split_brain 1\n")
    for control in (faults.a, faults.b):
        until("it fires", partial(control.series, 'ALERTS{alertname="ArchiveSplitBrain",alertstate="firing"}'))
    until("it is told", lambda: faults.told("ArchiveSplitBrain"))
    data = str(faults.disk)
    assert faults.there(blind.room(data, ROOM_MIB)) == 0, "there is room"
    assert faults.there(f"dd if=/dev/zero of={data}/fill bs=64k") != 0, "its disk is full"
    until("the other region tells of it", lambda: faults.told("RulesFail", site="a"))
    assert faults.a.running["prometheus"].poll() is None, "it lives"
    assert faults.there(blind.room(data, LEFT_MIB)) != 0, "and its unit ends it"
    faults.a.stop("prometheus")
    until("the other region tells of it", lambda: faults.told("WatcherDown", site="a"))
    quiet(faults, SEEN_S + 3, lambda: not faults.told("ArchiveSplitBrain", "resolved"))
    assert faults.there(f"rm {data}/fill") == 0 and faults.there(blind.room(data, ROOM_MIB)) == 0
    faults.a.stop("blackbox")
    faults.watching(faults.a)
    until("it hears again", partial(faults.well, faults.a))
    until(
        "what fires still does", partial(faults.a.series, 'ALERTS{alertname="ArchiveSplitBrain",alertstate="firing"}')
    )
    assert not faults.told("ArchiveSplitBrain", "resolved")
    assert faults.told("ArchiveSplitBrain") == faults.told("RulesFail", site="a") == 1
    faults.say("dr_archive_split_brain 0\n")
    until("it is over", lambda: faults.told("ArchiveSplitBrain", "resolved"))


@pytest.mark.rest
def test_watchers_that_are_cut_off_each_tell_of_the_other_region_once_and_of_its_return(faults: Faults) -> None:
    faults.all()
    nft(f"add table ip cut\nadd chain ip cut out {{ type filter hook output priority 0; }}\n{CUT}")
    try:
        for site in "ab":
            until("the other one is gone", partial(faults.told, REGION_GONE, site=site))
        quiet(faults, SEEN_S, lambda: all(faults.told(REGION_GONE, site=site) == 1 for site in "ab"))
        # As on hosts, where the two try it each two seconds, and a message waits five.
        nft(f"insert rule ip cut out tcp dport {config.GOSSIP} accept")
        until("the two hear each other", lambda: faults.agreed(faults.a) and faults.agreed(faults.b))
    finally:
        nft("delete table ip cut")
    for site in "ab":
        until("it is back", partial(faults.told, REGION_GONE, "resolved", site))
    assert until("nothing of it is left", lambda: [faults.gone(it) for it in (faults.a, faults.b)] == [[], []])


@pytest.mark.rest
def test_a_dead_control_host_is_told_by_the_other_region_once(faults: Faults) -> None:
    faults.all()
    for name in list(faults.a.running):
        faults.a.stop(name)
    for name in ("HostDown", "WatcherDown"):
        until(f"{name} is told", partial(faults.told, name, site="a"))
    quiet(faults, SEEN_S, lambda: faults.told("HostDown", site="a") == 1)
    assert not faults.told(REGION_GONE), "its database host answers"
    (said,) = (it for it in faults.sink.got["/hook"] if it["commonLabels"]["alertname"] == "HostDown")
    assert [it["labels"]["host"] for it in said["alerts"]] == ["control-1.a"]
