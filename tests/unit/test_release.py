"""The artefact: the same bytes from the same files, all of it checked, and nothing that somebody else has put into one gets out of its folder."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract import artefact, release
from contract.errors import Failed
from contract.release import MANIFEST, Card, File, Manifest

MOST = 2**20
FILES = {"config.ru": b"run Shop\n", "bin/work": b"#!/bin/sh\n", "app/a.rb": b"a" * 5000, "empty": b""}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    target = tmp_path / "shop.tar.gz"
    artefact.pack(Manifest(files={}, ruby="3.3.8"), laid(tmp_path / "shop"), target)
    return target


def laid(folder: Path) -> dict[str, Path]:
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "bin/work").chmod(0o700)
    return {name: folder / name for name in FILES}


def test_what_is_unpacked_is_what_was_packed(made: Path, tmp_path: Path) -> None:
    told = artefact.unpack(made, tmp_path / "out", MOST)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES
    assert (tmp_path / "out/bin/work").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out/config.ru").stat().st_mode & 0o777 == 0o644
    assert told == artefact.peek(made, MOST) and told.ruby == "3.3.8" and told.size == sum(map(len, FILES.values()))
    assert artefact.differing(tmp_path / "out") == []


def test_another_user_reads_it_whatever_the_umask(made: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        artefact.unpack(made, tmp_path / "out", MOST)
    finally:
        os.umask(before)
    modes = {it.relative_to(tmp_path).as_posix(): it.stat().st_mode & 0o777 for it in (tmp_path / "out").rglob("*")}
    assert modes == {
        f"out/{MANIFEST}": 0o644, "out/config.ru": 0o644, "out/empty": 0o644, "out/app": 0o755, "out/app/a.rb": 0o644, "out/bin": 0o755,
        "out/bin/work": 0o755,
    }  # fmt: skip
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


def test_the_same_files_give_the_same_bytes_whenever_and_wherever(made: Path, tmp_path: Path) -> None:
    again = laid(tmp_path / "elsewhere")
    for path in again.values():
        os.utime(path, (1, 1))
    artefact.pack(Manifest(files={}, ruby="3.3.8"), dict(reversed(again.items())), tmp_path / "other.tar.gz")
    assert (tmp_path / "other.tar.gz").read_bytes() == made.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"other"),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"),
        lambda path: path.unlink(),
        lambda path: (path.rename(f"{path}.it"), path.symlink_to(f"{path}.it")),
    ],
    ids=["other", "a byte", "gone", "a link"],
)
def test_a_file_that_was_changed_afterwards_is_named(made: Path, tmp_path: Path, change: Callable[[Path], Any]) -> None:
    artefact.unpack(made, tmp_path / "out", MOST)
    change(tmp_path / "out/app/a.rb")
    assert artefact.differing(tmp_path / "out") == ["app/a.rb"]
    (tmp_path / "out/app/a.rb").unlink(missing_ok=True)
    (tmp_path / "out/config.ru").rename(tmp_path / "out/config.it")
    (tmp_path / "out/config.ru").symlink_to("config.it")  # as long as the file is
    assert artefact.differing(tmp_path / "out") == ["app/a.rb", "config.ru"]
    (tmp_path / "out" / MANIFEST).write_text("{}")
    assert artefact.differing(tmp_path / "out") == [MANIFEST]


def test_every_spoiled_byte_and_every_cut_is_seen(made: Path, tmp_path: Path) -> None:
    """By its digest each, and by what it holds nearly each: ten bytes of gzip's own say nothing of the files."""
    content, spoiled = made.read_bytes(), tmp_path / "spoiled.tar.gz"
    whole = artefact.peek(made, MOST)
    for at in sorted({*range(10, len(content) - 8, 41), *range(10, 40)}):
        spoiled.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        assert artefact.sha256(spoiled) != artefact.sha256(made)
        refuse_or_same(spoiled, tmp_path / f"flip-{at}", whole)
    for length in range(0, len(content) - 8, 97):
        spoiled.write_bytes(content[:length])
        refuse_or_same(spoiled, tmp_path / f"cut-{length}", whole)


def refuse_or_same(path: Path, folder: Path, whole: Manifest) -> None:
    """It is refused with a sentence, or the files are those that were built."""
    try:
        assert artefact.unpack(path, folder, MOST) == whole
    except Failed as error:
        assert "it is no release" in str(error) or "it is used nowhere" in str(error) or "unpacked" in str(error)
    else:
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES


def hostile(target: Path, entries: list[tuple[tarfile.TarInfo, bytes]], files: Mapping[str, str] | None = None) -> Path:
    """A tar with a manifest that lists the entries truly, whatever their names and kinds."""
    import hashlib

    listed = {it.name: f"0644 {len(body)} {hashlib.sha256(body).hexdigest()}" for it, body in entries}
    text = json.dumps({"format": 1, "files": listed if files is None else files}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry, body in [(tarfile.TarInfo(MANIFEST), text), *entries]:
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    target.write_bytes(gzip.compress(packed.getvalue()))
    return target


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    "name",
    ["../out-of-it", "/etc/passwd", "a/../../b", "a//b", "a/./b", "a\\b", "a\nb", "", "tmp/x", MANIFEST, "x" * 300],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Failed):
        artefact.unpack(hostile(tmp_path / "x.tar.gz", [(entry(name), b"x")]), tmp_path / "out", MOST)
    assert not (tmp_path / "out-of-it").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(Failed, match="its manifest does not list so"):
        artefact.unpack(hostile(tmp_path / "x.tar.gz", [(entry("a", kind, "/etc"), b"")]), tmp_path / "out", MOST)


def test_a_file_more_a_file_less_and_one_twice_are_refused(tmp_path: Path) -> None:
    one = [(entry("a"), b"x"), (entry("b"), b"y")]
    told = {"a": "0644 1 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    with pytest.raises(Failed, match="an entry 'b' that its manifest does not list"):
        artefact.unpack(hostile(tmp_path / "1.tar.gz", one, told), tmp_path / "1", MOST)
    with pytest.raises(Failed, match="no 'b', which its manifest lists"):
        artefact.unpack(hostile(tmp_path / "2.tar.gz", one[:1], {**told, "b": told["a"]}), tmp_path / "2", MOST)
    with pytest.raises(Failed, match="an entry 'a' that"):
        artefact.unpack(hostile(tmp_path / "3.tar.gz", [one[0], one[0]], told), tmp_path / "3", MOST)
    with pytest.raises(Failed, match="other contents of 'b'"):
        artefact.unpack(hostile(tmp_path / "4.tar.gz", one, {**told, "b": told["a"]}), tmp_path / "4", MOST)


def test_what_is_larger_than_may_be_ends_early(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failed, match="MB unpacked, wanted 0 MB at most"):
        artefact.peek(made, 100)
    # The name of an entry is read whole before anybody looks at it: it may be as long as it says, and ends at the bound.
    monkeypatch.setattr(artefact, "SPARE", 2**16)
    bomb = hostile(tmp_path / "bomb.tar.gz", [(entry("x" * 2 * MOST), b"")], {"a": f"0644 0 {'0' * 64}"})
    with pytest.raises(Failed, match=r"no gzipped tar \(ReadError\)"):
        artefact.unpack(bomb, tmp_path / "out", MOST)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", '{"format": 2, "files": {"a": "0644 1 %s"}}', '{"format": 1, "files": {}}', '{"format": 1, "files": {"a": "0777 1 %s"}}',
        '{"format": 1, "files": {"a": "0644 -1 %s"}}', '{"format": 1, "files": {"a": 7}}', '{"format": 1, "files": {"a": "0644 1 x"}}',
        '{"format": 1, "files": {"a": "0644 1 %s", "a/b": "0644 1 %s"}}', '{"format": 1, "files": {"a": "0644 1 %s"}, "ruby": "3.3; rm"}',
        '{"format": 1, "files": {"a": "0644 1 %s"}, "processes": {"web;x": "y"}}', '{"format": 1, "files": {"a\\u0000": "0644 1 %s"}}',
        '{"format": 1, "files": {"\\ud800": "0644 1 %s"}}',
    ],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(Failed, match="build it again"):
        release.manifest(text.replace("%s", "0" * 64).encode(), "manifest")


def test_a_card_is_read_as_it_was_written_and_shows_no_more_than_a_word_of_another() -> None:
    card = Card(digest="0" * 64, bytes=7, unpacked=9, count=1, built="2026-11-29T10:15:00Z", gems={"rails": "7.2.2"})
    assert release.card(release.card_text(card), "card") == card
    for value in ("x\x1b[2J" * 50, None, 7, "0" * 63):
        told = json.loads(release.card_text(card)) | {"digest": value}
        with pytest.raises(Failed) as refused:
            release.card(json.dumps(told).encode(), "card")
        assert "\x1b" not in str(refused.value) and len(str(refused.value)) < 600


def test_a_file_that_changes_while_it_is_packed_is_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = laid(tmp_path / "shop")
    was = artefact.listed(files)
    for other in (File(0o644, 5000, "0" * 64), File(0o644, 5001, was["app/a.rb"].sha256)):
        monkeypatch.setattr(artefact, "listed", lambda _, other=other: {**was, "app/a.rb": other})
        with pytest.raises(Failed, match=r"'app/a\.rb': found other contents than a moment ago"):
            artefact.pack(Manifest(files={}), files, tmp_path / "x.tar.gz")


def test_what_would_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    files = laid(tmp_path / "shop")
    with pytest.raises(Failed):
        artefact.pack(replace(Manifest(files={}), ruby="none"), files, tmp_path / "x.tar.gz")
