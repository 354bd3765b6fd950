"""How the OpenStack plugin behaves before any API is asked: names, defaults, refusals, and a cloud that is not there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.toolchain import tools
from lab.toolchain.tools import Toolchain
from tests.providers.stacks import Stack

PUBLISHED = tools.installed_plugin("openstack", tools.pins()["openstack"]) is not None
# Port 9 of loopback: nobody answers there.
PROVIDER = """
import pulumi
import pulumi_openstack as openstack

provider = openstack.Provider("cloud", auth_url="http://127.0.0.1:9/v3", region="GRA11", tenant_name="shop", user_name="dr",
                              password="p", user_domain_name="Default", project_domain_name="Default", delayed_auth=True, max_retries=1)
opts = pulumi.ResourceOptions(provider=provider)
"""


@pytest.fixture
def stack(tmp_path: Path, toolchain: Toolchain) -> Stack:
    return Stack(tmp_path / "stack", toolchain, PROVIDER)


def planned(stack: Stack, program: str) -> dict[str, Any]:
    """The inputs that a preview plans, by resource."""
    stack.write(PROVIDER + program)
    steps = json.loads(stack.call("preview", "--json", check=True).output)["steps"]
    return {step["urn"].rsplit("::", 1)[1]: step["newState"].get("inputs", {}) for step in steps}


def test_names_are_automatic_where_none_is_given(stack: Stack) -> None:
    inputs = planned(
        stack,
        "openstack.networking.Network('front', opts=opts)\n"
        "openstack.networking.Network('named', name='exactly', opts=opts)\n"
        "openstack.compute.Keypair('operator', opts=opts)\n",
    )
    assert re.fullmatch("front-[0-9a-f]{7}", inputs["front"]["name"])
    assert inputs["front"]["__defaults"] == ["name"]
    assert re.fullmatch("operator-[0-9a-f]{7}", inputs["operator"]["name"])
    assert inputs["named"]["name"] == "exactly"


def test_the_password_is_a_secret(stack: Stack) -> None:
    inputs = planned(stack, "openstack.networking.Network('front', opts=opts)\n")
    assert inputs["cloud"]["password"] == "[secret]"
    assert inputs["cloud"]["userName"] == "dr"


def test_a_wrong_argument_is_named(stack: Stack) -> None:
    stack.write(
        PROVIDER
        + "openstack.networking.SecGroupRule('r', direction='sideways', ethertype='IPv4', security_group_id='x', opts=opts)\n"
    )
    run = stack.call("preview")
    assert run.code != 0
    assert "Examine values at 'r.direction'" in run.output


def test_without_the_api_a_preview_works_and_an_up_says_why_it_does_not(stack: Stack) -> None:
    planned(stack, "openstack.networking.Network('front', opts=opts)\n")
    assert "connection refused" in stack.fail().output


@pytest.mark.skipif(PUBLISHED, reason="the published plugin outlives an engine that was killed")
def test_the_plugin_ends_with_the_engine(toolchain: Toolchain) -> None:
    program = next((toolchain.home / "plugins").glob("resource-openstack-*/pulumi-resource-openstack"))
    with subprocess.Popen(
        ["/bin/sh", "-c", '"$0" 127.0.0.1:1 2>/dev/null & echo $!; read line', program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as engine:
        assert engine.stdout is not None
        pid, port = int(engine.stdout.readline()), int(engine.stdout.readline())
        engine.kill()
    try:
        assert port > 0
        assert subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], timeout=30, check=False).returncode == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
