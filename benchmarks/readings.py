"""Processor time of one reading of a host's figures: `python -m benchmarks.readings [--beside CHECKOUT]`, of both checkouts in turn; as root, PostgreSQL runs.

What systemd adds, the unit's box and its look at the archive, is not in it, nor what PostgreSQL does for its answers. A cache host's and an app host's
servers do not answer here, at once: what it takes to ask them is in it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components import bundle
from contract import pipes
from contract.lease import Lease
from lab.pairs.postgres import newest_version
from scripts.host.frame.layout import Layout
from scripts.host.postgres.layout import PostgresLayout

PROJECT = Path(__file__).resolve().parents[1]
PORT, CLOSED = 25_432, 1
READ = (
    "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); from host.__main__ import main; from host.frame.layout import Layout; "
    "sys.exit(main(['monitoring', 'metrics'], layout=Layout(Path(sys.argv[2]))))"
)
COMPILE = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); from host.frame import bytecode; bytecode.add(Path(sys.argv[1]))"


def host(folder: Path, name: str) -> Layout:
    """A host's files, as far as a reading looks at them."""
    layout = Layout(folder / name)
    for path in (layout.etc, layout.var, layout.run):
        path.mkdir(parents=True)
    (layout.etc / "monitoring.json").write_text(json.dumps({"host": name, "site": "a"}))
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=host"]
    subprocess.run(
        [*made, "-keyout", layout.etc / "host.key", "-out", layout.etc / "host.crt"], check=True, capture_output=True
    )
    return layout


def leased(layout: Layout, name: str, service: str) -> None:
    """The files of a lease's agent, as far as a reading looks at them."""
    address = {"name": f"{name}.a.dr.internal", "address": "127.0.0.1", "port": 7600}
    told = {"site": "a", "peer": "b", "host": name, "service": service, "own": address, "counterpart": address}
    (layout.etc / "agent.json").write_text(json.dumps({**told, "terms": dataclasses.asdict(Lease())}))


def cache(folder: Path) -> Layout:
    """A cache host."""
    layout = host(folder, "cache-1")
    leased(layout, "cache-1", "redis")
    members = [{"name": f"cache-1.{site}", "address": "127.0.0.1", "port": CLOSED} for site in "ab"]
    told = {"local": members[0], "peer": members[1], "ca": str(layout.etc / "host.crt"), "password": "none"}
    (layout.etc / "redis.json").write_text(json.dumps(told))
    return layout


def app(folder: Path) -> Layout:
    """An app host."""
    layout = host(folder, "app-1")
    current = layout.at("/opt/shop/current")
    current.parent.mkdir(parents=True)
    current.symlink_to("releases/none")
    return layout


@contextmanager
def database(layout: Layout) -> Iterator[None]:
    """A cluster where a database host has it."""
    version = newest_version()
    own = PostgresLayout(layout, version)
    leased(layout, "db-1", "postgres")
    told = {"version": version, "port": PORT, "site": "a", "peer": "b"}
    own.memory.write_text(json.dumps(told))
    for path in (own.data.parent, own.sockets, own.log.parent):
        path.mkdir(parents=True)
        shutil.chown(path, own.user)
    as_server = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    subprocess.run([*as_server, own.program("initdb"), "-D", own.data, "-A", "trust"], check=True, capture_output=True)
    control = [*as_server, own.program("pg_ctl"), "-D", str(own.data), "-w"]
    options = f"-p {PORT} -k {own.sockets} -c listen_addresses= -c external_pid_file={own.pid_file}"
    subprocess.run([*control, "-o", options, "-l", own.log, "start"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    try:
        yield
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], check=True, stdout=subprocess.DEVNULL, cwd="/")


def spent(archive: Path, layout: Layout) -> float:
    """Seconds of processor time of one reading, with all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", READ, archive, layout.root],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"monitoring metrics: found exit code {done.returncode}, wanted 0: {done.stderr.decode()}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--beside", type=Path, help="another checkout, measured in turn with this one")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="readings-"))
    folder.chmod(0o755)
    try:
        archives = {}
        for name, root in (("this", PROJECT), ("beside", chosen.beside)):
            if root is not None:
                archives[name] = folder / f"{name}.pyz"
                shutil.copy(root / bundle.dr_host(root.resolve()).path, archives[name])
                subprocess.run(["/usr/bin/python3", "-c", COMPILE, archives[name]], check=True)
        control, db = host(folder, "control-1"), host(folder, "db-1")
        with database(db):
            for layout in (control, db, cache(folder), app(folder)):
                taken: dict[str, list[float]] = {name: [] for name in archives}
                for _ in range(chosen.calls + 1):
                    for name, archive in archives.items():
                        taken[name].append(spent(archive, layout))
                for name, times in taken.items():  # the first one writes what later ones know
                    print(
                        f"{layout.root.name:<9} {name:<6} {statistics.median(times[1:]) * 1000:4.0f} ms, median of {chosen.calls}"
                    )
                figures = (layout.var / "metrics/dr_host/dr_host.prom").read_text()
                assert layout is not db or "dr_postgres_timeline 1" in figures, figures
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(pipes.status(main))
