"""A pair of real PostgreSQL servers that archive to two real S3 servers over TLS, one for each site's region, by the product's own code."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.machines import image
from lab.pairs.loopback import free_port
from lab.pairs.postgres import Node, Pair
from lab.s3 import times
from lab.s3.gateway import connect
from lab.toolchain import tools
from scripts.host.archive.check import Check
from scripts.host.archive.desired import Desired
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.archive.state import State, load
from scripts.host.archive.verbs import Archive
from scripts.host.frame import plan
from scripts.host.frame.commands import Done, run
from scripts.host.frame.log import Log
from scripts.host.frame.wait import until
from scripts.host.postgres.layout import PostgresLayout
from scripts.host.postgres.server import Server

PROJECT = Path(__file__).resolve().parents[2]
BUCKETS = {"a": "shop-a-wal", "b": "shop-b-wal"}
KEYS = {"access_key": "archivekey", "secret_key": "archive-secret-0123456789"}
NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
PASSPHRASE = "it's a $ecret: %p \\ # for tests"  # noqa: S105
# The installed tool, with the scratch root in place of the machine's.
START = "import sys; sys.path.insert(0, {home!r}); from pathlib import Path; from host.__main__ import main; from host.frame.layout import Layout; "
START += "sys.exit(main(sys.argv[1:], layout=Layout(Path({root!r}))))\n"


class Region:
    """One region's S3 server, TLS with the pair's CA; in clear without (the witness's)."""

    def __init__(self, site: str, folder: Path, bucket: str, tls: bool = True, lock_days: int = 0) -> None:
        self.lock_days = lock_days
        self.site, self.folder, self.port = site, folder / f"s3-{site}", free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.bucket, self.tls, self.ca = bucket, tls, folder / "ca.pem"
        self.folder.mkdir()
        for name in ("data", "versions"):
            (self.folder / name).mkdir()
        certificate(folder, f"s3-{site}", "IP:127.0.0.1,DNS:127.0.0.1")  # pgBackRest looks at names only
        self.pem, self.key = folder / f"s3-{site}.pem", folder / f"s3-{site}.key"

    def start(self) -> None:
        argv = [str(tools.ensure().versitygw), "--port", f"127.0.0.1:{self.port}", "--region", self.site]
        argv += ["--cert", str(self.pem), "--key", str(self.key)] if self.tls else []
        environment = {
            **os.environ,
            "ROOT_ACCESS_KEY_ID": KEYS["access_key"],
            "ROOT_SECRET_ACCESS_KEY": KEYS["secret_key"],
        }
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *argv,
                    "--quiet",
                    "posix",
                    "--versioning-dir",
                    str(self.folder / "versions"),
                    str(self.folder / "data"),
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        assert until(self._listens, 20), f"S3 of {self.site} does not start, see {self.folder}/log"

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def make(self) -> None:
        """The bucket; as the program makes it where it is to be locked."""
        if not self.lock_days:
            self.client.create_bucket(Bucket=self.bucket)
            return
        self.client.create_bucket(Bucket=self.bucket, ObjectLockEnabledForBucket=True)
        lock = {"Mode": "COMPLIANCE", "Days": self.lock_days}
        found = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": lock}}
        self.client.put_object_lock_configuration(Bucket=self.bucket, ObjectLockConfiguration=found)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def endpoint(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def client(self) -> Any:
        os.environ["AWS_CA_BUNDLE"] = str(self.ca)
        try:
            return connect(self.endpoint, self.site, KEYS["access_key"], KEYS["secret_key"])
        finally:
            del os.environ["AWS_CA_BUNDLE"]

    def objects(self) -> list[str]:
        """Every object of the bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def put_times_right(self) -> None:
        """See `lab.s3.times`."""
        assert times.put_right(self.folder) > 0, f"no version in {self.folder}"

    def wal(self) -> set[str]:
        """Names of the WAL files in the archive."""
        return {
            key.rsplit("/", 1)[1].split("-")[0].removesuffix(".zst")
            for key in self.objects()
            if re.search(r"/[0-9A-F]{16}/|[0-9A-F]{8}[.]history", key)
        }

    def has_place(self) -> bool:
        """Whether a cluster may archive here."""
        return any(key.endswith("/archive.info") for key in self.objects())

    def forget(self, segment: str) -> None:
        """As if it had never got here."""
        for key in self.objects():
            if f"/{segment}-" in key:
                self.client.delete_object(Bucket=self.bucket, Key=key)
        assert segment not in self.wal()


def authority(folder: Path) -> None:
    """`ca.pem` and `ca.key`: the S3 servers' own CA, as `dr:archive.ca` names one."""
    openssl(folder, f"req -x509 {NEW_KEY} -keyout ca.key -out ca.pem -days 30 -subj /CN=s3")


def certificate(folder: Path, name: str, san: str) -> None:
    """`<name>.pem` and `<name>.key` of that CA."""
    (folder / "san").write_text(f"subjectAltName={san}\n")
    openssl(folder, f"req {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}")
    signed = f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile san -out {name}.pem"
    openssl(folder, signed)


def openssl(folder: Path, arguments: str) -> None:
    """Raises CalledProcessError."""
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)


class ArchivePair(Pair):
    """Sites a and b, each with an archive in its own region and the other's."""

    def __init__(self, lock_days: int = 0) -> None:
        super().__init__()
        authority(self.folder)
        self.regions = {
            site: Region(site, self.folder, bucket, lock_days=lock_days) for site, bucket in BUCKETS.items()
        }
        self.restored: list[Path] = []
        self.witness = Region("w", self.folder, "witness", tls=False)
        for region in (*self.regions.values(), self.witness):
            region.start()
            region.make()
        for package, source in (("host", PROJECT / "scripts/host"), ("contract", PROJECT / "contract")):
            shutil.copytree(source, self.folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        for node in (self.a, self.b):
            start = self.folder / f"tool-{node.site}.py"
            start.write_text(START.format(home=str(self.folder), root=str(node.root)))
            user = "postgres" if os.geteuid() == 0 else getpass.getuser()
            node.layout = PostgresLayout(node.layout.base, node.version, user, tool=f"/usr/bin/python3 {start}")
            node.control.layout = node.layout
            node.server = Server(node.layout, node.ports[node.site], node.control)
            witness = {"endpoint": self.witness.endpoint, "region": "w", "bucket": self.witness.bucket, **KEYS}
            (node.root / "etc/dr").mkdir(parents=True)
            (node.root / "etc/dr/witness.json").write_text(json.dumps(witness))

    def close(self) -> None:
        try:
            for data in self.restored:
                stop = [self.a.layout.program("pg_ctl"), "stop", "-s", "-m", "immediate", "-D", str(data)]
                run(stop, limit_s=20, user=self.a.layout.user, check=False)
            super().close()
        finally:
            for region in (*self.regions.values(), self.witness):
                region.stop()

    def epoch(self, number: int, active: str) -> None:
        """As the fence link claims it."""
        body = json.dumps({"epoch": number, "active": active}).encode()
        self.witness.client.put_object(Bucket=self.witness.bucket, Key=f"epochs/{number:08d}.json", Body=body)

    def archive_document(self, node: Node, epoch: int, active: str, **changes: Any) -> dict[str, Any]:
        """As the program renders it."""
        document = node.document(epoch, active)
        block = {
            "version": node.version,
            "port": node.ports[node.site],
            "repositories": {site: {"region": site, "bucket": BUCKETS[site]} for site in self.regions},
            "endpoints": {site: f"https://127.0.0.1:{region.port}" for site, region in self.regions.items()},
            "keys": KEYS,
            "passphrase": PASSPHRASE,
            "ca": (self.folder / "ca.pem").read_text(),
            "retention_full": 2,
            "process_max": 1,
            "queue_max": "1GB",
        }
        del document["postgres"]
        return {**document, "archive": {**block, **changes}}

    def prepare(self, node: Node, **changes: Any) -> None:
        """`archive prepare`."""
        document = self.archive_document(node, 1, "a", **changes)
        call = node.call(document, "prepare")
        desired = Desired.read(document, with_epoch=False)
        assert desired.envelope.epoch is None
        plan.converge(Archive(desired, ArchiveLayout(node.layout), node.units, call.log), call)

    def check(self, node: Node) -> dict[str, Any]:
        """`archive check`, as the minute's timer calls it."""
        return Check(ArchiveLayout(node.layout), self.memory(node), node.server, Log(node.log, "archive check")).run()

    def make_places(self, node: Node) -> None:
        """The minute's timer until this primary's place is in both regions: a server that is busy may fail it once."""
        made = until(
            lambda: self.check(node) is not None and all(it.has_place() for it in self.regions.values()), 60, 1
        )
        assert made, node.log.getvalue()

    def memory(self, node: Node) -> Any:
        return Desired.read(self.archive_document(node, 1, "a")).memory

    def call(
        self,
        node: Node,
        verb: str,
        document: dict[str, Any] | None = None,
        user: str | None = None,
        before: Sequence[str] = (),
    ) -> Done:
        """`dr-host archive <verb>` as a process of its own. `before`: a command that starts it, see `newer`."""
        return run(
            [*before, "/usr/bin/python3", str(self.folder / f"tool-{node.site}.py"), "archive", verb],
            stdin=json.dumps(document or {}),
            limit_s=300,
            check=False,
            user=user,
        )

    def newer(self) -> list[str]:
        """A command that starts another one to which `pgbackrest` is the one of the guests' image: Debian 12 has an older one. Wants root."""
        root, wrapper = image.ensure(), self.folder / "pgbackrest"
        seen = self.folder / "image"
        seen.mkdir(exist_ok=True)
        loader = f"{seen}/usr/lib64/ld-linux-x86-64.so.2 --library-path {seen}/usr/lib/x86_64-linux-gnu"
        wrapper.write_text(f'#!/bin/sh\nexec {loader} --argv0 /usr/bin/pgbackrest {seen}/usr/bin/pgbackrest "$@"\n')
        wrapper.chmod(0o755)
        binds = f"mount --bind {root} {seen} && mount --bind {wrapper} /usr/bin/pgbackrest"
        return ["unshare", "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh"]

    def state(self, node: Node) -> State:
        return load(ArchiveLayout(node.layout))
