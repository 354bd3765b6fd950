"""A release on a host: from a copy, from the own region's bucket or the other's; whole and as it was built, or not there at all."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contract import artefact, release
from contract.errors import Failed, Refused, Usage
from contract.release import SPARE, Manifest
from scripts.host.app import release as placing
from scripts.host.frame.call import Call
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from tests.host.app.test_app import document as whole_document

RELEASES, UPLOADS = "opt/shop/releases", "opt/dr/uploads"


class Regions:
    """Buckets of both, by path. `cut`: bodies end after so many bytes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.cut: int | None = None
        self.asked: list[str] = []
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.asked.append(self.path)
                assert self.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=key/")
                body = told.objects.get(self.path)
                self.send_response(200 if body is not None else 403)
                self.send_header("content-length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write((body or b"")[: told.cut])

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def bucket(self, name: str) -> dict[str, str]:
        return {"endpoint": self.url, "region": "gra", "bucket": name, "access_key": "key", "secret_key": "hidden"}


@pytest.fixture
def regions() -> Iterator[Regions]:
    made = Regions()
    yield made
    made.close()


def built(folder: Path, text: str = "run Shop\n") -> tuple[str, bytes]:
    """A release's digest and bytes."""
    folder.mkdir(exist_ok=True)
    (folder / "config.ru").write_text(text)
    target = folder / "made.tar.gz"
    artefact.pack(Manifest(files={}), {"config.ru": folder / "config.ru", "bin/x": folder / "config.ru"}, target)
    return artefact.sha256(target), target.read_bytes()


class Host:
    """A host below a scratch folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.log = root, io.StringIO()

    def place(self, digest: str, **block: Any) -> Any:
        told = {"digest": digest, "most_mb": 10, "kept": 2, "own": None, "peer": None, **block}
        document = {key: it for key, it in whole_document().items() if key not in ("app", "epoch", "request")}
        call = Call("app", "place", {**document, "release": told}, Layout(self.root), Log(self.log, "app place"))
        return placing.place(call)

    def copied(self, digest: str, content: bytes) -> None:
        (self.root / UPLOADS).mkdir(parents=True, exist_ok=True)
        (self.root / UPLOADS / f"{digest}.tar.gz").write_bytes(content)

    @property
    def there(self) -> list[str]:
        folder = self.root / RELEASES
        return sorted(it.name for it in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


@pytest.fixture
def shop(tmp_path: Path) -> tuple[str, bytes]:
    return built(tmp_path / "shop")


def test_a_copy_is_unpacked_once_and_a_second_run_does_nothing(host: Host, shop: tuple[str, bytes]) -> None:
    digest, content = shop
    host.copied(digest, content)
    (host.root / RELEASES / f"{digest}.partial" / "left-over").mkdir(parents=True)
    assert host.place(digest).changed and host.there == [digest]
    assert (host.root / RELEASES / digest / "config.ru").read_text() == "run Shop\n"
    assert not (host.root / RELEASES / digest / "left-over").exists()
    assert not host.place(digest).changed
    placing.check_placed(host.root / RELEASES / digest)


@pytest.mark.parametrize("half", [0, 10, -1])
def test_half_a_copy_is_no_release(host: Host, shop: tuple[str, bytes], half: int) -> None:
    digest, content = shop
    host.copied(digest, content[:half])
    with pytest.raises(Failed, match="what was copied here is not that file, or not whole"):
        host.place(digest)
    assert host.there == []


def path_of(digest: str, site: str) -> str:
    return f"/releases-{site}/{release.object_of(digest)}"


def both(regions: Regions) -> dict[str, Any]:
    return {"own": regions.bucket("releases-a"), "peer": regions.bucket("releases-b")}


def test_it_is_fetched_from_the_own_region(host: Host, shop: tuple[str, bytes], regions: Regions) -> None:
    digest, content = shop
    regions.objects = {path_of(digest, site): content for site in "ab"}
    assert host.place(digest, **both(regions)).changed and host.there == [digest]
    assert regions.asked == [path_of(digest, "a")]
    assert list((host.root / UPLOADS).iterdir()) == [], "it can be fetched again"


@pytest.mark.parametrize("wrong", [None, b"", b"something else", "half", "nobody"])
def test_what_is_spoiled_in_one_region_is_taken_from_the_other(
    host: Host, shop: tuple[str, bytes], regions: Regions, wrong: bytes | str | None
) -> None:
    digest, content = shop
    regions.objects[path_of(digest, "b")] = content
    told = both(regions)
    if wrong == "nobody":
        told["own"] = {**told["own"], "endpoint": "http://127.0.0.1:1"}
    elif wrong is not None:
        regions.objects[path_of(digest, "a")] = content[:-20] if isinstance(wrong, str) else wrong
    assert host.place(digest, **told).changed
    placing.check_placed(host.root / RELEASES / digest)
    assert "bucket releases-a: " in host.log.getvalue() and "hidden" not in host.log.getvalue()


def test_nowhere_to_be_had_is_a_sentence_and_the_one_that_runs_stays(
    host: Host, shop: tuple[str, bytes], regions: Regions, tmp_path: Path
) -> None:
    before, content = built(tmp_path / "before", "run Before\n")
    host.copied(before, content)
    host.place(before)
    with pytest.raises(
        Failed, match=r"bucket releases-a: answered 403; bucket releases-b: answered 403, wanted the file"
    ) as told:
        host.place(shop[0], **both(regions))
    assert "the release that runs stays" in str(told.value) and host.there == [before]
    regions.objects = {path_of(shop[0], site): shop[1] for site in "ab"}
    regions.cut = 100
    with pytest.raises(Failed, match="ended before the file did"):
        host.place(shop[0], **both(regions))
    assert host.there == [before] and not list((host.root / UPLOADS).glob("*.partial"))


def test_a_release_larger_than_may_be_is_not_fetched_to_its_end(
    host: Host, shop: tuple[str, bytes], regions: Regions
) -> None:
    regions.objects = {path_of(shop[0], site): b"x" * (2**20 + 1) for site in "ab"}
    with pytest.raises(Failed, match=r"a file of more than 1 MB \(dr:app.release_max_mb\)"):
        host.place(shop[0], **both(regions), most_mb=1)
    assert host.there == []


@pytest.mark.parametrize("free", [0, SPARE])
def test_a_disk_without_room_is_refused_before_anything_is_unpacked(
    host: Host, shop: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    digest, content = shop
    host.copied(digest, content)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1, 1, 2**40, 2**40, free, 0, 0, 0, 0, 255)))
    with pytest.raises(Refused, match=r"MB free, wanted \d+ MB for release"):
        host.place(digest)
    assert host.there == []


def test_older_releases_go_but_the_newest_and_the_one_that_runs(host: Host, tmp_path: Path) -> None:
    digests = []
    for number in range(5):
        digest, content = built(tmp_path / "shop", f"run Shop{number}\n")
        host.copied(digest, content)
        host.place(digest, kept=50)
        os.utime(host.root / RELEASES / digest, (number, number))
        digests.append(digest)
        if number == 0:
            (host.root / "opt/shop/current").symlink_to(f"/{RELEASES}/{digest}")
    assert len(host.there) == 5 and [it.name for it in (host.root / UPLOADS).iterdir()] == [f"{digests[4]}.tar.gz"]
    assert host.place(digests[4], kept=3).facts["removed"] == 2
    assert host.there == sorted([digests[0], digests[3], digests[4]])
    assert host.place(digests[4], kept=1).facts["removed"] == 1
    assert host.there == sorted([digests[0], digests[4]]), "never the one that runs"


def test_a_file_that_was_changed_on_the_host_does_not_run(host: Host, shop: tuple[str, bytes]) -> None:
    digest, content = shop
    host.copied(digest, content)
    host.place(digest)
    (host.root / RELEASES / digest / "bin/x").write_text("rm")
    with pytest.raises(Failed, match="found 1 files that are not as its manifest lists them, 'bin/x' the first"):
        placing.check_placed(host.root / RELEASES / digest)


@pytest.mark.parametrize(
    "block", [{"digest": "../../etc"}, {"digest": "0" * 63}, {"kept": 0}, {"most_mb": None}, {"x": 1}]
)
def test_a_document_that_says_something_else_is_refused(host: Host, block: dict[str, Any]) -> None:
    with pytest.raises(Usage, match="nothing was changed"):
        host.place(**{"digest": "0" * 64, **block})
    assert host.there == [] and json.dumps(block)
