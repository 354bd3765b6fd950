"""What is looked at: the table of panels, Grafana's form of it, what a host answers, and the page on loopback."""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract import fields
from contract.errors import Failed, Refused, Usage
from contract.monitoring import grafana
from contract.monitoring.boards import LEAST_S, MOST_S, MOST_SERIES, POINTS, STEP_S, BoardFigures, times
from contract.monitoring.metrics import BY_NAME
from contract.monitoring.panels import BOARDS, MOVES, Board, Panel, Query, Unit
from scripts.ctl import cli
from scripts.ctl.commands import dashboard
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.boards.figures import Source
from scripts.ctl.survey.boards.serving import PAGE, Dashboard
from scripts.host.host.monitoring import asking

# What Prometheus makes of rules, and words of its language that look like names of metrics.
NO_METRICS = {"ALERTS", "avg_over_time", "group_left"}
QUERIES = [(board.key, query) for board in BOARDS.values() for panel in board.panels for query in panel.queries]
ONE = Board(
    key="one",
    title="One",
    panels=(
        Panel(title="A", about="b", unit=Unit.COUNT, queries=(Query(expr="up"), Query(expr="down", legend="{{x}}"))),
    ),
)


@pytest.mark.parametrize(("key", "query"), [*QUERIES, ("moves", MOVES)])
def test_a_query_names_what_the_table_has(key: str, query: Query) -> None:
    plain = re.sub(r"\{[^}]*\}", "", re.sub(r'"[^"]*"', "", query.expr))
    named = {it for it in re.findall(r"[a-zA-Z_]\w*", plain) if "_" in it or it in ("up", "ALERTS")} - NO_METRICS
    assert named <= BY_NAME.keys(), f"{key}: {named - BY_NAME.keys()}"


def test_a_board_says_each_thing_once() -> None:
    for board in BOARDS.values():
        titles = [panel.title for panel in board.panels]
        assert len(titles) == len(set(titles)), board.key
        assert all(panel.about.endswith(".") and panel.queries for panel in board.panels), board.key
        for panel in board.panels:
            legends = [query.legend for query in panel.queries]
            assert len(legends) == len(set(legends)), f"{board.key}, {panel.title}: nobody could tell its lines apart"


def test_grafana_is_given_every_panel_and_none_lies_on_another() -> None:
    for board in BOARDS.values():
        model = grafana.model(board)
        assert [it["title"] for it in model["panels"]] == [it.title for it in board.panels]
        for made, panel in zip(model["panels"], board.panels, strict=True):
            assert [it["expr"] for it in made["targets"]] == [it.expr for it in panel.queries]
            assert len({it["refId"] for it in made["targets"]}) == len(panel.queries)
        places = [(it["gridPos"]["x"], it["gridPos"]["y"]) for it in model["panels"]]
        assert len(set(places)) == len(places) and all(x + 8 <= 24 for x, _ in places)
    assert len({it["uid"] for it in grafana.models().values()}) == len(BOARDS)
    assert set(grafana._UNITS) == set(Unit)


@pytest.mark.parametrize("seconds", [LEAST_S, 900, 3600, 10_800, 86_400, MOST_S])
def test_a_time_has_few_points_that_stay_where_they_are(seconds: int) -> None:
    start, step, count = times(1_000_000_007.5, seconds)
    assert step >= STEP_S and count <= POINTS + 1 and start % step == 0
    assert 0 <= 1_000_000_007.5 - (start + step * (count - 1)) < step, "it ends now"
    assert times(1_000_000_007.5 + 0.1, seconds) == (start, step, count)


def answered(found: Any) -> BoardFigures:
    told = asking.figures(ONE, 300, "a", lambda *_: found, now=1000.0)
    return fields.read(BoardFigures, told, "it")


def test_what_prometheus_says_becomes_lines_with_gaps() -> None:
    start, step, count = times(1000.0, 300)
    values = [[start, "1"], [start + step, "NaN"], [start + 2 * step, "0.123456789"], [start + 3 * step, "+Inf"]]
    found = answered([{"metric": {"host": "db-1.a", "x": "y"}, "values": values}])
    assert found.legends["0.0.0"] == "db-1.a" and found.legends["0.1.0"] == "y"
    assert found.lines["0.0.0"] == "1,,0.123457" + "," * (count - 3)


def test_what_it_says_too_much_of_is_left_out_and_stays_a_text() -> None:
    start = times(1000.0, 300)[0]
    many = [{"metric": {"host": f"h{n:03}"}, "values": [[start, "1"]]} for n in range(MOST_SERIES + 9)]
    assert len(answered(many).lines) == 2 * MOST_SERIES
    found = answered(
        [{"metric": {"host": "a\nb\x1b[31m" + "x" * 500}, "values": [[start - 99, "1"], [start + 10**6, "1"]]}]
    )
    legend = found.legends["0.0.0"]
    assert "\n" not in legend and "\x1b" not in legend and len(legend) <= 130
    assert set(found.lines["0.0.0"]) == {","}, "what is of another time is no figure of this one"


def test_a_prometheus_that_takes_long_with_each_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = [0.0], list[str]()

    class Slow:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def request(self, _: str, path: str, *__: object) -> None:
            clock[0] += asking.LIMIT_S - 0.1
            asked.append(path)

        def getresponse(self) -> Any:
            answer = io.BytesIO(b'{"data": {"result": []}}')
            return SimpleNamespace(status=200, read=answer.read)

        def close(self) -> None: ...

    monkeypatch.setattr("ssl.create_default_context", lambda **_: SimpleNamespace(load_cert_chain=lambda *_: 0))
    monkeypatch.setattr("http.client.HTTPSConnection", Slow)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with asking.Prometheus("control-1.a", 9090, Path()) as prometheus, pytest.raises(Failed, match="not all of them"):
        asking.figures(BOARDS["hosts"], 900, "a", prometheus.ask, now=1000.0)
    assert len(asked) == 3


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"board": "none", "seconds": 300},
        {"board": "up", "seconds": 300},
        {"board": "overview"},
        {"board": "overview", "seconds": True},
        {"board": "overview", "seconds": LEAST_S - 1},
        {"board": "overview", "seconds": MOST_S + 1},
        {"board": ["overview"], "seconds": 300},
    ],
)
def test_a_host_is_asked_for_boards_alone(document: dict[str, Any]) -> None:
    with pytest.raises(Usage, match="nothing was asked"):
        asking.asked_for(document)


# --- the page


@contextmanager
def page(figures: Any) -> Iterator[Dashboard]:
    made = Dashboard(figures, word="word")
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join(10)


def get(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def figures(board: str, seconds: int) -> dict[str, Any]:
    if board == "cache":
        raise Failed("host control-1.a: no ssh session; wanted one")
    if board == "assets":
        raise OSError("no such pipe")
    return {"board": board, "seconds": seconds}


def test_the_page_is_served_with_all_that_it_loads_and_may_load_nothing_else() -> None:
    with page(figures) as made:
        code, headers, text = get(made.url)
        assert code == 200 and headers["Content-Security-Policy"].startswith("default-src 'none'")
        for name in [*re.findall(r'(?:href|src)="([\w.]+)"', text), "chart.js"]:
            assert get(made.url + name)[0] == 200, name
        boards = json.loads(get(made.url + "boards")[2])
        assert [it["key"] for it in boards] == list(BOARDS)
        assert json.loads(get(made.url + "figures?board=hosts&seconds=900")[2]) == {"board": "hosts", "seconds": 900}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("figures", 400),
        ("figures?board=none&seconds=900", 400),
        ("figures?board=hosts&seconds=1", 400),
        ("figures?board=hosts&seconds=99999999999999", 400),
        ("figures?board=hosts&seconds=x", 400),
        ("figures?board=hosts&seconds=%C2%B2%C2%B2%C2%B2", 400),
        ("figures?board=hosts&seconds=000000900999999999", 400),
        ("figures?board=assets&seconds=900", 500),
        ("../serving.py", 404),
        ("page/index.html", 404),
        ("figures?board=cache&seconds=900", 502),
    ],
)
def test_what_is_asked_amiss_is_told_in_words(path: str, code: int) -> None:
    with page(figures) as made:
        found, _, text = get(made.url + path)
        assert found == code and "Traceback" not in text
        assert code != 502 or "no ssh session" in text


def test_a_page_that_was_closed_while_its_figures_came_is_told_to_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    gone, asked, made_whole = threading.Event(), threading.Event(), threading.Event()

    def slow(*_: Any) -> dict[str, Any]:
        asked.set()
        assert gone.wait(10)
        made_whole.set()
        return {"much": "x" * 2**22}

    with page(slow) as made:
        with socket.create_connection(("127.0.0.1", made.server.server_port), 10) as line:
            path = f"/word/figures?board=hosts&seconds=900 HTTP/1.0\r\nHost: 127.0.0.1:{made.server.server_port}"
            line.sendall(f"GET {path}\r\n\r\n".encode())
            assert asked.wait(10)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.set()
        assert made_whole.wait(10)
        assert get(made.url + "boards")[0] == 200
    assert capfd.readouterr().err == ""


def test_others_of_this_machine_and_other_sites_pages_are_shown_nothing() -> None:
    with page(figures) as made:
        root = made.url.removesuffix("word/")
        assert get(root)[0] == get(root + "wor/")[0] == get(root + "word2/boards")[0] == 404
        assert get(made.url + "boards", Host="shop.example")[0] == 403, "a name that was led here by DNS"
        assert made.server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_refused_in_words() -> None:
    with page(figures) as made, pytest.raises(Refused, match="--port"):
        Dashboard(figures, made.server.server_port)


def test_the_page_knows_every_unit_and_loads_nothing_from_elsewhere() -> None:
    chart = (PAGE / "chart.js").read_text()
    assert all(f'"{unit}": ' in chart for unit in Unit)
    for file in PAGE.iterdir():
        elsewhere = set(re.findall(r"https?://[\w.]+", file.read_text())) - {"http://www.w3.org"}
        assert not elsewhere and "innerHTML" not in file.read_text(), file.name


# --- which region is asked


class Ways:
    """Of both control hosts; `dead` are not reached."""

    def __init__(self, dead: set[str]) -> None:
        self.dead, self.opened, self.asked = dead, list[str](), list[str]()

    @contextmanager
    def open(self, _settings: Any, host: str, _person: str) -> Iterator[Any]:
        self.opened.append(host)
        if host in self.dead:
            raise Failed(f"host {host}: no ssh session")
        yield SimpleNamespace(host=host, via=host[-1], hosts=self)

    def must(self, host: str, _via: str, _command: str, document: dict[str, Any], _limit_s: int) -> Any:
        self.asked.append(host)
        if host in self.dead:
            raise Failed(f"host {host}: has gone")
        return SimpleNamespace(facts={"site": host[-1], **document})


def source(ways: Ways) -> Source:
    settings: Any = None
    return Source(settings, "", ("a", "b"), open_way=ways.open)


def test_the_first_region_is_asked_and_what_it_said_is_kept_for_a_moment() -> None:
    ways = Ways(set())
    with source(ways) as asked:
        assert asked.figures("hosts", 900)["site"] == asked.figures("hosts", 900)["site"] == "a"
        assert ways.asked == ["control-1.a"]
        asked.figures("cache", 900)
        assert ways.opened == ["control-1.a"], "one connection"


def test_when_it_is_dead_or_dies_the_other_one_is_asked_from_then_on() -> None:
    ways = Ways({"control-1.a"})
    with source(ways) as asked:
        assert asked.figures("hosts", 900)["site"] == asked.figures("cache", 900)["site"] == "b"
        assert ways.opened == ["control-1.a", "control-1.b"]
    ways = Ways(set())
    with source(ways) as asked:
        asked.figures("hosts", 900)
        ways.dead.add("control-1.a")
        assert asked.figures("cache", 900)["site"] == "b"


def test_when_neither_answers_both_reasons_are_told() -> None:
    with source(Ways({"control-1.a", "control-1.b"})) as asked, pytest.raises(Failed) as told:
        asked.figures("hosts", 900)
    assert "control-1.a" in str(told.value) and "control-1.b" in str(told.value)


def test_every_board_lies_beside_the_examples_for_grafana() -> None:
    folder = Path(__file__).resolve().parents[2] / grafana.FOLDER
    assert {f"{grafana.FOLDER}/{it.name}" for it in folder.iterdir()} == set(grafana.models())


@pytest.mark.parametrize("monitoring", [None, SimpleNamespace(enabled=False)])
def test_where_nobody_measures_nothing_is_served(monkeypatch: pytest.MonkeyPatch, monitoring: Any) -> None:
    stack = SimpleNamespace(settings=lambda: SimpleNamespace(monitoring=monitoring))
    monkeypatch.setattr(Stack, "chosen", lambda _: stack)
    monkeypatch.setattr("scripts.ctl.commands.dashboard.Dashboard", None)
    with pytest.raises(Refused, match="nobody measures"):
        dashboard.run(cli.parser().parse_args(["dashboard"]))
