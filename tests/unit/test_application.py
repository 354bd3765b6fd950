"""What of an application goes into a release, what may never be in one, and what its files say of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components import application
from contract.errors import Refused

LOCK = """GEM
  remote: https://gems.example/
  specs:
    puma (6.6.0)
      nio4r (~> 2.0)
    rails (7.2.2.2)

PLATFORMS
  ruby

RUBY VERSION
   ruby 3.3.8p144

BUNDLED WITH
   2.6.7
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for name, text in {
        "config.ru": "run Shop\n",
        "Procfile": "web: bundle exec puma -p $PORT\nworker: bin/jobs\n# none: x\n",
        "Gemfile": 'ruby "3.2.1"\n',
        "Gemfile.lock": LOCK,
        ".ruby-version": "ruby-3.3.5\n",
        ".gitignore": "tmp\n",
        ".env": "SECRET=1\n",
        "app/.env.local": "SECRET=1\n",
        ".git/config": "x",
        "app/models/a.rb": "a",
        "public/assets/.manifest.json": "{}",
        "vendor/bundle/ruby/3.3.0/gems/log/log/a.rb": "a",
        "vendor/bundle/ruby/3.3.0/gems/tls/test/server.key": "-----BEGIN PRIVATE KEY-----\n",
        "db/migrate/20260101000001_a.rb": "a",
        "db/migrate/20260301000001_b.rb": "b",
        "log/production.log": "noise",
        "tmp/pids/x": "1",
        "node_modules/a/b.js": "a",
        "app/x.swp": "a",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_code_goes_in_and_the_noise_stays(shop: Path) -> None:
    assert sorted(application.files(shop)) == [
        ".ruby-version", "Gemfile", "Gemfile.lock", "Procfile", "app/models/a.rb", "config.ru", "db/migrate/20260101000001_a.rb",
        "db/migrate/20260301000001_b.rb", "public/assets/.manifest.json", "vendor/bundle/ruby/3.3.0/gems/log/log/a.rb",
        "vendor/bundle/ruby/3.3.0/gems/tls/test/server.key",
    ]  # fmt: skip


def test_what_it_says_of_itself(shop: Path) -> None:
    told = application.facts(application.files(shop))
    assert (told.ruby, told.rails, told.schema) == ("3.3.5", "7.2.2.2", "20260301000001")
    assert told.gems == {"puma": "6.6.0", "rails": "7.2.2.2"}
    assert told.processes == {"web": "bundle exec puma -p $PORT", "worker": "bin/jobs"}
    (shop / ".ruby-version").unlink()
    (shop / "db/schema.rb").write_text("ActiveRecord::Schema[7.2].define(version: 2026_04_01_000001) do\n")
    told = application.facts(application.files(shop))
    assert (told.ruby, told.schema) == ("3.3.8", "20260401000001"), "of Gemfile.lock, and of what is loaded"
    (shop / "Gemfile.lock").write_text("")
    assert application.facts(application.files(shop)).ruby == "3.2.1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config/master.key", "0" * 32),
        ("config/credentials/production.key", "0" * 32),
        ("id_ed25519", "x"),
        ("config/store.p12", "x"),
        ("lib/.netrc", "x"),
        ("config/tls.pem", "x\n-----BEGIN RSA PRIVATE KEY-----\n"),
    ],
)
def test_a_secret_is_refused_by_its_name_and_its_contents_are_not_shown(shop: Path, name: str, text: str) -> None:
    (shop / name).parent.mkdir(exist_ok=True, parents=True)
    (shop / name).write_text(text)
    with pytest.raises(Refused, match=f"found secrets \\('{name}'\\)") as refused:
        application.files(shop)
    assert "0000" not in str(refused.value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda shop: (shop / "app/passwd").symlink_to("/etc/passwd"), "'app/passwd', a link that leads out of it"),
        (lambda shop: (shop / "app/etc").symlink_to("/etc"), "'app/etc', a link that leads out of it"),
        (lambda shop: (shop / "app/up").symlink_to("../../.."), "'app/up', a link that leads out of it"),
        (lambda shop: (shop / "app/models2").symlink_to("models"), "'app/models2', which is no plain file"),
        (lambda shop: (shop / "app/none").symlink_to("nothing"), "'none', which cannot be read"),
        (lambda shop: (shop / "app/round").symlink_to("round"), "'round', which cannot be read"),
        (lambda shop: (shop / "app/a\nb").write_text(""), "which is no plain file with a plain name"),
    ],
)
def test_what_can_be_in_no_release_is_a_sentence(shop: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(shop)
    with pytest.raises(Refused, match="no release was made") as refused:
        application.files(shop)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_link_within_the_folder_is_the_file_it_leads_to(shop: Path) -> None:
    (shop / "app/b.rb").symlink_to("models/a.rb")
    assert application.files(shop)["app/b.rb"].read_text() == "a"
    assert not application.files(shop)["app/b.rb"].is_symlink()


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="found no folder"):
        application.files(tmp_path / "none")
