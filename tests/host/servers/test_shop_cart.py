"""The shop's cart against a real pair of caches that change places under its kept connection. Ruby runs in the guests' image."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from lab.machines import image
from lab.pairs.redis import ADDRESSES, PASSWORDS, Pair, settled
from scripts.host.frame.wait import until

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[3]
# Bound below the image's /mnt in a mount namespace of its own, which goes with the process.
INSIDE = """
mount -t tmpfs none "$1/mnt"
mkdir "$1/mnt/shop" "$1/mnt/test"
mount --bind "$2" "$1/mnt/shop"
mount --bind "$3" "$1/mnt/test"
root=$1
shift 3
exec chroot "$root" "$@"
"""


class Shop:
    """One shop process with one connection."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        for name, text in {"ca": pair.authority.certificate_pem, **pair.client}.items():
            (folder / f"{name}.pem").write_text(text)
        (folder / "shop_cart.rb").write_text((ROOT / "tests/host/servers/shop_cart.rb").read_text())
        ruby = [
            "ruby",
            "/mnt/test/shop_cart.rb",
            "/mnt/shop",
            ",".join(f"{ADDRESSES[name]}:{pair.port}" for name in pair.hosts),
            *(f"/mnt/test/{name}.pem" for name in ("ca", *pair.client)),
        ]
        where = [str(image.ensure()), str(ROOT / "examples/shop/app/services"), str(folder)]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", *where, *ruby], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"DR_CACHE_PASSWORD": PASSWORDS["app"], "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip

    def ask(self, line: str) -> dict[str, object]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


@pytest.fixture
def pair(tmp_path):
    pair = Pair(tmp_path / "pair")
    yield pair.up()
    pair.close()


@pytest.fixture
def shop(pair, tmp_path):
    (tmp_path / "shop").mkdir()
    shop = Shop(pair, tmp_path / "shop")
    yield shop
    shop.close()


def test_a_cart_lives_in_the_master(pair, shop):
    assert shop.ask("put 7 2") == {"items": {"7": 2}}
    assert shop.ask("put 8 1") == {"items": {"7": 2, "8": 1}}
    assert shop.ask("items") == {"items": {"7": 2, "8": 1}}
    assert shop.ask("role") == {"role": "master"}
    assert shop.ask("clear") == {"cleared": [1]} and shop.ask("items") == {"items": {}}


def test_a_read_from_a_former_master_is_noticed_and_the_next_one_is_of_the_new_master(pair, shop):
    shop.ask("put 7 2")
    pair.b.converge(2, "b", planned=True)
    # The old master answers reads as before, and no longer hears of changes.
    pair.a.operator("CONFIG", "SET", "replica-serve-stale-data", "yes")
    pair.a.operator("REPLICAOF", "127.0.0.1", 1)
    pair.b.shop("HSET", "cart:token-of-a-visitor", "7", "5")
    first = shop.ask("items")
    assert (first["error"], first["passing"]) == ("CacheMaster::NoMaster", True)
    assert shop.ask("items") == {"items": {"7": 5}}


@pytest.mark.parametrize("line", ["put 7 3", "clear", "items", "role"])
def test_whatever_is_asked_of_a_former_master_passes_with_the_next_try(pair, shop, line):
    shop.ask("put 7 2")
    pair.b.converge(2, "b", planned=True)
    assert settled(pair.a)
    first = shop.ask(line)
    assert first["passing"] is True, first
    assert "error" not in shop.ask(line)


def test_a_former_master_that_hears_nobody_is_left_too(pair, shop):
    shop.ask("put 7 2")
    pair.b.converge(2, "b", planned=True)
    pair.a.operator("REPLICAOF", "127.0.0.1", 1)  # with replica-serve-stale-data no it answers MASTERDOWN
    assert shop.ask("items")["passing"] is True
    assert shop.ask("items") == {"items": {"7": 2}}


def test_a_dead_master_is_left(pair, shop):
    shop.ask("put 7 2")
    # A leader streams nothing until a replica that took a full copy has said so, which may be a second after its link is up.
    assert until(lambda: (found := pair.b.look()) is not None and found.keys == 1, 10)
    pair.a.units.kill()
    assert shop.ask("items")["passing"] is True
    pair.b.converge(2, "b")
    assert shop.ask("put 9 1") == {"items": {"7": 2, "9": 1}}


HANDOVER = """
require "active_record"
require "pg"
require "redis"
%w[cache_master handover].each { |name| require "/mnt/shop/#{name}" }
def Handover.forget_connection = @forgotten = true
tries = 0
held = Handover.hold { (tries += 1) < 2 ? raise(IOError, "stream closed in another thread") : tries }
puts [held, Handover.instance_variable_get(:@forgotten), Handover.passing?(IOError.new("closed stream"))].inspect
"""


def test_a_connection_that_another_thread_threw_away_is_no_error_for_the_visitor(tmp_path):
    where = [str(image.ensure()), str(ROOT / "examples/shop/app/services"), str(tmp_path)]
    command = ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", *where, "ruby", "-e", HANDOVER]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[2, true, false]"
