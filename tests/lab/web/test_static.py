"""Files that nginx serves from the release: what is there, how long it is kept, how it is compressed; and that nothing else is to be had."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.web.entrance import Answer, Entrance, make

pytestmark = pytest.mark.lab

TEXT = "body { color: #123456 }\n" * 200
PACKED = gzip.compress(b"packed beforehand\n" * 100)
SECRET = "not for anybody outside"


def release(folder: Path) -> None:
    """As a Rails application leaves it, and as somebody would who wants to get out of it."""
    assets = folder / "public/assets"
    (assets / "deep/er").mkdir(parents=True)
    files = {
        "app-1a2b3c4d.css": TEXT,
        "app.css": TEXT,
        "short-1a2b3c4d.css": "a{}",
        "deep/er/logo-0f0f0f0f0f0f0f0f.svg": "<svg/>" * 400,
        "report-20241231.txt": TEXT,
        "page.html": f"<p>{TEXT}</p>",
        "film.mp4": TEXT,
        "packed-aabbccdd.js": "console.log(1)\n" * 100,
        ".manifest.json": SECRET,
        ".hidden/app.css": SECRET,
        "deep/.env": SECRET,
    }
    for name, text in files.items():
        (assets / name).parent.mkdir(exist_ok=True)
        (assets / name).write_text(text)
    (assets / "packed-aabbccdd.js.gz").write_bytes(PACKED)
    (folder / "secrets.yml").write_text(SECRET)
    (folder / "public/favicon.ico").write_text(SECRET)
    (folder / "public/assets2").mkdir()
    (folder / "public/assets2/app.css").write_text(SECRET)
    (assets / "passwd").symlink_to("/etc/passwd")
    (assets / "up").symlink_to("../..")
    (assets / "key.css").symlink_to("../../secrets.yml")
    (assets / "linked").symlink_to("deep")
    (assets / "app-2a2b3c4d.css.gz").symlink_to("/etc/shop/tls.key")
    (assets / "app-2a2b3c4d.css").write_text("b{}")
    os.mkfifo(assets / "pipe")
    (folder / "public/linked").symlink_to("../..")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrance]:
    folder = tmp_path_factory.mktemp("static")
    with make(folder, release=release, static_folders=["assets", "linked"], static_age_s=77).running() as running:
        yield running


def packed(entrance: Entrance, path: str, site: str = "a", **more: str) -> Answer:
    return entrance.ask(path, site=site, headers=[("Accept-Encoding", "gzip"), *more.items()])


def by_puma(answer: Answer) -> bool:
    return answer.status == 200 and b'"headers"' in answer.body


@pytest.mark.parametrize("site", ["a", "b"])
@pytest.mark.parametrize("path", ["/assets/app-1a2b3c4d.css", "/assets/deep/er/logo-0f0f0f0f0f0f0f0f.svg"])
def test_a_file_with_a_fingerprint_is_kept_for_a_year_in_both_regions(shop: Entrance, site: str, path: str) -> None:
    found = shop.ask(path, site=site)
    assert found.status == 200 and not by_puma(found)
    assert found.header("Cache-Control") == ["public, max-age=31536000, immutable"]
    assert found.header("Strict-Transport-Security") == ["max-age=86400"]


@pytest.mark.parametrize("name", ["app.css", "report-20241231.txt", "film.mp4"])
def test_one_without_is_kept_for_as_long_as_is_configured(shop: Entrance, name: str) -> None:
    found = shop.ask(f"/assets/{name}")
    assert (found.status, found.header("Cache-Control")) == (200, ["public, max-age=77"]), "digits alone are a date"


def test_what_is_not_there_the_shop_is_asked_for_and_says_itself_how_long_it_is_kept(shop: Entrance) -> None:
    """While a release comes host by host, its pages name files that this host does not have yet."""
    for site in "ab":
        found = shop.ask("/assets/new-99999999.css?v=1", site=site)
        assert by_puma(found) and found.told["path"] == "/assets/new-99999999.css?v=1" and found.told["site"] == "a"
        assert found.header("Cache-Control") == []


def test_files_outside_of_the_named_folders_are_the_shops_own_matter(shop: Entrance) -> None:
    for path in ("/favicon.ico", "/assets2/app.css", "/assets", "/assets/", "/assets/deep/", "/Assets/app.css"):
        assert by_puma(shop.ask(path)), path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_file_is_only_read(shop: Entrance, method: str) -> None:
    assert shop.ask("/assets/app.css", method=method, headers=[("Content-Length", "0")]).status == 405


def test_a_part_of_a_file_and_one_that_is_known_already(shop: Entrance) -> None:
    found = shop.ask("/assets/app.css", headers=[("Range", "bytes=0-3")])
    assert (found.status, found.body) == (206, b"body")
    tag = shop.ask("/assets/app.css").header("ETag")[0]
    assert shop.ask("/assets/app.css", headers=[("If-None-Match", tag)]).status == 304


# --- out of the folder

OUT = (
    "/assets/../secrets.yml",
    "/assets/../../secrets.yml",
    "/assets/%2e%2e/secrets.yml",
    "/assets/..%2fsecrets.yml",
    "/assets/%2e%2e%2f%2e%2e%2fsecrets.yml",
    "/assets/..%5csecrets.yml",
    "/assets/%252e%252e/secrets.yml",
    "/assets//../../secrets.yml",
    "/assets/./../../secrets.yml",
    "/assets/deep/../../../secrets.yml",
    "/assets/..;/secrets.yml",
    "/assets../secrets.yml",
    "/assets/%00/../../secrets.yml",
    "/assets/app.css%00.yml",
    "/assets/passwd",
    "/assets/key.css",
    "/assets/up/secrets.yml",
    "/assets/up/config/../secrets.yml",
    "/assets/linked/er/logo-0f0f0f0f0f0f0f0f.svg",
    "/linked/releases/abc/secrets.yml",
    "/assets/pipe",
    "/assets/",
    "/assets/deep",
)


@pytest.mark.parametrize("site", ["a", "b"])
@pytest.mark.parametrize("path", OUT)
def test_nothing_outside_of_the_folder_is_shown(shop: Entrance, site: str, path: str) -> None:
    """The shop may be asked for it, under the very words; a file of the host, or one that a link leads to, comes from nobody."""
    found = packed(shop, path, site)
    assert by_puma(found) or found.status in (400, 403, 404), found
    assert SECRET.encode() not in found.body and b"root:" not in found.body and b"<svg/>" not in found.body


@pytest.mark.parametrize("site", ["a", "b"])
@pytest.mark.parametrize(
    "path",
    [
        "/assets/.manifest.json",
        "/assets/.hidden/app.css",
        "/assets/deep/.env",
        "/assets/%2emanifest.json",
        "/assets/deep/%2Eenv",
        "/assets/x/../.manifest.json",
        "//assets//.manifest.json",
        "/assets/.not-there",
    ],
)
def test_what_begins_with_a_dot_is_not_there_and_the_shop_is_not_asked(shop: Entrance, site: str, path: str) -> None:
    assert shop.ask(path, site=site).status == 404


def test_a_packed_file_that_is_a_link_is_not_sent_either(shop: Entrance) -> None:
    found = packed(shop, "/assets/app-2a2b3c4d.css")
    assert (found.status, found.body, found.header("Content-Encoding")) == (200, b"b{}", [])


# --- compressed


@pytest.mark.parametrize("name", ["app-1a2b3c4d.css", "deep/er/logo-0f0f0f0f0f0f0f0f.svg", "page.html"])
def test_text_is_compressed_for_who_takes_it(shop: Entrance, name: str) -> None:
    found = packed(shop, f"/assets/{name}", **{"Via": "1.1 proxy"})
    plain = shop.ask(f"/assets/{name}")
    assert found.header("Content-Encoding") == ["gzip"] and plain.header("Content-Encoding") == []
    assert found.header("Vary") == ["Accept-Encoding"] == plain.header("Vary"), "whoever keeps it must keep both"
    assert len(found.body) < len(plain.body)


def test_one_that_was_packed_beforehand_is_sent_as_it_is(shop: Entrance) -> None:
    found = packed(shop, "/assets/packed-aabbccdd.js")
    assert (found.body, found.header("Content-Encoding")) == (PACKED, ["gzip"])
    assert found.header("Cache-Control") == ["public, max-age=31536000, immutable"]


@pytest.mark.parametrize("name", ["film.mp4", "short-1a2b3c4d.css"])
def test_what_gains_nothing_is_sent_as_it_is(shop: Entrance, name: str) -> None:
    assert packed(shop, f"/assets/{name}").header("Content-Encoding") == []


@pytest.mark.parametrize("site", ["a", "b"])
def test_what_the_shop_makes_is_not_compressed_and_it_may_do_so_itself(shop: Entrance, site: str) -> None:
    """BREACH: a page holds what is secret beside what a stranger can put there, and its length would tell."""
    found = packed(shop, f"/products?q={'x' * 3000}", site)
    assert found.status == 200 and len(found.body) > 3000
    assert found.header("Content-Encoding") == [] and found.arrived("Accept-Encoding") == ["gzip"]


def test_without_gzip_nothing_is(tmp_path: Path) -> None:
    with make(tmp_path, release=release, gzip=False).running() as off:
        for name in ("app-1a2b3c4d.css", "packed-aabbccdd.js"):
            assert packed(off, f"/assets/{name}").header("Content-Encoding") == []
