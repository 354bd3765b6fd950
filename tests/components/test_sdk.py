"""What of the providers' SDKs a program loads: what it names, and what it gets is the SDK's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FEW = 60  # of the 600 and more modules that both SDKs have


def said(program: str) -> object:
    """What a program prints, as JSON; in a process of its own, since nothing loaded is loaded twice."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_program_loads_what_it_names_of_the_sdks() -> None:
    told = """
import json, runpy, sys
runpy.run_path("__main__.py", run_name="program")
from pulumi_openstack import blockstorage, compute, loadbalancer, networking
from pulumi_ovh import cloudproject, domain
used = (blockstorage.Volume, compute.Instance, compute.InstanceNetworkArgs, loadbalancer.LoadBalancer, networking.FloatingIp,
        cloudproject.Storage, cloudproject.S3Policy, cloudproject.StorageVersioningArgs, domain.ZoneRecord)
print(json.dumps([name for name in sys.modules if name.startswith(("pulumi_openstack.", "pulumi_ovh."))]))
"""
    loaded = said(told)
    assert isinstance(loaded, list) and 10 < len(loaded) < FEW, loaded


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("pulumi_openstack", "Provider"),
        ("pulumi_openstack.compute", "Instance"),
        ("pulumi_openstack.networking", "SubnetAllocationPoolArgs"),
        ("pulumi_openstack.networking", "get_network"),  # a function, in a module of its own name
        ("pulumi_ovh.cloudproject", "S3Credential"),
        ("pulumi_ovh.cloudproject", "GetUserS3CredentialResult"),  # in no place that its name tells
        ("pulumi_ovh.domain", "ZoneRecord"),
        ("pulumi_ovh", "cloudproject"),
    ],
)
def test_what_is_asked_for_is_what_the_whole_sdk_has(package: str, name: str) -> None:
    told = f"""
import json, importlib
{{}}
found = importlib.import_module({package.partition(".")[0]!r})
for name in {[*package.split(".")[1:], name]!r}:
    found = getattr(found, name)
print(json.dumps([getattr(found, "__module__", ""), found.__name__, type(found).__name__]))
"""
    assert said(told.replace("{}", "import components")) == said(told.replace("{}", ""))


def test_what_an_sdk_does_not_have_is_an_error_as_ever() -> None:
    told = """
import json, components
from pulumi_ovh import domain
found = [hasattr(domain, "ZoneRecords"), hasattr(domain, "ZoneRecord")]
try:
    from pulumi_ovh import clouds
except ImportError:
    found.append("ImportError")
print(json.dumps(found))
"""
    assert said(told) == [False, True, "ImportError"]


def test_an_sdk_that_is_loaded_already_stays_as_it_is() -> None:
    told = """
import json, sys, pulumi_openstack
import components
print(json.dumps(sys.modules["pulumi_openstack"] is pulumi_openstack and "__getattr__" not in vars(pulumi_openstack)))
"""
    assert said(told) is True


def test_who_has_no_sdk_can_read_a_configuration() -> None:
    told = """
import json, sys
sys.modules["pulumi"] = None
import components.sdk
components.sdk.lighten("no_such_sdk")
print(json.dumps("no_such_sdk" in sys.modules))
"""
    assert said(told) is False
