"""`drctl rights`: what it prints is what the policies are made of, and it says what it lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from components.render.policy import page_policy, witness_policy
from contract.errors import ExitCode
from contract.witness import USERS
from scripts.ctl import cli


def stack_file(folder: Path, config: object) -> str:
    file = folder / "Pulumi.region-a.yaml"
    file.write_text(yaml.safe_dump({"config": config}))
    return str(file)


def test_the_policies_of_all_keys_to_the_witness_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stack_file(tmp_path, {"dr:witness": {"bucket": "third"}})
    assert cli.main(["rights", "witness", file]) == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    assert told == {user: json.loads(witness_policy("third", user)) for user in USERS}
    assert cli.main(["rights", "witness", file, "--user", "cache.b"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == told["cache.b"]


@pytest.mark.parametrize(
    "config",
    [{}, {"dr:witness": None}, {"dr:witness": {"bucket": ""}}, {"dr:witness": "x"}, {"dr:witness": {"bucket": 7}}],
)
def test_a_configuration_that_does_not_name_the_bucket_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: object
) -> None:
    assert cli.main(["rights", "witness", stack_file(tmp_path, config)]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == "" and "lacks dr:witness.bucket" in captured.err and captured.err.count("\n") == 1


WHOLE = {
    "dr:service_name": "0" * 32,
    "dr:dns": {"zone": "shop.example"},
    "dr:regions": {"a": {"storage_region": "GRA"}, "b": {"storage_region": "SBG"}},
}


def printed(folder: Path, capsys: pytest.CaptureFixture[str], **changes: object) -> set[tuple[str, str]]:
    assert cli.main(["rights", "ovh", stack_file(folder, {**WHOLE, **changes})]) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)["accessRules"]
    assert all(set(row) == {"method", "path"} for row in found)
    return {(row["method"], row["path"]) for row in found}


def test_the_access_rules_are_those_of_this_installation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(tmp_path, capsys)
    storage = f"/cloud/project/{'0' * 32}/region/SBG/storage"
    assert ("PUT", "/domain/zone/shop.example/record/*") in found
    assert ("GET", f"{storage}/shop-00000000-b-wal") in found and ("POST", storage) in found
    assert ("GET", f"{storage.replace('SBG', 'GRA')}/shop-00000000-a-wal") in found
    assert not [path for _, path in found if path.endswith("/bulkDeleteObjects")]
    other = printed(tmp_path, capsys, **{"dr:project": "store", "dr:protect": False})
    assert ("POST", f"{storage}/store-00000000-b-assets/bulkDeleteObjects") in other


@pytest.mark.parametrize("lacks", ["dr:service_name", "dr:dns", "dr:regions"])
def test_what_the_access_rules_lack_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], lacks: str) -> None:
    config = {name: value for name, value in WHOLE.items() if name != lacks}
    assert cli.main(["rights", "ovh", stack_file(tmp_path, config)]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == "" and f"lacks {lacks}" in captured.err and captured.err.count("\n") == 1


@pytest.mark.parametrize(("acme", "zone"), [({}, "shop.example"), ({"zone": "acme.example"}, "acme.example")])
def test_the_rules_of_the_key_on_the_bastions_are_of_the_zone_in_which_a_challenge_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], acme: dict[str, str], zone: str
) -> None:
    file = stack_file(tmp_path, {"dr:dns": {"zone": "shop.example"}, "dr:shop": {"acme": acme}})
    assert cli.main(["rights", "acme", file]) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)["accessRules"]
    base = f"/domain/zone/{zone}"
    assert [(it["method"], it["path"]) for it in found] == [
        ("POST", f"{base}/record"),
        ("DELETE", f"{base}/record/*"),
        ("POST", f"{base}/refresh"),
    ]


@pytest.mark.parametrize("public", [True, False])
def test_the_policy_of_the_pages_key_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], public: bool
) -> None:
    page = {"bucket": "status", "public": public}
    file = stack_file(tmp_path, {"dr:monitoring": {"status_page": page}})
    assert cli.main(["rights", "page", file]) == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(page_policy("status", public=public))
    assert ("s3:PutObjectAcl" in json.dumps(told)) is public
    assert cli.main(["rights", "page", stack_file(tmp_path, {"dr:monitoring": {}})]) == ExitCode.USAGE
    assert "lacks dr:monitoring.status_page.bucket" in capsys.readouterr().err
