"""The gem `shop_dr` and a real pair of caches that change places: `ShopDr.redis` and an application's Rails.cache. Ruby runs in the guests' image."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.machines import image
from lab.pairs.redis import ADDRESSES, PASSWORDS, Pair, settled
from scripts.host.frame.wait import until
from tests.host.servers.test_shop_cart import INSIDE, ROOT

pytestmark = pytest.mark.lab


class Small:
    """One process of an application."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        for name, text in {"ca": pair.authority.certificate_pem, **pair.client}.items():
            (folder / f"{name}.pem").write_text(text)
        (folder / "gem_cache.rb").write_text((ROOT / "tests/host/servers/gem_cache.rb").read_text())
        told = {
            "DR_CACHES": ",".join(f"{ADDRESSES[name]}:{pair.port}" for name in pair.hosts), "DR_CACHE_USER": "shop", "DR_CACHE_PASSWORD": PASSWORDS["app"],
            **{f"DR_CACHE_{name.upper()}": f"/mnt/test/{name}.pem" for name in ("ca", "cert", "key")},
            "REDIS_URL": "redis://127.0.0.1:1/0", "RAILS_ENV": "production", "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }  # fmt: skip
        ruby = ["ruby", "/mnt/test/gem_cache.rb", "/mnt/shop"]
        where = [str(image.ensure()), str(ROOT / "gems/shop_dr"), str(folder)]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", *where, *ruby],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=told,
            cwd="/",
        )

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path / "pair")
    yield pair.up()
    pair.close()


@pytest.fixture
def small(pair: Pair, tmp_path: Path) -> Iterator[Small]:
    (tmp_path / "small").mkdir()
    small = Small(pair, tmp_path / "small")
    yield small
    small.close()


def test_both_ways_lead_to_the_master_whatever_the_url_says(pair: Pair, small: Small) -> None:
    assert small.ask("redis SET cart:1 two") == {"told": "OK"} and pair.a.shop("GET", "cart:1") == "two"
    assert small.ask("write front page") == {"told": True, "failed": None}
    assert small.ask("read front") == {"told": "page", "failed": None}
    assert pair.a.shop("EXISTS", "small:front") == 1


def test_a_planned_move_is_followed_without_an_error(pair: Pair, small: Small) -> None:
    small.ask("redis SET cart:1 two")
    small.ask("write front page")
    pair.b.converge(2, "b", planned=True)
    assert settled(pair.a)
    assert small.ask("redis SET cart:1 three") == {"told": "OK"}
    assert small.ask("write front other") == {"told": True, "failed": None}
    assert pair.b.shop("GET", "cart:1") == "three"
    assert small.ask("lost")["told"] >= 1


def test_a_read_of_a_former_master_that_still_answers_is_noticed(pair: Pair, small: Small) -> None:
    small.ask("redis SET cart:1 two")
    small.ask("write front page")
    pair.b.converge(2, "b", planned=True)
    pair.a.operator("CONFIG", "SET", "replica-serve-stale-data", "yes")
    pair.a.operator("REPLICAOF", "127.0.0.1", 1)
    pair.b.shop("SET", "cart:1", "three")
    assert until(lambda: small.ask("redis GET cart:1") == {"told": "three"}, 5)
    assert small.ask("read front") == {"told": "page", "failed": None}


def test_a_dead_master_is_left_once_another_leads(pair: Pair, small: Small) -> None:
    small.ask("redis SET cart:1 two")
    assert until(lambda: (found := pair.b.look()) is not None and found.keys == 1, 10)
    pair.a.units.kill()
    # Rails.cache is none for the while; nobody's request fails for it.
    assert small.ask("write front page")["told"] in (False, None)
    assert "no cache is a master" in small.ask("redis GET cart:1")["message"]
    pair.b.converge(2, "b")
    assert small.ask("redis GET cart:1") == {"told": "two"}
    assert small.ask("write front page") == {"told": True, "failed": None}


def test_what_is_written_to_a_cache_has_left_the_process_but_not_what_rails_keeps_there(small: Small) -> None:
    assert small.ask("begun redis SET cart:1 two")["told"] == "SET was sent to a cache"
    assert small.ask("begun redis GET cart:1")["told"] is None
    assert small.ask("begun write front page")["told"] is None
