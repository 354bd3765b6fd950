"""Real servers: a parameter with which a server cannot start takes no primary down (autobase#602)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.errors import Failed, Refused
from lab.pairs.postgres import Node, Pair, caught_up

PLAIN = {"shared_buffers": "16MB", "max_connections": "20"}
TOO_MUCH = {**PLAIN, "shared_buffers": "900GB"}
LARGER = {**PLAIN, "shared_buffers": "24MB"}


@pytest.fixture
def streaming() -> Iterator[Pair]:
    with Pair() as pair:
        pair.up()
        yield pair


def runs(node: Node) -> tuple[str, int]:
    return node.sql("show shared_buffers"), node.control.starts


def conf(node: Node) -> str:
    return (node.layout.conf / "conf.d" / "dr.conf").read_text()


def test_the_standby_starts_with_it_first_and_until_then_the_primary_is_left_alone(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    before = runs(a)
    with pytest.raises(Refused, match=r"shared_buffers.*on the standby.*900GB there before a restart here.*region-b"):
        a.converge(1, "a", parameters=TOO_MUCH)
    with pytest.raises(
        Failed, match=r"shared_buffers: found a server that does not start .*shared memory.*in force again"
    ):
        b.converge(1, "a", parameters=TOO_MUCH)
    with pytest.raises(Refused, match="shared_buffers"):
        a.converge(1, "a", parameters=TOO_MUCH)
    assert runs(a) == before and "900GB" not in conf(a)
    caught_up(a, b)
    assert runs(b)[0] == "16MB" and "900GB" not in conf(b), "a boot finds what it starts with"
    b.converge(1, "a", parameters=LARGER)
    a.converge(1, "a", parameters=LARGER)
    assert runs(a)[0] == runs(b)[0] == "24MB"


def test_without_a_standby_it_is_taken_back_with_the_servers_own_word(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.kill()
    with pytest.raises(Failed, match=r"does not start with them \(could not map .*in force again"):
        a.converge(1, "a", parameters=TOO_MUCH)
    assert runs(a)[0] == "16MB" and "900GB" not in conf(a)
    a.sql("create table orders (id int)", "shop")
    a.converge(1, "a", parameters=LARGER)
    assert runs(a)[0] == "24MB"


def test_a_server_that_was_down_comes_up_with_what_it_had(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.kill()
    a.kill()
    with pytest.raises(Failed, match="in force again"):
        a.converge(1, "a", parameters=TOO_MUCH)
    assert runs(a)[0] == "16MB"
