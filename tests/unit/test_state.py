"""Where the state lies and by what it is encrypted: what is refused, what is told, what a rehearsal may."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components import config, state
from components.settings import Settings
from contract.errors import ConfigError
from tests.components import stack

LONG = "correct horse battery staple"
THIRD = "s3://shop-state?endpoint=s3.de.example&region=de"


def settings(lab: bool = False) -> Settings:
    values = stack.configuration(lab=lab)
    values["openstack"]["auth_url"] = "https://auth.example/v3"
    values["openstack"].pop("endpoint_overrides", None)
    values["ovh"]["endpoint"], values["witness"]["endpoint"] = "ovh-eu", "https://s3.de.example"
    for region in values["regions"].values():
        region["s3_endpoint"] = "https://s3.example"
    return config.parse(values)


def test_a_bucket_of_its_own_in_the_third_region_and_a_long_passphrase_need_no_word() -> None:
    assert state.check(settings(), THIRD, {state.PASSPHRASE: LONG}, first=True) == []
    assert state.check(settings(), "https://api.pulumi.com", {}, first=True) == [], "a key service needs no passphrase"
    assert state.check(settings(), THIRD, {state.PASSPHRASE_FILE: "/safe", state.PASSPHRASE: ""}, first=True) == []


@pytest.mark.parametrize(
    ("url", "environment", "sentence"),
    [
        ("s3://shop-witness?region=de", {state.PASSPHRASE: LONG}, "Pulumi's backend is the witness bucket"),
        (THIRD, {state.PASSPHRASE: ""}, "PULUMI_CONFIG_PASSPHRASE is empty"),
    ],
)
def test_nobody_begins_with_what_gives_everything_away_but_a_rehearsal(
    url: str, environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigError, match="nothing was changed") as caught:
        state.check(settings(), url, environment, first=True)
    assert sentence in str(caught.value)
    (told,) = state.check(settings(), url, environment, first=False)
    assert sentence in told, "a shop that is up may have to be moved this very hour"
    assert state.check(settings(lab=True), url, environment, first=True) == []


@pytest.mark.parametrize(
    ("url", "environment", "sentence"),
    [
        ("file:///var/state", {state.PASSPHRASE: LONG}, "is a folder of this machine"),
        ("s3://shop-state?region=gra", {state.PASSPHRASE: LONG}, "lies in gra, the region of site a"),
        (THIRD, {state.PASSPHRASE: "guess me"}, "has fewer than 20 characters"),
    ],
)
def test_what_is_lost_or_guessed_is_told_and_no_secret_with_it(
    url: str, environment: dict[str, str], sentence: str
) -> None:
    (told,) = state.check(settings(), url, environment, first=True)
    assert sentence in told and "guess me" not in told
    assert state.check(settings(lab=True), url, environment, first=True) == []


def test_the_backend_is_the_environments_else_the_one_that_was_logged_in_to(tmp_path: Path) -> None:
    assert state.backend({}, tmp_path) == ""
    (tmp_path / ".pulumi").mkdir()
    credentials = tmp_path / ".pulumi" / "credentials.json"
    credentials.write_text(json.dumps({"current": THIRD}))
    assert state.backend({}, tmp_path) == THIRD
    assert state.backend({"PULUMI_BACKEND_URL": "file:///x"}, tmp_path) == "file:///x"
    for broken in ("", "[]", "{"):
        credentials.write_text(broken)
        assert state.backend({}, tmp_path) == ""
