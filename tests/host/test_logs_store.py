"""How the way to a store of journals is set up on a host and taken away, what it is told, and that a store that takes nothing is seen and holds up nothing."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Failed, Usage
from contract.services.logs import Forward
from scripts.host.frame.layout import Layout
from scripts.host.host.logs import config, store, watching
from scripts.host.host.logs.verbs import Desired, Logs
from tests.host.test_logs import Ground, World, document, ground, sent, world
from tests.host.test_monitoring import HOSTS

__all__ = ["ground", "world"]

PASSWORD = "secret journals' word"
FORWARD = Forward(url="https://logs.example/insert/journald", user="shop", password=PASSWORD)
OWN = [(key, it) for key, it in HOSTS.items() if key.endswith(".a")]


def leads(**changes: Any) -> str:
    return store.leads("10.1.0.31:443", OWN, replace(FORWARD, **changes))


def of_store(ground: Ground) -> set[str]:
    return {it.name for it in ground.layout.root.rglob("*logs-store*") if it.is_file()}


def test_every_host_sends_and_a_control_host_leads_to_the_store(ground: Ground) -> None:
    control = ground.host == "control-1"
    assert ground.converge(store=FORWARD) == ["files", "install", "place", "start"]
    started = [it for it in ground.units.log if it.startswith("restart") and "store" in it]
    assert started == [f"restart {it}" for it in ((store.LEADS,) if control else ()) + (store.UPLOAD,)]
    sends = (ground.layout.units / store.UPLOAD).read_text()
    assert "--url=https://10.1.0.9:443 " in sends and "--save-state=/var/lib/dr-logs-store-upload/state " in sends
    assert of_store(ground) == {
        store.UPLOAD,
        *(("logs-store.cfg", "logs-store.secret", store.LEADS) if control else ()),
    }
    assert json.loads((ground.layout.etc / "logs.json").read_text())["stored"] is True
    assert ground.converge(store=FORWARD) == []


def test_the_word_is_in_one_file_for_root_alone(ground: Ground) -> None:
    ground.converge(store=FORWARD)
    shown = base64.b64encode(f"shop:{PASSWORD}".encode()).decode()
    holding = [
        it
        for it in ground.layout.root.rglob("*")
        if it.is_file() and (PASSWORD in it.read_text() or shown in it.read_text())
    ]
    wanted = [ground.layout.at(store.SECRET)] if ground.host == "control-1" else []
    assert holding == wanted and all(it.stat().st_mode & 0o777 == 0o600 for it in holding)


def test_another_word_and_another_store_are_in_force_after_the_next_run(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "control-1")
    ground.converge(store=FORWARD)
    for other in (replace(FORWARD, password="another"), replace(FORWARD, tenant="1:2")):
        ground.units.log.clear()
        assert ground.converge(store=other) == ["files", "start"]
        assert f"restart {store.LEADS}" in ground.units.log


def test_a_store_that_is_left_out_is_taken_away_and_the_copy_goes_on(ground: Ground) -> None:
    ground.converge(store=replace(FORWARD, ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
    ground.units.log.clear()
    assert "store-off" in ground.converge()
    assert not of_store(ground) and f"stop {store.UPLOAD}" in ground.units.log
    assert not [it for it in ground.units.well if "store" in it] and config.UPLOAD in ground.units.well
    assert ground.converge() == []


def test_with_all_of_it_the_store_goes_too(ground: Ground) -> None:
    ground.converge(store=FORWARD)
    assert ground.converge(enabled=False) == ["off"]
    assert not of_store(ground) and not [it for it in ground.units.well if "store" in it]
    assert ground.converge(enabled=False) == []


def test_what_is_left_of_a_store_is_a_fault_by_name(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "db-1")
    ground.converge(store=FORWARD)
    service = Logs(Desired.read(document("db-1")), ground.layout, ground.units, ground.install)
    with pytest.raises(Failed, match=rf"{store.UPLOAD}.* not as wanted"):
        service.verify(service.facts())


# --- what is told


def test_a_host_of_the_own_region_is_led_there_under_its_own_name_and_nobody_else() -> None:
    text = leads()
    for key, it in OWN:
        assert f"  acl ours ssl_c_s_dn(CN) -m str {it.name}\n" in text
        assert f"set-header VL-Extra-Fields dr_host={key} if {{ ssl_c_s_dn(CN) -m str {it.name} }}\n" in text
    assert ".b.dr.internal" not in text and text.count("  bind ") == 1 and "bind 10.1.0.31:443 ssl" in text
    assert "deny unless ours { method POST } { path /upload }" in text
    first_said, taken = text.index("set-header"), [text.index(f"del-header {it} -m beg") for it in ("VL-", "AccountID")]
    assert max(taken) < first_said, "what a host says for itself goes before ours is said"


def test_the_store_is_asked_over_tls_by_its_name_and_over_no_http2() -> None:
    (line,) = (it for it in leads().splitlines() if it.startswith("  server it "))
    assert line.startswith("  server it logs.example:443 ") and "ssl verify required" in line
    assert "sni str(logs.example) verifyhost logs.example" in line and line.endswith("alpn http/1.1")
    assert f"ca-file {store.PUBLIC} " in line
    own = leads(ca="pem", url="https://logs.example:9428/insert/journald")
    assert f"ca-file {store.CA} " in own and "server it logs.example:9428 " in own
    assert "set-header Host logs.example:9428\n" in own and "set-uri /insert/journald/upload\n" in own
    assert " ssl " not in next(it for it in leads(url="http://logs.example").splitlines() if "server it" in it)


def test_a_store_is_shown_a_password_a_token_or_nothing() -> None:
    assert store.secret(FORWARD) == f"it Basic {base64.b64encode(f'shop:{PASSWORD}'.encode()).decode()}\n"
    token = replace(FORWARD, user=None, password=None, token="abc==")
    assert store.secret(token) == "it Bearer abc==\n"
    nobody = replace(token, token=None)
    assert store.secret(nobody) == "" and "map(" not in leads(user=None, password=None)
    assert "map(" in leads() and PASSWORD not in leads() and "abc==" not in leads(user=None, token="abc==")
    assert "set-header AccountID 12\n  http-request set-header ProjectID 3\n" in leads(tenant="12:3")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", "https://192.0.2.1/insert/journald"),
        ("url", "https://ann:word@logs.example/"),
        ("url", "https://logs.example/insert?x=1"),
        ("url", "https://logs.example/ssl verify none"),
        ("url", "https://logs.example/insert/"),
        ("user", "a:b"),
        ("token", "word\nit Basic"),
        ("token", "word %[env(X)]"),
        ("tenant", "1"),
        ("password", None),
    ],
)
def test_what_makes_no_sense_or_would_be_another_line_is_refused(name: str, value: Any) -> None:
    told = document("control-1", store=FORWARD)
    told["logs"]["store"][name] = value
    with pytest.raises(Usage, match=name) as said:
        Desired.read(told)
    assert PASSWORD not in str(said.value) and "%[env" not in str(said.value)


# --- a store that takes nothing


def test_a_store_that_takes_nothing_is_told_and_the_copy_is_left_alone(world: World) -> None:
    told = json.loads((world.layout.etc / "logs.json").read_text())
    (world.layout.etc / "logs.json").write_text(json.dumps({**told, "stored": True}))
    world.units.well.add(store.UPLOAD)
    world.behinds = {watching.COPY: 0.0, watching.STORE: 4000.0}
    found = []
    for number in range(4):
        sent(world.layout, f"s=0a;i={number}")  # the copy goes on
        found.append(world.look()["begun_anew"])
    assert found == [[], [], [], [store.UPLOAD]] and world.units.log == [f"restart {store.UPLOAD}"]
    figure = world.figure()
    assert "\ndr_logs_behind_seconds 0\n" in figure and "\ndr_logs_store_behind_seconds 4000\n" in figure
    world.behinds[watching.STORE] = None
    assert world.look()["store_behind_s"] is None and "store" not in world.figure(), "what is unknown has no sample"


def test_how_far_a_store_is_goes_by_its_own_position(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    sent(layout, "s=0a;i=5")
    assert watching.cursor(layout) == "s=0a;i=5" and watching.cursor(layout, watching.STORE) is None
    path = layout.at(store.STATE)
    path.parent.mkdir(parents=True)
    path.write_text("LAST_CURSOR=s=0a;i=3\n")
    assert watching.cursor(layout, watching.STORE) == "s=0a;i=3"
