"""Every part is pinned by digest, listed, and looked up in a file of known vulnerabilities."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from lab import setup
from lab.machines import image
from lab.progress import Report
from lab.supply import audit, debs, lock, parts, sbom, versions
from lab.supply.parts import DEBIAN, GO, GUEST, PROGRAM, PYPI, TOOLS, Part
from lab.toolchain import cache

PROJECT = Path(__file__).resolve().parents[2]
LOCKS = {name: PROJECT / f"{name}.txt" for name in (lock.PROGRAM, lock.TESTS)}


def report(*packages: tuple[str, str, str], needs: dict[str, list[str]] | None = None) -> dict[str, object]:
    """As pip's `--report` says it: name, version, file."""
    return {
        "environment": {"python_version": "3.13", "extra": ""},
        "install": [
            {
                "metadata": {"name": name, "version": version, "requires_dist": (needs or {}).get(name, [])},
                "download_info": {
                    "url": f"https://x/{file}",
                    "archive_info": {"hashes": {"sha256": hashlib.sha256(file.encode()).hexdigest()}},
                },
            }
            for name, version, file in packages
        ],
    }


@pytest.mark.parametrize("name", LOCKS)
def test_what_people_wrote_is_what_is_pinned(name: str) -> None:
    pinned = {each.name: each.version for path in LOCKS.values() for each in lock.read(path.read_text()).values()}
    written = lock.named((PROJECT / f"{name}.in").read_text())
    assert {key: pinned.get(key) for key in written} == written, "run `make lock`"


def test_nothing_that_is_needed_is_left_unpinned() -> None:
    """The packages of this very environment, followed from what people wrote through what each says that it needs."""
    written = "\n".join((PROJECT / f"{name}.in").read_text() for name in LOCKS)
    queue = [Requirement(line) for line in written.splitlines() if line and not line.startswith(("#", "-r"))]
    needed: dict[str, str] = {}
    seen = set()
    while queue:
        need = queue.pop()
        if (need.name, *sorted(need.extras)) in seen:
            continue
        seen.add((need.name, *sorted(need.extras)))
        found = metadata.distribution(need.name)
        needed[lock.canonical(need.name)] = found.version
        for each in map(Requirement, found.requires or []):
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in (*need.extras, "")):
                queue.append(each)
    pinned = {each.name: each.version for path in LOCKS.values() for each in lock.read(path.read_text()).values()}
    assert len(needed) > 90
    assert {name: pinned.get(name) for name in needed} == needed, "run `make lock`"


def test_the_program_gets_nothing_that_only_tests_need() -> None:
    program, tests = (set(lock.read(path.read_text())) for path in LOCKS.values())
    assert {"boto3", "pulumi", "grpcio", "botocore"} <= program
    assert {"pytest", "moto", "mypy"} <= tests
    assert not program & tests


def test_no_lock_file_names_an_index() -> None:
    for path in (*LOCKS.values(), PROJECT / "lab/toolchain" / lock.GO_LOCK):
        assert "://" not in path.read_text()
        assert not re.search(
            r"^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)", path.read_text(), re.MULTILINE
        )


def test_a_pin_without_a_digest_is_refused() -> None:
    with pytest.raises(lock.LockError, match=r"six==1\.17\.0: found no digest, wanted one for each file"):
        lock.read("six==1.17.0\nattrs==26.1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n")


def test_a_line_without_a_version_is_refused() -> None:
    with pytest.raises(lock.LockError, match=r"found 'six>=1', wanted `<name>==<version>`"):
        lock.named("# packages\nattrs==1\nsix>=1\n")


def test_the_files_of_all_machines_are_pinned_together() -> None:
    pins = lock.merged([report(("PyYAML", "6.0", "a.whl"), ("six", "1", "s.whl")), report(("pyyaml", "6.0", "b.whl"))])
    assert {name: len(pin.digests) for name, pin in pins.items()} == {"pyyaml": 2, "six": 1}
    assert lock.read(lock.rendered("requirements.in", pins)) == pins


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (("six", "2", "s.whl"), "six: found 1 for one Python and 2 for another"),
        (("six", "1", "six.tar.gz"), "found no wheel with a digest"),
    ],
)
def test_what_cannot_be_pinned_is_refused(second: tuple[str, str, str], words: str) -> None:
    with pytest.raises(lock.LockError, match=words):
        lock.merged([report(("six", "1", "s.whl")), report(second)])


def test_the_programs_share_is_what_it_needs_on_any_machine() -> None:
    told = report(
        *((name, "1", f"{name}.whl") for name in ("Root", "deep_er", "only-here", "extra", "tests")),
        needs={
            "Root": ["deep-er>=1", "gone; python_version<'3.12'"],
            "deep_er": ["only-here", "extra; extra=='more'"],
            "tests": [],
        },
    )
    assert lock.needed([Requirement("root")], [told]) == {"root", "deep-er", "only-here"}
    assert "extra" in lock.needed([Requirement("root"), Requirement("deep-er[more]")], [told])


def wheel(folder: Path, word: str) -> Path:
    path = folder / "part-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("part.py", f"said = {word!r}\n")
        archive.writestr("part-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: part\nVersion: 1.0\n")
        archive.writestr("part-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("part-1.0.dist-info/RECORD", "")
    return path


def test_a_file_of_the_same_name_and_version_with_other_contents_is_not_installed(tmp_path: Path) -> None:
    """With the very arguments of the set-up, a real pip and a lock file as ours."""
    pins = lock.merged([report(("part", "1.0", "x.whl"))])
    pin = lock.Pin("part", "1.0", frozenset({hashlib.sha256(wheel(tmp_path, "good").read_bytes()).hexdigest()}))
    assert pins.keys() == {"part"}
    (tmp_path / "lock.txt").write_text(lock.rendered("x.in", {"part": pin}))

    def install(target: str) -> subprocess.CompletedProcess[str]:
        offline = ["--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / target)]
        words = [sys.executable, "-m", *setup.PIP, *offline, "-r", str(tmp_path / "lock.txt")]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    assert install("first").returncode == 0
    wheel(tmp_path, "evil")
    refused = install("second")
    assert refused.returncode != 0
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not (tmp_path / "second" / "part.py").exists()


def test_the_set_up_installs_what_is_pinned_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Sequence[str]] = []
    monkeypatch.setattr(setup, "follow", lambda command, count, **more: told.append(command))
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(cache, "build", lambda name, recipe, make: make(tmp_path))
    setup.environment(Report())
    assert "--require-hashes" in told[-1]
    assert "--only-binary=:all:" in told[-1]
    assert told[-1][-1] == str(PROJECT / "requirements-dev.txt")


def test_the_list_of_parts_has_every_pin_of_every_lock_file() -> None:
    found = {component["purl"]: component for component in sbom.document(parts.every())["components"]}
    for path in LOCKS.values():
        for pin in lock.read(path.read_text()).values():
            listed = found[f"pkg:pypi/{pin.name}@{pin.version}"]
            assert {each["hashes"][0]["content"] for each in listed["externalReferences"]} == pin.digests
    sums = (PROJECT / "lab/toolchain/go.sum").read_text()
    modules = re.findall(r"^\t(\S+) (v\S+)", (PROJECT / "lab/toolchain/go.mod").read_text(), re.MULTILINE)
    assert len(modules) > 200
    for name, version in modules:
        assert f"pkg:golang/{name}@{version}".replace("+", "%2B") in found, name
        assert f"{name} {version}" in sums


def test_the_list_has_the_form_of_cyclonedx() -> None:
    made = sbom.document(
        [
            Part(PYPI, "six", "1", PROGRAM, ("ab",)),
            Part(GO, "a.b/c", "v1", TOOLS, checksum="h1:x"),
            Part(DEBIAN, "d", "1:2~3", GUEST),
        ]
    )
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made["serialNumber"]
    )
    assert [each["purl"] for each in made["components"]] == [
        "pkg:pypi/six@1",
        "pkg:golang/a.b/c@v1",
        "pkg:deb/debian/d@1%3A2~3?distro=trixie",
    ]
    assert len({each["bom-ref"] for each in made["components"]}) == 3
    assert made["dependencies"] == [{"ref": "shop-dr", "dependsOn": ["pkg:pypi/six@1"]}]


def test_a_changed_part_is_another_list_and_the_same_parts_are_the_same() -> None:
    one, two = (sbom.document([Part(PYPI, "six", version, PROGRAM)]) for version in ("1", "2"))
    assert one["serialNumber"] != two["serialNumber"]
    assert one == sbom.document([Part(PYPI, "six", "1", PROGRAM)])


def test_a_module_without_a_checksum_is_refused(tmp_path: Path) -> None:
    for folder in parts.GO_MODULES:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "go.mod").write_text("module x\n\nrequire example.com/part v1.2.3\n")
        (tmp_path / folder / "go.sum").write_text(
            "example.com/part v1.2.4 h1:" + base64.b64encode(b"0" * 32).decode() + "\n"
        )
    with pytest.raises(lock.LockError, match=r"example\.com/part v1\.2\.3 has no checksum in go\.sum"):
        list(parts.go(tmp_path))


def test_a_guests_packages_are_those_that_it_holds(tmp_path: Path) -> None:
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(
        "Package: libpq5\nStatus: install ok installed\nSource: postgresql-17 (17.1-1)\nVersion: 17.1-1+b1\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
    )
    (found,) = parts.debian(tmp_path)
    assert (found.name, found.version, found.known_as) == ("libpq5", "17.1-1+b1", ("postgresql-17", "17.1-1"))


def guest(folder: Path, **versions: str) -> tuple[Path, Path]:
    """An image that holds these packages, and the files that it was made of."""
    root, files = folder / "root", folder / "debs"
    (root / "var/lib/dpkg/info").mkdir(parents=True)
    files.mkdir()
    blocks = []
    for name, version in versions.items():
        blocks.append(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\nDescription: x\n"
        )
        Path(files, debs.Deb(name, version, "amd64", "").file).write_text(f"{name} {version}")
    (root / "var/lib/dpkg/status").write_text("\n".join(blocks))
    return root, files


def test_the_list_of_an_image_is_its_files(tmp_path: Path) -> None:
    root, files = guest(tmp_path, dpkg="1.2", rails="2:7.2+dfsg-2~deb13u2")
    ((path, text),) = lock.debian(root, files, tmp_path).items()
    assert path == tmp_path / "debian-amd64.txt"
    path.write_text(text)
    rails = next(deb for deb in debs.read(path) if deb.name == "rails")
    assert rails.file == "rails_2%3a7.2+dfsg-2~deb13u2_amd64.deb"
    assert rails.digest == hashlib.sha256(b"rails 2:7.2+dfsg-2~deb13u2").hexdigest()
    assert debs.moved(debs.read(path), debs.installed(root, files)) == "", "the same again"
    assert lock.debian(root, files, tmp_path) == {path: text}


def test_another_file_of_a_listed_version_is_refused_and_never_listed(tmp_path: Path) -> None:
    root, files = guest(tmp_path, dpkg="1.2", libc6="2.41")
    for path, text in lock.debian(root, files, tmp_path).items():
        path.write_text(text)
    Path(files, "libc6_2.41_amd64.deb").write_text("another")
    for ask in (
        lambda: debs.refuse_replaced(files, debs.listed(tmp_path)),
        lambda: lock.debian(root, files, tmp_path) and None,
    ):
        with pytest.raises(debs.DebError, match=r"libc6_2\.41_amd64\.deb: found SHA-256 .*somebody has replaced it"):
            ask()
    Path(files, "libc6_2.41_amd64.deb").unlink()
    Path(files, "libc6_2.42_amd64.deb").write_text("a newer one")
    debs.refuse_replaced(files, debs.listed(tmp_path))


def test_versions_that_have_moved_on_are_told_and_taken() -> None:
    before = [debs.Deb(name, version, "amd64", "0" * 64) for name, version in (("a", "1"), ("b", "1"), ("gone", "1"))]
    now = [debs.Deb(name, version, "amd64", "1" * 64) for name, version in (("a", "2"), ("b", "1"), ("new", "3"))]
    said = debs.moved(before, now)
    assert "a 1 -> 2, new 3 is new, gone 1 is gone; they are taken" in said and "`make lock`" in said
    assert debs.moved([], now) == "", "there is no list yet for this architecture"
    many = [debs.Deb(f"p{number:02}", "2", "amd64", "2" * 64) for number in range(20)]
    assert "p04 2 is new, p05 2 is new, p06 2 is new, p07 2 is new and 15 more;" in debs.moved(before, many)


@pytest.mark.parametrize("line", ["rails 7.2 amd64", f"rails 7.2 amd64 {'g' * 64}", f"Rails 7.2 amd64 {'0' * 64}", "x"])
def test_a_line_that_names_no_file_is_refused(tmp_path: Path, line: str) -> None:
    Path(tmp_path, "debian-amd64.txt").write_text(f"# head\n{line}\n")
    with pytest.raises(debs.DebError, match=r"debian-amd64\.txt:2: found "):
        debs.listed(tmp_path)


def test_a_list_of_parts_is_not_made_beside_a_list_of_files_that_cannot_be_read(tmp_path: Path) -> None:
    """As a lock file: in one line, by whoever asks for parts."""
    root, _ = guest(tmp_path, dpkg="1.2")
    Path(tmp_path, "debian-amd64.txt").write_text("x\n")
    with pytest.raises(lock.LockError, match=r"debian-amd64\.txt:1: found 'x'"):
        list(parts.debian(root, tmp_path))


def test_two_lists_with_two_digests_of_one_file_are_refused(tmp_path: Path) -> None:
    for architecture, digest in (("amd64", "0"), ("arm64", "1")):
        Path(tmp_path, f"debian-{architecture}.txt").write_text(f"rails 7.2 all {digest * 64}\n")
    with pytest.raises(debs.DebError, match=r"rails_7\.2_all\.deb has another digest than in another list"):
        debs.listed(tmp_path)


def test_a_file_that_the_archive_has_with_other_bytes_is_refused(tmp_path: Path) -> None:
    """One that was kept from before: apt goes by its size."""
    _, files = guest(tmp_path, dpkg="1:1.2")
    with pytest.raises(debs.DebError, match="found no list of the archive's packages"):
        debs.archive(tmp_path)
    digest = hashlib.sha256(b"dpkg 1:1.2").hexdigest()
    for told, refused in ((digest, False), ("0" * 64, True)):
        text = f"Package: dpkg\nVersion: 1:1.2\nArchitecture: amd64\nFilename: x\nSHA256: {told}\n\nPackage: half\n"
        Path(tmp_path, "x_main_binary-amd64_Packages").write_text(text)
        if refused:
            with pytest.raises(debs.DebError, match="told of this very version"):
                debs.refuse_replaced(files, debs.archive(tmp_path))
        else:
            debs.refuse_replaced(files, debs.archive(tmp_path))


def test_an_image_is_not_built_from_a_file_that_was_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched is looked at before any of it is unpacked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    monkeypatch.setattr(image, "_mirror", list)
    root, done = tmp_path / "root", list[str]()

    def step(what: str, *_: object) -> None:
        done.append(what)
        if what == "debootstrap":
            for place in ("usr/sbin", "var/lib/apt/lists"):
                (root / place).mkdir(parents=True)
        elif what == "apt-get update":
            told = f"Package: rails\nVersion: 7.2\nArchitecture: all\nSHA256: {'0' * 64}\n"
            (root / "var/lib/apt/lists/x_Packages").write_text(told)
        elif what == "apt-get download":
            (image.files() / "rails_7.2_all.deb").write_text("of somebody else")

    monkeypatch.setattr(image, "_run", step)
    with pytest.raises(image.ImageError, match=r"rails_7\.2_all\.deb: found SHA-256 .*the image was not built from it"):
        image._make(tmp_path, Report())
    assert done == ["debootstrap", "apt-get update", "apt-get download"]


def test_what_is_no_image_of_debian_is_not_listed(tmp_path: Path) -> None:
    root, files = guest(tmp_path, other="1")
    with pytest.raises(debs.DebError, match="found no package dpkg in it"):
        lock.debian(root, files, tmp_path)


def test_a_package_of_the_listed_version_is_named_with_its_digest(tmp_path: Path) -> None:
    root, _ = guest(tmp_path, dpkg="1.2", other="2")
    digest = "a" * 64
    Path(tmp_path, "debian-amd64.txt").write_text(f"dpkg 1.2 amd64 {digest}\nother 1 amd64 {digest}\n")
    assert {part.name: part.digests for part in parts.debian(root, tmp_path)} == {"dpkg": (digest,), "other": ()}


def test_an_image_without_its_files_is_not_listed(tmp_path: Path) -> None:
    root, files = guest(tmp_path, dpkg="1.2", other="1")
    Path(files, "other_1_amd64.deb").unlink()
    with pytest.raises(debs.DebError, match=r"other_1_amd64\.deb: found no such file"):
        lock.debian(root, files, tmp_path)


def test_no_image_leaves_the_list_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lock.debian(tmp_path / "none", tmp_path, tmp_path) == {}
    assert "stays as it is" in capsys.readouterr().err


def test_the_list_in_the_repository_holds_what_the_image_is_asked_for() -> None:
    for path in debs.HERE.glob("debian-*.txt"):
        assert {*image.BASE, *image.PACKAGES} <= {deb.name for deb in debs.read(path)}, "run `make lock`"
    assert (debs.HERE / "debian-amd64.txt").exists()


def test_gems_are_named_with_the_package_that_brings_them(tmp_path: Path) -> None:
    root, _ = guest(tmp_path, dpkg="1.2", rails="7")
    (root / "var/lib/dpkg/info/rails.list").write_text(
        "/usr\n/usr/share/rubygems-integration/all/specifications/rails-7.2.2.2.gemspec\n"
        "/usr/share/rubygems-integration/all/specifications/aws-sdk-s3-1.170.0.gemspec\n"
    )
    found = {part.name: part for part in parts.debian(root)}
    assert found["rails"].gems == ("aws-sdk-s3 1.170.0", "rails 7.2.2.2") and found["dpkg"].gems == ()
    told = sbom.component(found["rails"])
    assert {"name": "rubygems", "value": "rails 7.2.2.2"} in told["properties"]


def entry(ecosystem: str, name: str, **affected: object) -> dict[str, object]:
    return {
        "id": "X-1",
        "summary": "bad",
        "affected": [{"package": {"ecosystem": ecosystem, "name": name}, **affected}],
    }


def events(*steps: dict[str, str], kind: str = "ECOSYSTEM") -> list[dict[str, object]]:
    return [{"type": kind, "events": list(steps)}]


SIX, MODULE = Part(PYPI, "six", "1.16.0", PROGRAM), Part(GO, "golang.org/x/crypto", "v0.59.0", TOOLS)
LIBPQ = Part(DEBIAN, "libpq5", "17.1-1+b1", GUEST, source=("postgresql-17", "17.1-1"))


@pytest.mark.parametrize(
    ("part", "known", "fixed"),
    [
        (SIX, entry(PYPI, "Six", ranges=events({"introduced": "0"}, {"fixed": "1.17.0"})), "1.17.0"),
        (SIX, entry(PYPI, "six", ranges=events({"introduced": "0"}, {"fixed": "1.9.0"})), None),
        (SIX, entry(PYPI, "six", ranges=events({"introduced": "1.17"})), None),
        (SIX, entry(PYPI, "six", ranges=events({"introduced": "1.10"}, {"last_affected": "1.16.0"})), ""),
        (SIX, entry(PYPI, "six", ranges=events({"introduced": "1.10"}, {"last_affected": "1.15"})), None),
        (SIX, entry(PYPI, "six", versions=["1.16.0"]), ""),
        (SIX, entry(PYPI, "six", versions=["1.15.0"]), None),
        (SIX, entry(PYPI, "six"), ""),
        (SIX, entry(PYPI, "six", ranges=events({"introduced": "nothing like one"})), ""),
        (SIX, entry("npm", "six", versions=["1.16.0"]), None),
        (
            SIX,
            entry(PYPI, "six", ranges=events({"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "1.16"}, {"fixed": "1.16.1"})),
            "1.16.1",
        ),
        (MODULE, entry(GO, "golang.org/x/crypto", ranges=events({"introduced": "0"}, {"fixed": "0.60.0"}, kind="SEMVER")), "0.60.0"),
        (MODULE, entry(GO, "golang.org/x/crypto", ranges=events({"introduced": "0"}, {"fixed": "0.59.0"}, kind="SEMVER")), None),
        (LIBPQ, entry(DEBIAN, "postgresql-17", ranges=events({"introduced": "0"}, {"fixed": "17.1-1+deb13u1"})), "17.1-1+deb13u1"),
        (LIBPQ, entry(DEBIAN, "postgresql-17", ranges=events({"introduced": "0"}, {"fixed": "17.1-1~bpo1"})), None),
    ],
)  # fmt: skip
def test_an_entry_is_about_a_version_or_not(part: Part, known: dict[str, object], fixed: str | None) -> None:
    found = audit.findings([part], [known])
    assert [each.fixed for each in found] == ([] if fixed is None else [fixed])


def test_a_withdrawn_entry_is_none() -> None:
    assert not audit.findings([SIX], [{**entry(PYPI, "six", versions=["1.16.0"]), "withdrawn": "2026-01-01T00:00:00Z"}])


@pytest.mark.parametrize("form", ["one", "list", "lines", "zip"])
def test_all_forms_of_a_file_are_read(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, pin = next((pin.name, pin) for pin in lock.read(LOCKS[lock.PROGRAM].read_text()).values())
    known, path = entry(PYPI, name, versions=[pin.version]), tmp_path / "osv"
    other = entry(PYPI, "not-ours", versions=["1"])
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("X-1.json", json.dumps(known))
            archive.writestr("X-2.json", json.dumps(other))
    else:
        path.write_text(
            {
                "one": json.dumps(known),
                "list": json.dumps([known, other]),
                "lines": f"{json.dumps(known)}\n{json.dumps(other)}\n",
            }[form]
        )
    assert audit.main([str(path)]) == audit.SOME
    said = capsys.readouterr().out
    assert said.startswith(f"X-1  {name} {pin.version} (program): no fixed version is known: bad\n")
    path.write_text(json.dumps([other]))
    assert audit.main([str(path)]) == audit.NONE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"id": "X-1", "affected": [',
        '["X-1"]',
        "PK\x03\x04",
        '[{"affected": []}]',
        '[{"id": "X", "affected": [7]}]',
        '[{"id": "X", "affected": [{"package": null}]}]',
        '[{"id": "X", "affected": [{"package": {}, "ranges": [null]}]}]',
        '[{"id": "X", "affected": [{"package": {}, "versions": "1"}]}]',
        '{"id": "X", "affected": 1}',
    ],
)
def test_a_broken_file_never_looks_like_a_clean_one(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "osv.json").write_text(text)
    assert audit.main([str(tmp_path / "osv.json")]) == audit.UNREADABLE
    said = capsys.readouterr()
    assert "nothing was looked up" in said.err
    assert not said.out


def test_the_order_of_debian_is_dpkgs() -> None:
    rising = [
        "1.0~rc1-1",
        "1.0-1~bpo1",
        "1.0-1",
        "1.0-1+b1",
        "1.0-1+deb13u1",
        "1.0-2",
        "1.0a-1",
        "1.0.1-1",
        "1.10-1",
        "1:0.1",
    ]
    assert sorted(reversed(rising), key=versions.debian) == rising


def test_the_order_of_go_is_semvers() -> None:
    rising = [
        "v0.0.0-20230101000000-abcdef",
        "v1.0.0-alpha",
        "v1.0.0-alpha.1",
        "v1.0.0-beta.2",
        "v1.0.0-beta.11",
        "v1.0.0",
        "v1.9.0",
        "v1.10.0",
    ]
    assert sorted(reversed(rising), key=versions.semver) == rising
