"""Whether a shop is well: its own path and statuses, as the balancer hears it from nginx and as the host itself finds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.namespace import NETNS, entered
from scripts.host.app import well
from scripts.host.frame.layout import Layout
from tests.lab.web.entrance import Entrance, make

pytestmark = pytest.mark.lab


@contextmanager
def asked(folder: Path, status: int, **block: object) -> Iterator[Entrance]:
    with make(folder, health_path=f"/status/{status}", **block).running() as running:
        yield running


def balancer(entrance: Entrance, site: str = "a") -> int | None:
    return entrance.ask("/health", site=site, port=8080, proxy=False).status


def host(entrance: Entrance) -> bool:
    """As `dr-host app converge` and `status` look."""
    with entered(NETNS / entrance.names["a"]):
        return well.healthy(Layout(entrance.folder / "tree-a"))


@pytest.mark.parametrize(
    ("status", "codes", "well"),
    [
        (200, ["200"], True),
        (204, ["200"], False),
        (204, ["200", "204"], True),
        (302, ["200"], False),
        (302, ["200", "302"], True),
        (401, ["401"], True),
        (401, ["200"], False),
        (403, ["200"], False),
        (404, ["200"], False),
        (404, ["404"], True),
        (500, ["200"], False),
        (503, ["200", "204"], False),
    ],
)
def test_the_balancer_and_the_host_go_by_the_configured_statuses(
    tmp_path: Path, status: int, codes: list[str], well: bool
) -> None:
    with asked(tmp_path, status, health_codes=codes) as shop:
        assert balancer(shop) == (200 if well else 503)
        assert host(shop) is well
        assert balancer(shop, "b") == 200, "a standby is well when its nginx is: it forwards"


def test_a_text_that_is_not_there_is_seen_by_the_host(tmp_path: Path) -> None:
    with asked(tmp_path, 200, health_text='"site": "a"') as shop:
        assert host(shop)
    with asked(tmp_path / "other", 200, health_text="all is well") as shop:
        assert not host(shop)


def test_a_shop_that_takes_its_own_name_by_https_alone_is_asked_so(tmp_path: Path) -> None:
    """Rails' `config.hosts` and `force_ssl`, both of which answer whoever asks otherwise with something else."""
    with make(tmp_path, health_text="www.shop.example").running() as shop:
        assert host(shop)
    with make(tmp_path / "other", health_text='["x-forwarded-proto", "https"]').running() as shop:
        assert host(shop)


def test_a_shop_that_does_not_answer_is_not_well(tmp_path: Path) -> None:
    with make(tmp_path).running() as shop:
        shop.stop_puma("a")
        assert balancer(shop) == 503 and not host(shop)


@pytest.mark.parametrize("site", ["a", "b"])
@pytest.mark.parametrize("path", ["/-/shop", "/-/nothing", "/@well", "/@ill", "/up"])
def test_nothing_of_it_can_be_asked_by_itself(tmp_path_factory: pytest.TempPathFactory, site: str, path: str) -> None:
    with make(tmp_path_factory.mktemp("inner")).running() as shop:
        assert shop.ask(path, site=site, port=8080, proxy=False).status == 404


def test_what_is_for_the_pair_alone_is_configured(tmp_path: Path) -> None:
    with make(tmp_path, inside_paths=["/admin/jobs", "/metrics"]).running() as shop:
        for path, status in (("/metrics", 404), ("/metrics.json", 404), ("/admin/jobs/1", 404), ("/health/deep", 200)):
            assert [shop.ask(path, site=site).status for site in "ab"] == [status, status]
