"""What `drctl init` is told: by a file, by words, by being asked; and its credentials, which never come in an argument."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from contract.errors import ExitCode, Refused, Usage
from scripts.ctl import cli, output
from scripts.ctl.beginning import answers as given
from scripts.ctl.beginning import credentials
from scripts.ctl.beginning.suggestions import suggestions
from tests.unit.played_platform import Platform
from tests.unit.test_drctl_init import init

REQUIRED = (
    "service_name", "zone", "operator_cidrs", "regions.a.compute_region", "regions.b.compute_region", "witness.storage_region",
)  # fmt: skip
CREDENTIALS = (
    "OS_USERNAME",
    "OS_PASSWORD",
    "OVH_APPLICATION_KEY",
    "OVH_APPLICATION_SECRET",
    "OVH_CONSUMER_KEY",
    "PULUMI_CONFIG_PASSPHRASE",
)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    return Platform(monkeypatch, tmp_path)


def test_all_that_is_missing_is_named_in_one_refusal(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    assert cli.main(["init", "--folder", str(platform.folder)]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert said.startswith("drctl: 7 answers or credentials are missing or wrong; nothing was changed:")
    for name in REQUIRED:
        assert f"  - {name} is missing; wanted " in said and f"`--answer {name}=...`" in said
    assert f"{', '.join(CREDENTIALS)} not set" in said
    assert platform.asked == []


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("zone=shop.example.", "zone is 'shop.example.'; wanted a domain name"),
        ("zone=$(reboot)", "zone is '$(reboot)'; wanted a domain name"),
        (
            "regions.a.compute_region=gra11",
            "regions.a.compute_region is 'gra11'; wanted a compute region in upper case",
        ),
        ("operator_cidrs=0.0.0.1/0", "operator_cidrs is ['0.0.0.1/0']; wanted a list whose entry 0 is an IPv4 network"),
        ("vlan=5000", "vlan is 5000; wanted a whole number from 1 to 4000"),
        ("service_name=abc", "service_name is 'abc'; wanted the Public Cloud project's id"),
        ("flavours.db=b3-8", "flavours is unknown; wanted a known key"),
        ("flavors.mail=b3-8", "flavors is {"),
        ("project=Shop_1", "project is 'Shop_1'; wanted 3 to 22 lower-case letters"),
        ("witness=DE", "witness is 'DE'; wanted a mapping"),
    ],
)
def test_a_wrong_answer_is_named_with_what_is_wanted(
    platform: Platform, capsys: pytest.CaptureFixture[str], word: str, said: str
) -> None:
    assert init(platform, "--yes", "--answer", word) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert said in told and "nothing was changed" in told and "Traceback" not in told
    assert platform.asked == []


@pytest.mark.parametrize("word", ["zone", "=x", ""])
def test_a_word_without_a_value_is_none(platform: Platform, capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert init(platform, "--answer", word) == ExitCode.USAGE
    assert "wanted key=value, like zone=shop.example" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- zone", "is no mapping"),
        ("zone: [", "is no YAML (line"),
        ("x" * 70000, "has 70000 bytes, wanted 65536 at most"),
        ("regions: 7\nzone: x.example", "regions is 7; wanted a mapping"),
    ],
)
def test_a_file_that_is_none_is_a_sentence(
    platform: Platform, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (platform.folder / "answers.yaml").write_text(text)
    assert init(platform) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_without_a_terminal_nobody_can_agree(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(platform) == ExitCode.USAGE
    assert "stdin: is no terminal, so nobody can agree; nothing was changed" in capsys.readouterr().err
    assert platform.changes == 0


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A person at a terminal, who types these lines. Returns the prompts that the person was shown."""

    def person(*lines: str) -> list[str]:
        left, shown = list(lines), list[str]()

        def hear(prompt: str) -> str:
            shown.append(prompt)
            return left.pop(0)

        monkeypatch.setattr(given, "at_a_terminal", lambda: True)
        monkeypatch.setattr(output, "hear", hear)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
        return shown

    return person


def test_a_person_is_asked_what_it_is_for_and_an_empty_line_takes_the_default(
    platform: Platform, typed: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"operator_cidrs", "vlan", "subdomain", "flavors.db"}
    told = {name: it for name, it in platform.answers.items() if name not in {"operator_cidrs", "flavors"}}
    told["flavors"] = {kind: "d2-2" for kind in ("app", "cache", "control")}
    (platform.folder / "answers.yaml").write_text(yaml.safe_dump(told))
    prompts = typed("www2", "192.0.2.7/32, 198.51.100.0/24", "", "", "43", "shop")
    assert init(platform) == ExitCode.DONE
    said = capsys.readouterr().out
    assert prompts == [
        "subdomain [www]: ", "operator_cidrs: ", "flavors.db [b3-16]: ", "app_hosts [2]: ", "vlan [42]: ", "Type the name of the project (shop) to go on: ",
    ]  # fmt: skip
    assert "nobody else reaches the bastions" in said and asked
    config = platform.written("Pulumi.yaml")["config"]
    assert config["dr:operator_cidrs"]["value"] == ["192.0.2.7/32", "198.51.100.0/24"]
    assert config["dr:vrack"]["value"]["vlan"] == 43 and config["dr:shop"]["value"]["host"] == "www2.shop.example"
    names = {flavor.name: flavor.id for flavor in platform.config.regions[0].flavors}
    assert config["dr:regions"]["value"]["a"]["flavors"]["db"] == names["b3-16"]


def test_what_was_answered_is_kept_and_the_next_run_goes_by_it(
    platform: Platform, typed: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    told = {name: it for name, it in platform.answers.items() if name != "operator_cidrs"}
    (platform.folder / "answers.yaml").write_text(yaml.safe_dump(told))
    typed("", "192.0.2.7/32", "", "", "shop")
    assert init(platform) == ExitCode.DONE
    kept = (platform.folder / "init.yaml").read_text()
    assert "192.0.2.7/32" in kept and all(
        value not in kept for value in platform.environment.values() if len(value) > 8
    )
    typed()
    capsys.readouterr()
    assert cli.main(["init", "--folder", str(platform.folder)]) == ExitCode.DONE
    assert "all of it is there" in capsys.readouterr().out


def test_a_wrong_line_is_asked_again_three_times(
    platform: Platform, typed: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    told = {name: it for name, it in platform.answers.items() if name != "zone"}
    (platform.folder / "answers.yaml").write_text(yaml.safe_dump(told))
    typed("SHOP\x1b[2J", "", "shop example")
    assert init(platform) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert r"found 'SHOP\x1b[2J', wanted a domain name" in captured.out and "\x1b" not in captured.out
    assert "answer zone: was wrong 3 times" in captured.err and platform.changes == 0


def test_another_word_than_the_projects_name_changes_nothing(
    platform: Platform, typed: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("", "", "", "yes")
    assert init(platform) == ExitCode.REFUSED
    assert "project: found 'yes', wanted 'shop'; nothing was changed" in capsys.readouterr().err
    assert platform.changes == 0


def test_defaults_are_what_the_account_has_only_one_of(platform: Platform, typed: Callable[..., list[str]]) -> None:
    from contract.consumer_key import Rule

    key, rules = next(iter(platform.ovh.config.further.items()))
    listing = (Rule("GET", "/cloud/project", ""), Rule("GET", "/domain/zone", ""))
    platform.account(further={key: (*rules, *listing)})
    left = ("service_name", "zone", "regions", "witness")
    told = {name: it for name, it in platform.answers.items() if name not in left}
    (platform.folder / "answers.yaml").write_text(yaml.safe_dump(told))
    prompts = typed(*[""] * 9, "no")
    assert init(platform) != ExitCode.DONE
    assert prompts[:6] == [
        "service_name [0123456789abcdef0123456789abcdef]: ", "zone [shop.example]: ", "subdomain [www]: ", "regions.a.compute_region [GRA11]: ",
        "regions.b.compute_region [SBG5]: ", "witness.storage_region [DE]: ",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "suggested"),
    [("141.94.1.2", ["141.94.1.2/32"]), ("192.168.1.7", None), ("10.0.0.1", None), (None, None)],
)
def test_the_operators_network_is_this_machines_where_the_world_can_see_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, address: str | None, suggested: list[str] | None
) -> None:
    class Socket:
        def __init__(self, *_: Any) -> None: ...

        def __enter__(self) -> Socket:
            return self

        def __exit__(self, *_: object) -> None: ...

        def connect(self, where: tuple[str, int]) -> None:
            if address is None:
                raise OSError

        def getsockname(self) -> tuple[str | None, int]:
            return address, 0

    monkeypatch.setattr("socket.socket", Socket)
    assert suggestions(platform.folder, "ovh-eu", None).get("operator_cidrs") == suggested


# --- credentials


CLOUDS = {
    "clouds": {"ovh": {"auth": {"username": "from-file", "password": "file-secret", "user_domain_name": "Other"}}}
}
OVH_CONF = "[default]\nendpoint=ovh-eu\n[ovh-eu]\napplication_key=ak\napplication_secret=as%x\nconsumer_key=ck\ninit_consumer_key=ik\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    clouds, conf = tmp_path / "clouds.yaml", tmp_path / "ovh.conf"
    clouds.write_text(yaml.safe_dump(CLOUDS))
    conf.write_text(OVH_CONF)
    for path in (clouds, conf):
        path.chmod(0o600)
    return clouds, conf


def read(environment: dict[str, str], files: tuple[Path | None, Path | None], endpoint: str = "ovh-eu") -> Any:
    return credentials.read(environment, *files, endpoint, provider="awskms://x")


def test_files_give_what_the_environment_does_not(files: tuple[Path, Path]) -> None:
    found, missing = read({"OS_USERNAME": "from-environment"}, files)
    assert missing == [] and found.user == "from-environment" and found.password == "file-secret"
    assert found.domain == "Other" and (found.consumer_key, found.maker) == ("ck", "ik")
    assert found.application_secret == "as%x", "a percent sign is one"
    shown = repr(found)
    assert all(secret not in shown for secret in ("file-secret", "as%x", "'ck'", "'ik'"))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_file_that_others_may_read_or_write_is_refused(files: tuple[Path, Path], which: int, mode: int) -> None:
    files[which].chmod(mode)
    with pytest.raises(Refused, match=rf"has mode {mode:04o}, wanted 0600.*chmod 600") as caught:
        read({}, files)
    assert "file-secret" not in str(caught.value) and "as%x" not in str(caught.value)


@pytest.mark.parametrize("text", ["application_secret=as%x\n", "[ovh-eu\napplication_secret=as%x\n", "[a]\nas%x\n"])
def test_a_file_that_cannot_be_read_quotes_none_of_it(files: tuple[Path, Path], text: str) -> None:
    files[1].write_text(text)
    with pytest.raises(Usage, match=r"is no ovh\.conf") as caught:
        read({}, files)
    assert "as%x" not in str(caught.value)


def test_a_folder_a_missing_file_and_one_without_the_part_are_sentences(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(Usage, match="cannot be read"):
        read({}, (tmp_path / "none", None))
    with pytest.raises(Usage, match="is no file of at most"):
        read({}, (tmp_path, None))
    with pytest.raises(Usage, match="has no cloud 'other' with a part `auth` among 1"):
        read({"OS_CLOUD": "other"}, files)
    files[1].write_text("[ovh-ca]\nconsumer_key=x\n")
    with pytest.raises(Usage, match=r"has no section \[ovh-eu\]"):
        read({}, files)


def test_a_passphrase_is_wanted_where_no_other_provider_is_named(files: tuple[Path, Path]) -> None:
    assert credentials.read({}, *files, "ovh-eu") == (None, ["PULUMI_CONFIG_PASSPHRASE"])
    assert credentials.read({"PULUMI_CONFIG_PASSPHRASE_FILE": "/x"}, *files, "ovh-eu")[1] == []
