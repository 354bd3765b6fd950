"""`drctl secrets`: what it refuses, and that the result fits both sites."""

import json

import pytest
import yaml

from contract.errors import ExitCode
from scripts.ctl import cli
from scripts.ctl.commands import secrets

REGION = {"front_cidr": "10.1.0.0/24", "vrack_offset": 0}
CONFIG = {
    "dr:regions": {"a": REGION, "b": {"front_cidr": "10.2.0.0/24", "vrack_offset": 100}},
    "dr:vrack": {"cidr": "10.100.0.0/24"},
    "dr:shop": {"host": "www.shop.example"},
}


@pytest.fixture
def credentials(monkeypatch):
    for name in secrets.OUTSIDE:
        monkeypatch.setenv(name, f"value of {name}")


def stack_file(tmp_path, config):
    file = tmp_path / "Pulumi.region-a.yaml"
    file.write_text(yaml.safe_dump({"config": config}))
    return str(file)


def test_all_hosts_of_both_sites_get_keys(tmp_path, credentials, capsys):
    assert cli.main(["secrets", stack_file(tmp_path, CONFIG)]) == ExitCode.DONE
    made = json.loads(capsys.readouterr().out)
    assert {"db-1.a", "db-1.b", "app-2.b", "control-1.a"} <= set(made["ssh"]["hosts"])
    assert set(made["ssh"]["hosts"]) == set(made["tls"]["hosts"])
    assert made["ovh"]["consumer_key"] == "value of OVH_CONSUMER_KEY"


def test_missing_credentials_are_named_all_at_once(tmp_path, monkeypatch, capsys):
    for name in secrets.OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["secrets", stack_file(tmp_path, CONFIG)]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all(name in captured.err for name in secrets.OUTSIDE)


@pytest.mark.parametrize("config", [{}, None])
def test_an_unfinished_stack_file_is_one_line(tmp_path, credentials, capsys, config):
    assert cli.main(["secrets", stack_file(tmp_path, config)]) == ExitCode.USAGE
    assert capsys.readouterr().err.count("\n") == 1


def test_an_absent_stack_file_is_one_line(tmp_path, credentials, capsys):
    assert cli.main(["secrets", str(tmp_path / "none.yaml")]) == ExitCode.USAGE
    assert "cannot be read" in capsys.readouterr().err
