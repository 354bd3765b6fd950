from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.machines import cleanup, image
from lab.namespace import Places, entered
from tests.lab.machines.bench import Bench, make_bench, make_namespace, make_places


@pytest.fixture(scope="session")
def host_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ssh host key that the guests are given."""
    key = tmp_path_factory.mktemp("key") / "host"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


@pytest.fixture(scope="package")
def lab_places() -> Iterator[Places]:
    """A namespace of its own for these tests; whatever is left in it goes at the end."""
    name = f"drt{os.getpid()}"
    places = make_places(name, Path("/var/lib") / name)
    make_namespace(places)
    yield places
    troubles = cleanup.remove(places)
    if places.disks.parent.exists():
        places.disks.parent.rmdir()
    assert troubles == []


@pytest.fixture(scope="package")
def machines_bench(lab_places: Places, host_key: Path) -> Iterator[Bench]:
    with entered(lab_places.netns):
        bench = make_bench(lab_places, image.ensure())
        private = "".join(f"    {line}\n" for line in host_key.read_text().splitlines())
        bench.build(
            f"#cloud-config\nssh_keys:\n  ed25519_private: |\n{private}  ed25519_public: {host_key.with_suffix('.pub').read_text()}"
        )
    # Not from inside: a fixture of this scope would keep every later test in the namespace, also those of other folders.
    yield bench


@pytest.fixture
def bench(machines_bench: Bench, lab_places: Places) -> Iterator[Bench]:
    """Both hosts up, this test inside their namespace."""
    with entered(lab_places.netns):
        yield machines_bench
