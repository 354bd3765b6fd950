"""`drctl build` with the Ruby and the Bundler of the guests' image: gems come from `vendor/cache`, assets are compiled, extensions are opened."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from contract import artefact
from contract.errors import Failed, Refused
from lab.machines import image
from scripts.ctl.releases import build as building
from scripts.ctl.releases.build import Built, Order, build

pytestmark = pytest.mark.lab
# In the image, at the place that has the same name here. The mounts go with the process.
INSIDE = """#!/bin/sh
exec unshare --mount sh -ec '
root=$1 here=$2 at=$3
shift 3
mount -t tmpfs none "$root/tmp"
mkdir -p "$root$here"
mount --bind "$here" "$root$here"
PATH=/usr/sbin:/usr/bin:/sbin:/bin exec chroot "$root" sh -c "cd \\"\\$0\\" && exec \\"\\$@\\"" "$at" "$@"
' sh {root} {here} "$PWD" {program} "$@"
"""
QUICK = """Gem::Specification.new do |s|
  s.name, s.version, s.summary, s.authors = "quick", "1.0.0", "x", ["x"]
  s.files = Dir["lib/**/*"]
end
"""
# A pipeline as far as a build knows one: its name in Gemfile.lock, and what `rake` does.
PIPELINE = """Gem::Specification.new do |s|
  s.name, s.version, s.summary, s.authors = "propshaft", "1.0.0", "x", ["x"]
  s.files, s.executables = Dir["bin/*"], ["rake"]
end
"""
RAKE = """#!/usr/bin/env ruby
abort "no dummy" unless ENV["SECRET_KEY_BASE_DUMMY"] && ENV["RAILS_ENV"] == "production"
abort "found #{ENV["DR_SECRET"]}" if ENV["DR_SECRET"]
require "fileutils"
FileUtils.mkdir_p("public/assets")
File.write("public/assets/.manifest.json", ARGV.join)
"""
LOCK = """GEM
  remote: https://rubygems.org/
  specs:
    propshaft (1.0.0)
    quick (1.0.0)

PLATFORMS
  ruby
  x86_64-linux

DEPENDENCIES
  propshaft
  quick

BUNDLED WITH
   2.6.7
"""


class Workshop:
    """An application with its gems' archives, and where it is built."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.app = folder, folder / "app"
        self.order = Order(folder=self.app, place=folder / "project/.build", ruby="3.3", most_mb=50)
        (folder / "bin").mkdir()
        for program in ("ruby", "bundle", "gem"):
            script = folder / "bin" / program
            script.write_text(INSIDE.format(root=image.ensure(), here=folder, program=program))
            script.chmod(0o755)
        self.write("app/config.ru", "run Shop\n")
        self.write("app/Procfile", "web: bundle exec puma -p $PORT\n")
        self.write("app/Rakefile", "")
        self.write("app/Gemfile", 'source "https://rubygems.org"\ngem "quick"\ngem "propshaft"\n')
        self.write("app/Gemfile.lock", LOCK)
        self.write("pipeline/bin/rake", RAKE)
        (folder / "pipeline/bin/rake").chmod(0o755)
        self.write("quick/lib/quick.rb", "")
        library = image.ensure() / "usr/lib/x86_64-linux-gnu/ruby/vendor_ruby/3.3.0/websocket_mask.so"
        shutil.copy(library, folder / "quick/lib/mask.so")
        self.gem("quick", QUICK)
        self.gem("pipeline", PIPELINE)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def gem(self, name: str, specification: str) -> None:
        self.write(f"{name}/it.gemspec", specification)
        command = [str(self.folder / "bin/gem"), "build", "-q", "it.gemspec"]
        subprocess.run(command, cwd=self.folder / name, check=True, capture_output=True)
        cache = self.app / "vendor/cache"
        cache.mkdir(parents=True, exist_ok=True)
        for made in (self.folder / name).glob("*.gem"):
            shutil.move(made, cache / made.name)

    def names(self, built: Built) -> set[str]:
        with tarfile.open(built.path) as archive:
            return {it.name for it in archive}


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin")
    monkeypatch.setenv("DR_SECRET", "what no gem may know")
    return made


def test_gems_and_assets_come_into_the_release_and_nothing_into_the_folder(workshop: Workshop) -> None:
    before = sorted(str(it) for it in workshop.app.rglob("*"))
    built = build(workshop.order)
    names = workshop.names(built)
    assert {
        ".bundle/config",
        "public/assets/.manifest.json",
        "vendor/bundle/ruby/3.3.0/gems/quick-1.0.0/lib/mask.so",
    } <= names
    assert not [name for name in names if "cache" in name]
    assert (built.card.ruby_built, built.card.gems, built.natives) == (
        "3.3.8",
        {"propshaft": "1.0.0", "quick": "1.0.0"},
        1,
    )
    assert sorted(str(it) for it in workshop.app.rglob("*")) == before
    assert not (workshop.order.place / "release-stage").exists()
    again = build(workshop.order)
    assert again.path == built.path and artefact.sha256(again.path) == again.card.digest == built.card.digest
    print(f"seconds: {built.seconds}, {built.card.bytes} bytes")


def test_assets_may_be_left_out(workshop: Workshop) -> None:
    names = workshop.names(build(replace(workshop.order, assets=False)))
    assert "public/assets/.manifest.json" not in names and "config.ru" in names


def test_what_the_release_brings_is_found_by_its_own_bundler(workshop: Workshop) -> None:
    """On a host: with the file beside it alone, and nothing in the environment."""
    artefact.unpack(build(workshop.order).path, workshop.folder / "host", 2**30)
    command = [
        str(workshop.folder / "bin/bundle"),
        "exec",
        "ruby",
        "-e",
        "require 'quick'; print $LOADED_FEATURES.grep(/quick/)[0]",
    ]
    said = subprocess.run(command, cwd=workshop.folder / "host", capture_output=True, text=True, check=True).stdout
    assert said == f"{workshop.folder}/host/vendor/bundle/ruby/3.3.0/gems/quick-1.0.0/lib/quick.rb"


@pytest.mark.parametrize("spoil", ["cut", "text", "another Ruby's"])
def test_an_extension_that_does_not_load_is_refused(workshop: Workshop, spoil: str) -> None:
    library = workshop.folder / "quick/lib/mask.so"
    content = library.read_bytes()
    # Names that libruby does not have, as those of a later version would be.
    other = content.replace(b"rb_define_", b"rb_refine_")
    assert other != content
    library.write_bytes({"cut": content[:4000], "text": b"no library\n", "another Ruby's": other}[spoil])
    workshop.gem("quick", QUICK)
    with pytest.raises(Refused, match=r"native extension mask\.so: cannot be loaded") as refused:
        build(workshop.order)
    assert spoil != "another Ruby's" or "undefined symbol: rb_refine_" in str(refused.value)
    assert not list(workshop.order.place.glob("*.tar.gz*"))


def test_a_gem_that_is_nowhere_is_what_bundler_says(workshop: Workshop) -> None:
    for each in (workshop.app / "vendor/cache").glob("quick*"):
        each.unlink()
    with pytest.raises(
        Failed, match=r"bundle install: ended with \d+ \(.+\), wanted its end without a fault"
    ) as failed:
        build(workshop.order)
    assert "quick" in str(failed.value) and not list(workshop.order.place.glob("*.tar.gz*"))


def test_assets_that_fail_are_no_release(workshop: Workshop) -> None:
    workshop.write("pipeline/bin/rake", "abort 'no such stylesheet'\n")
    workshop.gem("pipeline", PIPELINE)
    with pytest.raises(Failed, match=r"assets:precompile: ended with 1 \(no such stylesheet\)"):
        build(workshop.order)


def test_a_program_without_an_end_is_ended(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.write("pipeline/bin/rake", "sleep 4711\n")
    workshop.gem("pipeline", PIPELINE)
    monkeypatch.setattr(building, "BUILD_S", 5.0)
    with pytest.raises(Failed, match="assets:precompile: not at its end after 5 s"):
        build(workshop.order)
    assert subprocess.run(["pgrep", "-f", str(workshop.folder)], capture_output=True, check=False).stdout == b""


def test_another_ruby_than_the_hosts_is_refused(workshop: Workshop) -> None:
    with pytest.raises(Refused, match=r"this machine has Ruby 3\.3\.8, wanted 3\.2"):
        build(replace(workshop.order, ruby="3.2"))
    workshop.write("app/.ruby-version", "3.4.1\n")
    with pytest.raises(Refused, match=r"asks for Ruby 3\.4\.1, wanted 3\.3"):
        build(workshop.order)
