"""The gem `shop_dr`'s own suite, under the Ruby and the Rails of the hosts. Ruby runs in the guests' image."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lab.machines import image
from tests.host.servers.test_shop_cart import INSIDE, ROOT

pytestmark = pytest.mark.lab

GEM = ROOT / "gems/shop_dr"


def ruby(folder: Path, *arguments: str) -> str:
    """What it says; raises where it fails."""
    command = ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", str(image.ensure()), str(GEM), str(folder), *arguments]
    path = {"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=path, timeout=120)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def test_the_suite_of_the_gem(tmp_path: Path) -> None:
    told = ruby(tmp_path, "ruby", "/mnt/shop/test/all.rb")
    found = re.search(r"(\d+) runs, \d+ assertions, 0 failures, 0 errors, 0 skips", told)
    assert found and int(found[1]) > 50, told


def test_the_gem_can_be_built_and_holds_what_it_needs(tmp_path: Path) -> None:
    told = ruby(
        tmp_path, "env", "-C", "/mnt/shop", "gem", "build", "shop_dr.gemspec", "--output", "/mnt/test/shop_dr.gem"
    )
    assert f"Version: {(GEM / 'VERSION').read_text().strip()}" in told
    ruby(
        tmp_path,
        "gem",
        "install",
        "--local",
        "--no-document",
        "--force",
        "--install-dir",
        "/mnt/test/gems",
        "/mnt/test/shop_dr.gem",
    )
    code = "require %q(rails); require %q(shop_dr); puts $LOADED_FEATURES.grep(/railtie/).grep(/shop_dr/)"
    assert ruby(tmp_path, "env", "GEM_HOME=/mnt/test/gems", "ruby", "-e", code).startswith("/mnt/test/gems/")


def test_its_changelog_tells_of_its_version() -> None:
    assert f"## {(GEM / 'VERSION').read_text().strip()}\n" in (GEM / "CHANGELOG.md").read_text()
