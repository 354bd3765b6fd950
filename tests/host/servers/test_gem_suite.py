"""The gem `shop_dr`'s own suite, under the Ruby and the Rails of the hosts. Ruby runs in the guests' image."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lab.machines import image
from scripts.host.app.schema import PENDING
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


# A database in which `DONE` have run.
PLAYED_PG = """
module PG
  def self.connect(_) = self
  def self.exec(_) = self
  def self.column_values(_) = ENV.fetch("DONE").split(",")
end
"""


@pytest.mark.parametrize(
    ("done", "all_there"),
    [
        ("20260101000001,20260101000002,20260101000003", True),
        ("20260101000001,20260101000002", False),
        ("20260101000001,20260101000003", False),
    ],
)
def test_a_migration_of_an_engine_or_in_a_folder_is_missed_where_a_lost_region_took_it_along(
    tmp_path: Path, done: str, all_there: bool
) -> None:
    migrations = tmp_path / "release/db/migrate"
    (migrations / "2026").mkdir(parents=True)
    for name in (
        "20260101000001_a.rb",
        "20260101000002_create_tables.active_storage.rb",
        "2026/20260101000003_b.rb",
        "README.md",
    ):
        (migrations / name).write_text("")
    (tmp_path / "pg.rb").write_text(PLAYED_PG)
    code = f'$LOAD_PATH.unshift("/mnt/test"); at_exit {{ puts $!.status; $stdout.flush; exit!(0) }}{PENDING}'
    told = '{"release": "/mnt/test/release", "database": {}}'
    (tmp_path / "asked.rb").write_text(f"require 'stringio'; $stdin = StringIO.new('{told}')\n{code}")
    assert ruby(tmp_path, "env", f"DONE={done}", "ruby", "/mnt/test/asked.rb").split() == ["0" if all_there else "1"]


def test_its_changelog_tells_of_its_version() -> None:
    assert f"## {(GEM / 'VERSION').read_text().strip()}\n" in (GEM / "CHANGELOG.md").read_text()
