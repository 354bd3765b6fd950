"""What apt, debootstrap, pip and Go print, as counts; lines as these tools wrote them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.counting import Apt, Debootstrap, Go, Pip, follow
from lab.progress import Report

APT = """\
Reading package lists...
The following NEW packages will be installed:
  ethtool logrotate
0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.
Need to get 310 kB of archives.
Get:1 http://deb.debian.org/debian trixie/main amd64 logrotate amd64 3.22.0-1 [68.6 kB]
Get:2 http://deb.debian.org/debian trixie/main amd64 ethtool amd64 1:6.14.2-1 [241 kB]
Fetched 310 kB in 0s (2000 kB/s)
Selecting previously unselected package logrotate.
Preparing to unpack .../0-logrotate_3.22.0-1_amd64.deb ...
Unpacking logrotate (3.22.0-1) ...
Unpacking ethtool:amd64 (1:6.14.2-1) ...
Setting up ethtool:amd64 (1:6.14.2-1) ...
Setting up logrotate (3.22.0-1) ...
Processing triggers for libc-bin (2.41-12) ...
"""
DEBOOTSTRAP = """\
I: Retrieving InRelease
I: Retrieving Packages
I: Validating Packages
I: Retrieving libacl1 2.3.2-2+b1
I: Validating libacl1 2.3.2-2+b1
I: Validating bash 5.2.37-2+b5
I: Chosen extractor for .deb packages: dpkg-deb
I: Extracting libacl1...
I: Installing core packages...
I: Unpacking required packages...
I: Unpacking bash...
I: Unpacking libacl1:amd64...
I: Configuring required packages...
I: Configuring libacl1:amd64...
I: Configuring bash...
I: Configuring base system...
I: Base system installed successfully.
"""


def fed(counter: Callable[[str], object], report: Report, text: str) -> list[tuple[str, float | None]]:
    """What is told after each line, once each."""
    told: list[tuple[str, float | None]] = []
    for line in text.splitlines():
        counter(line)
        if not told or told[-1] != report.now():
            told.append(report.now())
    return told


def rounded(told: list[tuple[str, float | None]]) -> list[tuple[str, float | None]]:
    return [(text, None if part is None else round(part, 2)) for text, part in told if text]


def test_apts_packages_are_fetched_unpacked_and_set_up() -> None:
    report = Report()
    assert rounded(fed(Apt(report), report, APT)) == [
        ("fetching 1 of 2 packages: logrotate", 0.17),
        ("fetching 2 of 2 packages: ethtool", 0.33),
        ("unpacking 1 of 2 packages: logrotate", 0.5),
        ("unpacking 2 of 2 packages: ethtool", 0.67),
        ("setting up 1 of 2 packages: ethtool", 0.83),
        ("setting up 2 of 2 packages: logrotate", 1.0),
    ]


def test_packages_that_apt_has_on_disk_are_no_part_of_the_work() -> None:
    report = Report()
    text = "".join(
        line
        for line in APT.replace("Need to get 310 kB", "Need to get 0 B/310 kB").splitlines(True)
        if "Get:" not in line
    )
    told = rounded(fed(Apt(report), report, text))
    assert [part for _, part in told] == [0.25, 0.5, 0.75, 1.0]


def test_apts_lists_are_no_packages() -> None:
    report = Report()
    assert rounded(fed(Apt(report), report, "Get:1 http://deb.debian.org/debian trixie InRelease [140 kB]\n")) == []


def test_debootstrap_has_a_part_once_all_is_fetched() -> None:
    report = Report()
    assert rounded(fed(Debootstrap(report), report, DEBOOTSTRAP)) == [
        ("base system: fetched 1 packages", None),
        ("base system: fetched 2 packages", None),
        ("base system: unpacking 1 of 2 packages: bash", 0.25),
        ("base system: unpacking 2 of 2 packages: libacl1", 0.5),
        ("base system: configuring 1 of 2 packages: libacl1", 0.75),
        ("base system: configuring 2 of 2 packages: bash", 1.0),
    ]


def test_pip_counts_what_it_found_then_what_is_installed(tmp_path: Path) -> None:
    report = Report()
    (tmp_path / "pip-23.0.dist-info").mkdir()
    count = Pip(report, tmp_path.iterdir)
    count("Collecting boto3==1.44.8")
    count("  Downloading boto3-1.44.8-py3-none-any.whl (140 kB)")
    count("Collecting urllib3!=2.2.0,<3,>=1.25.4")
    assert report.now() == ("fetching, 2 packages so far: urllib3", None)
    count("Installing collected packages: urllib3, six, boto3")
    assert report.now() == ("installing 0 of 3 packages", 0.0)
    (tmp_path / "six-1.17.dist-info").mkdir()
    (tmp_path / "six.py").touch()
    text, part = report.now()
    assert text == "installing 1 of 3 packages"
    assert part == pytest.approx(1 / 3)


def test_go_counts_what_it_compiles_and_keeps_what_it_complains_of() -> None:
    report = Report()
    count = Go(report)
    count("go: downloading golang.org/x/sys v0.30.0")
    assert report.now() == ("fetched 1 modules: golang.org/x/sys", None)
    count.expect(["internal/goarch", "unicode", "main/command", "sync"])
    for line in ("internal/goarch", "unicode", "internal/goarch", "# main/command", "main.go:7:2: undefined: x"):
        count(line)
    assert report.now() == ("compiling 2 of 4 packages", 0.5)
    assert count.rest == ["internal/goarch", "# main/command", "main.go:7:2: undefined: x"]
    count("sync")
    count("main/command")
    assert report.now() == ("linking", 1.0)


def test_a_build_whose_packages_are_all_in_gos_cache_has_no_part() -> None:
    report = Report()
    Go(report).expect([])
    assert report.now() == ("linking", None)


def test_a_tools_lines_come_from_both_streams_and_its_status_is_given() -> None:
    lines: list[str] = []
    assert follow(["sh", "-c", "echo out; echo err >&2; exit 7"], lines.append) == 7
    assert lines == ["out", "err"]


def test_whatever_ends_the_counting_ends_the_tool() -> None:
    pids: list[int] = []

    def each(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(["sh", "-c", "echo $$; exec sleep 600"], each)
    assert not Path(f"/proc/{pids[0]}").exists()


def test_a_tool_that_must_not_be_cut_is_waited_for(tmp_path: Path) -> None:
    def each(line: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        follow(["sh", "-c", f"echo begun; sleep 0.2; echo more; touch {tmp_path}/whole"], each, to_the_end=True)
    assert (tmp_path / "whole").exists()


def test_lines_come_as_they_are_written(tmp_path: Path) -> None:
    """Not when the tool has ended: the second line waits for what the first one causes."""
    lines: list[str] = []

    def each(line: str) -> None:
        lines.append(line)
        (tmp_path / "heard").touch()

    assert follow(["sh", "-c", f"echo 1; until [ -e {tmp_path}/heard ]; do sleep 0.01; done; echo 2"], each) == 0
    assert lines == ["1", "2"]
