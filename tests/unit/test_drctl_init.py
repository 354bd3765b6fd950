"""`drctl init` against a played platform: what it makes, that a second run makes nothing, and that one that was killed anywhere is finished by the next."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.render.policy import page_policy, site_policy, witness_policy
from contract.consumer_key import beginning, lacking, rules
from contract.errors import ExitCode
from contract.witness import HOST_USERS, OPERATOR, USERS
from lab import assembly
from scripts.ctl import cli
from scripts.ctl.beginning import answers as given
from scripts.ctl.beginning.values import state_url
from scripts.ctl.stacks.configuration import SHARED, merged, stack_file
from tests.unit.played_platform import Killed, Platform

BUCKET, STATE, PAGE = assembly.THIRD_BUCKETS.values()


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    return Platform(monkeypatch, tmp_path)


def init(platform: Platform, *words: str) -> int:
    folder = platform.folder
    return cli.main(["init", "--folder", str(folder), "--answers", str(folder / "answers.yaml"), *words])


def test_a_dry_run_shows_every_step_and_changes_nothing(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    before = platform.made()
    assert init(platform, "--dry-run") == ExitCode.DONE
    said = capsys.readouterr().out
    assert f"to do     bucket {BUCKET} in DE, versioned, what is put there is locked for 7 days" in said
    assert "to do     secrets of stack region-b" in said and "nothing was changed" in said
    assert platform.made() == before and platform.changes == 0


def test_all_of_it_is_made_in_one_run(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(platform, "--yes") == ExitCode.DONE
    made = platform.made()
    assert made["users"] == {
        **{f"{BUCKET} {user}": witness_policy(BUCKET, user) for user in USERS},
        f"{STATE} state": site_policy([STATE]),
        f"{PAGE} page": page_policy(PAGE, public=False),
    }
    assert {name for _, name in made["buckets"]} == {BUCKET, STATE, PAGE}
    assert {name for (_, name), bucket in made["buckets"].items() if bucket["versioning"]} == {BUCKET, STATE}
    assert made["buckets"]["de", BUCKET]["locked"] and not made["buckets"]["de", STATE]["locked"]
    assert platform.store.objects == {}, "what was put for a proof is removed"
    assert made["stacks"] == ["region-a", "region-b"]
    assert platform.pulumi.stacks["region-a"] == platform.pulumi.stacks["region-b"]
    secrets = json.loads(platform.pulumi.stacks["region-a"])
    keys = [secrets["witness"]["access_key"], *(it["access_key"] for it in secrets["witness"]["hosts"].values())]
    assert set(secrets["witness"]["hosts"]) == set(HOST_USERS) and len(set(keys)) == len(USERS)
    assert secrets["monitoring"]["status_page"]["access_key"] not in keys
    assert platform.written("Pulumi.yaml")["config"]["dr:monitoring"]["value"] == {"status_page": {"bucket": PAGE}}
    assert secrets["ovh"]["consumer_key"] == platform.keys.consumer_key, "the wider key stays out of the stacks"
    assert platform.keys.init_consumer_key not in json.dumps(secrets)
    assert "pulumi up -s region-a" in capsys.readouterr().out


def test_what_is_written_is_what_the_platform_calls_it(platform: Platform) -> None:
    init(platform, "--yes")
    for site, region in zip("ab", platform.config.regions, strict=True):
        config = merged(stack_file(platform.folder, site))
        place = config["dr:regions"][site]
        names = {flavor.name: flavor.id for flavor in region.flavors}
        assert place["ext_net_id"] == region.external.id and place["image_id"] == region.images[0].id
        assert place["flavors"] == {kind: names[name] for kind, name in platform.answers["flavors"].items()}
        assert (place["compute_region"], place["storage_region"], place["s3_region"]) == (
            region.name,
            region.name.rstrip("0123456789"),
            region.name.rstrip("0123456789").lower(),
        )
        assert config["dr:site"] == site and config["dr:failover_region"] == "a" and config["dr:lab"] is True, (
            "as the program reads it"
        )
        own = platform.written(f"Pulumi.region-{site}.yaml")["config"]
        assert not set(own) & set(SHARED), "what both share stands once"
    shared = platform.written("Pulumi.yaml")["config"]
    assert shared["dr:witness"]["value"] == {"endpoint": "http://192.0.2.12:7070", "region": "de", "bucket": BUCKET}
    assert shared["dr:postgres"]["value"]["parameters"] == {"shared_buffers": "128MB"}, "nobody was asked about it"


def test_names_of_buckets_are_nobody_elses_where_nobody_names_them(platform: Platform) -> None:
    del platform.answers["witness"]["bucket"], platform.answers["witness"]["state_bucket"]
    answers, _ = given.read(platform.answers)
    assert answers is not None
    assert (answers.witness_bucket, answers.state_bucket) == ("shop-01234567-witness", "shop-01234567-state")
    assert state_url(answers).startswith("s3://shop-01234567-state?endpoint=192.0.2.12:7070&region=de&")


def test_no_rule_of_a_lifecycle_touches_epochs_trails_or_sign_ins(platform: Platform) -> None:
    init(platform, "--yes")
    rules_of_witness = platform.store.lifecycles[BUCKET]
    assert "<Prefix>heartbeats/</Prefix>" in rules_of_witness and "<NoncurrentDays>8<" in rules_of_witness
    for prefix in ("", "epochs/", "audit/", "logs/", "clusters/", "sites/"):
        assert f"<Prefix>{prefix}</Prefix>" not in rules_of_witness
    assert "<NoncurrentDays>90<" in platform.store.lifecycles[STATE]


def test_a_second_run_changes_nothing_and_says_so(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    init(platform, "--yes")
    before, count = platform.made(), platform.changes
    state = (platform.folder / "state.env").read_bytes()
    capsys.readouterr()
    assert init(platform, "--yes") == ExitCode.DONE
    assert "all of it is there; nothing was changed" in capsys.readouterr().out
    assert platform.made() == before and platform.changes == count
    assert (platform.folder / "state.env").read_bytes() == state


def test_a_run_killed_behind_any_change_is_finished_by_the_next_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = _fresh(monkeypatch, tmp_path / "whole")
    assert init(whole, "--yes") == ExitCode.DONE
    wanted, changes = whole.made(), whole.changes
    assert changes > 30
    for number in range(1, changes + 1):
        platform = _fresh(monkeypatch, tmp_path / str(number))
        platform.kill_at = number
        with pytest.raises(Killed):
            init(platform, "--yes")
        assert init(platform, "--yes") == ExitCode.DONE, f"behind change {number}"
        found = platform.made()
        found["files"]["answers.yaml"] = wanted["files"]["answers.yaml"]
        assert found == wanted, f"behind change {number}"
        assert platform.pulumi.stacks["region-a"] == platform.pulumi.stacks["region-b"], f"behind change {number}"


def _fresh(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Platform:
    folder.mkdir()
    return Platform(monkeypatch, folder)


def test_no_secret_is_in_an_argument_or_in_what_is_printed(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    init(platform, "--yes")
    captured = capsys.readouterr()
    words = json.dumps(platform.pulumi.argv) + captured.out + captured.err
    files = "".join(it.read_text() for it in platform.folder.iterdir() if it.name != "state.env")
    secrets = [
        *(value for name, value in platform.environment.items() if name != "OS_USERNAME" and "DOMAIN" not in name),
        *(it["secret"] for it in platform.ovh.credentials.values()),
        *_leaves(json.loads(platform.pulumi.stacks["region-a"])["postgres"]),
    ]
    assert len(secrets) > 15
    for secret in secrets:
        assert secret not in words and secret not in files


def _leaves(tree: Any) -> list[str]:
    return [tree] if isinstance(tree, str) else [leaf for each in tree.values() for leaf in _leaves(each)]


def test_the_key_to_the_state_lies_in_a_file_of_ones_own(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another account")
    init(platform, "--yes")
    assert all("AWS_SESSION_TOKEN" not in it for it in platform.pulumi.environments)
    path = platform.folder / "state.env"
    assert path.stat().st_mode & 0o777 == 0o600
    access = re_access(path.read_text())
    user = platform.ovh.users[int(platform.ovh.credentials[access]["userId"])]
    assert user["description"] == f"{STATE} state"
    assert all(it["AWS_ACCESS_KEY_ID"] == access for it in platform.pulumi.environments)
    path.chmod(0o644)
    assert init(platform, "--yes") == ExitCode.DONE
    assert path.stat().st_mode & 0o777 == 0o600


def re_access(text: str) -> str:
    line = next(it for it in text.splitlines() if it.startswith("export AWS_ACCESS_KEY_ID="))
    return line.partition("=")[2]


def test_a_machine_that_is_signed_in_to_a_backend_keeps_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///somewhere")
    assert init(platform, "--yes") == ExitCode.DONE
    assert "stack region-a at file:///somewhere" in capsys.readouterr().out
    assert {name for _, name in platform.storage.buckets} == {BUCKET, PAGE}
    assert not (platform.folder / "state.env").exists()


def test_what_stands_in_the_files_and_nobody_is_asked_about_stays(platform: Platform) -> None:
    init(platform, "--yes")
    project = platform.folder / "Pulumi.yaml"
    document = yaml.safe_load(project.read_text())
    document["config"]["dr:postgres"]["value"]["parameters"]["shared_buffers"] = "4GB"
    document["config"]["dr:regions"]["value"]["a"]["host_generation"] = {"app-1": 2}
    project.write_text(yaml.safe_dump(document))
    own = stack_file(platform.folder, "b")
    own.write_text(own.read_text().replace("dr:failover_region: a", "dr:failover_region: b"))
    text, own_text = project.read_text(), own.read_text()
    assert init(platform, "--yes") == ExitCode.DONE
    assert project.read_text() == text and own.read_text() == own_text


def test_an_image_of_a_later_date_takes_the_place_of_no_id_that_is_still_there(platform: Platform) -> None:
    init(platform, "--yes")
    text, count = (platform.folder / "Pulumi.yaml").read_text(), platform.changes
    newer = "11111111-2222-4333-8444-555555555555"
    platform.set(images=lambda region: (dataclasses.replace(region.images[0], id=newer), *region.images))
    assert init(platform, "--yes") == ExitCode.DONE
    assert (platform.folder / "Pulumi.yaml").read_text() == text and platform.changes == count


def test_the_rights_of_both_keys_are_printed_and_nobody_is_asked(
    platform: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in platform.environment:
        monkeypatch.delenv(name)
    assert init(platform, "--rights") == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    assert platform.asked == []
    for name, wanted in (
        ("OVH_CONSUMER_KEY", {(it.method, it.path) for it in rules(assembly.account())}),
        ("OVH_INIT_CONSUMER_KEY", {(it.method, it.path) for it in beginning(assembly.begun())}),
    ):
        found = {(it["method"], it["path"]) for it in told[name]["accessRules"]}
        assert found <= wanted
    assert not any("witness" in it["path"] for it in told["OVH_CONSUMER_KEY"]["accessRules"])


def test_a_wider_rule_allows_a_narrower_one_and_not_the_other_way_round() -> None:
    wanted = beginning(assembly.begun())
    assert lacking([(method, "/*") for method in ("GET", "POST", "PUT", "DELETE")], wanted) == []
    assert lacking([("GET", "/*")], wanted) == [it for it in wanted if it.method != "GET"]
    narrow = [(it.method, it.path.replace("*", "17")) for it in wanted]
    assert lacking(narrow, wanted) == [it for it in wanted if "*" in it.path]


def test_each_step_says_what_it_makes_and_a_failure_names_where_it_stopped(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(method: str, url: str, reply: Any) -> Any:
        from tests.unit.played_platform import spoiled

        taken = method == "POST" and url.endswith("/s3Credentials") and platform.changes > 12
        return spoiled(400, {"message": "no more keys"}) if taken else reply

    platform.spoil = failing
    assert init(platform, "--yes") == ExitCode.PARTIAL
    said = capsys.readouterr().err
    assert "no more keys" in said and "steps are made and stay; the same command goes on from here" in said
    platform.spoil = lambda method, url, reply: reply
    assert init(platform, "--yes") == ExitCode.DONE


def without_page(platform: Platform) -> None:
    del platform.answers["witness"]["page_bucket"]
    (platform.folder / "answers.yaml").write_text(yaml.safe_dump(platform.answers))


def test_without_an_answer_there_is_no_page(platform: Platform) -> None:
    without_page(platform)
    assert init(platform, "--yes") == ExitCode.DONE
    assert {name for _, name in platform.storage.buckets} == {BUCKET, STATE}
    assert "monitoring" not in json.loads(platform.pulumi.stacks["region-a"])
    assert "dr:monitoring" not in platform.written("Pulumi.yaml")["config"]


def test_a_page_that_comes_later_is_made_and_its_key_is_a_persons_to_store(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    without_page(platform)
    init(platform, "--yes")
    secrets = dict(platform.pulumi.stacks)
    project = platform.folder / "Pulumi.yaml"
    document = yaml.safe_load(project.read_text())
    document["config"]["dr:monitoring"] = {
        "value": {"retention_days": 3, "status_page": {"public": True, "bucket": "old"}}
    }
    project.write_text(yaml.safe_dump(document))
    capsys.readouterr()
    assert init(platform, "--yes", "--answer", f"witness.page_bucket={PAGE}") == ExitCode.DONE
    captured = capsys.readouterr()
    assert f"user '{PAGE} page': gets a key now" in captured.out + captured.err
    assert platform.pulumi.stacks == secrets
    assert platform.made()["users"][f"{PAGE} page"] == page_policy(PAGE, public=True)
    watch = platform.written("Pulumi.yaml")["config"]["dr:monitoring"]["value"]
    assert watch == {"retention_days": 3, "status_page": {"public": True, "bucket": PAGE}}, (
        "nobody was asked about the rest"
    )
    assert init(platform, "--yes", "--answer", f"witness.page_bucket={PAGE}") == ExitCode.DONE
    assert "gets a key now" not in "".join(capsys.readouterr())


def test_the_operator_reads_and_the_hosts_do_not(platform: Platform) -> None:
    init(platform, "--yes")
    policies = platform.made()["users"]
    assert "probe/*" in policies[f"{BUCKET} {OPERATOR}"]
    assert all("epochs/*" not in json.dumps(_puts(policies[f"{BUCKET} {user}"])) for user in HOST_USERS)


def _puts(policy: str) -> list[Any]:
    return [it["Resource"] for it in json.loads(policy)["Statement"] if "s3:PutObject" in it["Action"]]
