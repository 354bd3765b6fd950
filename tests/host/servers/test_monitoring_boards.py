"""Every query of every panel, asked of a real Prometheus that scrapes real exporters, as `drctl dashboard` has it asked on a control host."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contract import fields
from contract.documents import Host
from contract.errors import Failed
from contract.hosts import kind_of
from contract.monitoring.boards import BoardFigures
from contract.monitoring.metrics import ARCHIVE, ASSETS, METRICS, of_host
from contract.monitoring.panels import BOARDS
from lab.pairs.postgres import Pair
from lab.pairs.redis import Pair as Caches
from scripts.ctl.stacks.secrets import Authority
from scripts.host.frame.files import write_atomically
from scripts.host.host.monitoring import asking, config, figures
from scripts.host.host.monitoring.config import Place
from scripts.host.host.monitoring.inside import cache, database, web
from scripts.host.postgres.status import live_status
from scripts.host.redis.wire import Connection, parse_info
from tests.host.servers.monitoring_rig import Control, Sink, certify, until

ADDRESSES = {"control-1.a": 31, "db-1.a": 11, "cache-1.a": 21, "app-1.a": 41, "control-1.b": 131}
HOSTS = {
    key: Host(name=f"{key}.dr.internal", vrack=f"127.61.0.{octet}", front=f"127.61.0.{octet}")
    for key, octet in ADDRESSES.items()
}
# There is no shop on this machine whose certificate could be seen; the lab's drill sees it.
NOT_HERE = {("entrance", "Certificate ends in")}


class Machine(Control):
    """Any host of them."""

    name = "control-1"

    @property
    def place(self) -> Place:
        return Place(self.site, self.name, HOSTS, str(self.folder))


def facts(kind: str, counted: int) -> dict[str, Any]:
    """As many of a host of a kind as there can be. `counted`: where its counters are."""
    found: dict[str, Any] = {}
    for metric in of_host(kind):
        *folders, name = metric.path.split(".")
        at = found
        for folder in folders:
            at = at.setdefault(folder, {})
        if metric.type == "counter":
            at[name] = counted
        else:
            at[name] = metric.words[0] if metric.words else "x" if metric.told else name != "in_recovery"
    return found


def of_jobs(kind: str) -> str:
    """What archive and copier would tell there."""
    lines = ""
    for it in (it for it in METRICS if it.by in (ARCHIVE, ASSETS) and kind in it.on):
        labels = ",".join(f'{label}="a"' for label in it.labels)
        lines += f"{it.name}{{{labels}}} 1\n"
    return lines


def at_work(machines: list[Machine], over: threading.Event) -> None:
    """They tell of themselves anew each second, and what they count grows."""
    for counted in itertools.count(1):
        for machine in machines:
            kind = kind_of(machine.name)
            told = figures.rendered(machine.name, facts(kind, counted)) + of_jobs(kind)
            write_atomically(machine.folder / "figures" / "all.prom", told.encode(), 0o644)
        if over.wait(1):
            return


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The control host of region a, which scrapes all of them."""
    folder, sink, authority = tmp_path_factory.mktemp("boards"), Sink(), Authority("shop hosts")
    machines, over = list[Machine](), threading.Event()
    try:
        for key, host in HOSTS.items():
            made = folder / key
            made.mkdir()
            certify(made, authority, host)
            machine = Machine(key[-1], made, sink.watch(entrance="127.61.0.99"))
            machine.name = key.partition(".")[0]
            machines.append(machine)
            machine.write("web.yml", config.web(machine.place))
            machine.exporter()
        threading.Thread(target=at_work, args=(machines, over), daemon=True).start()
        first = machines[0]
        first.alertmanager()
        first.prometheus()
        yield first
    finally:
        over.set()
        for machine in machines:
            machine.close()
        sink.close()


def shown(control: Machine, key: str) -> BoardFigures:
    with asking.Prometheus(control.address, config.PROMETHEUS, control.folder) as prometheus:
        told = asking.figures(BOARDS[key], 300, "a", prometheus.ask)
    return fields.read(BoardFigures, told, "board")


@pytest.mark.parametrize("key", BOARDS)
def test_every_query_of_every_panel_has_series_on_a_real_prometheus(control: Machine, key: str) -> None:
    board = BOARDS[key]
    wanted = {
        f"{number}.{at}"
        for number, panel in enumerate(board.panels)
        for at in range(len(panel.queries))
        if (key, panel.title) not in NOT_HERE
    }

    def complete() -> bool:
        try:
            missing = wanted - {name.rpartition(".")[0] for name in shown(control, key).lines}
        except Failed as error:  # it has just been started
            raise ValueError(str(error)) from None
        if missing:
            raise ValueError(f"nothing of {[board.panels[int(it.partition('.')[0])].title for it in missing]}")
        return True

    until(f"each panel of {key} has its lines", complete)
    found = shown(control, key)
    assert found.points == 21 and all(it.count(",") == found.points - 1 for it in found.lines.values())
    assert all(it and "{{" not in it for it in found.legends.values())


def test_a_query_that_is_none_and_a_server_that_is_not_there_are_told(control: Machine) -> None:
    with (
        asking.Prometheus(control.address, config.PROMETHEUS, control.folder) as prometheus,
        pytest.raises(Failed, match="wanted its figures"),
    ):
        prometheus.ask("this is none", 0, 15, 2)
    with (
        asking.Prometheus("127.61.0.98", config.PROMETHEUS, control.folder) as nobody,
        pytest.raises(Failed, match=r"127\.61\.0\.98"),
    ):
        nobody.ask("up", 0, 15, 2)


def paths(server: str) -> set[str]:
    """What the table takes from a server's own counters."""
    return {it.path.rpartition(".")[2] for it in METRICS if it.path.startswith(f"inside.{server}.")}


def test_a_database_tells_of_its_inside_whether_it_leads_or_follows() -> None:
    with Pair() as pair:
        pair.up()
        told = [database.told(it.server.layout.base, it.server) for it in (pair.a, pair.b)]
        assert [(it["in_recovery"], it["streaming"], it["running"]) for it in told] == [
            (False, True, True),
            (True, True, True),
        ]
        for it, own in zip(told, (pair.a, pair.b), strict=True):
            whole = live_status(own.server.layout.base, own.server)
            still = ("timeline", "slot", "sync", "paused", "role")
            assert [it[name] for name in still] == [whole[name] for name in still], "as its status says it"
        leads, follows = (it["inside"] for it in told)
        assert leads.keys() == follows.keys() == paths("postgres")
        assert leads["wal"] > 0 and follows["wal"] is None, "a standby writes none of its own"
        assert leads["max_connections"] > leads["connections"] >= 0
        assert leads["size"] > 2**20 and leads["commits"] > 0
        pair.b.kill()
        gone = database.told(pair.b.server.layout.base, pair.b.server)
        assert gone["inside"] is None and gone["running"] is False


def test_a_cache_tells_of_its_inside(tmp_path: Path) -> None:
    with closing(Caches(tmp_path)) as pair:
        pair.up()
        with Connection(pair.a.server()) as connection:
            found = cache.counted(parse_info(connection.call("INFO", "everything")))
        assert found.keys() == paths("redis") and found["commands"] > 0
        assert cache.counted({"total_commands_processed": "x"}) == {}, "what is no number is unknown"


def test_nginx_tells_of_its_inside() -> None:
    page = "Active connections: 3 \nserver accepts handled requests\n 296 296 312 \nReading: 0 Writing: 1 Waiting: 2 \n"
    found = web.said(page)
    assert found == {"connections": 3, "requests": 312} and found.keys() == paths("nginx")
    assert web.said("<html>404</html>") is None
