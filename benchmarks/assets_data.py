"""The benchmark's servers and objects."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.assets.config import Endpoint, Options
from scripts.assets.store import Bucket

BUCKET = "bench"
KEYS = {"access_key": "BENCHACCESS", "secret_key": "benchsecretkey"}
VERSIONED = b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'
OPERATION = re.compile(r" s3_(\w+) ")


class Server:
    """One versitygw on loopback with one versioned bucket."""

    def __init__(self, home: Path, binary: str, region: str) -> None:
        self._home, self._binary, self.region = home, binary, region
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._log = home / "access.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def document(self) -> dict[str, str]:
        return {"endpoint": f"http://127.0.0.1:{self._port}", "region": self.region, "bucket": BUCKET, **KEYS}

    def bucket(self, concurrency: int = 24, name: str = BUCKET) -> Bucket:
        return Bucket(
            Endpoint(name=self.region, **(self.document() | {"bucket": name})),
            Options(concurrency=concurrency),
            threading.Event(),
        )

    def _start(self, *buckets: str) -> None:
        for folder in ("data", "versions"):
            (self._home / folder).mkdir(parents=True, exist_ok=True)
        argv = [
            self._binary,
            "--port",
            f"127.0.0.1:{self._port}",
            "--region",
            self.region,
            "--keep-alive",
            "--quiet",
            "--access-log",
            str(self._log),
        ]
        argv += ["posix", "--versioning-dir", str(self._home / "versions"), str(self._home / "data")]
        keys = {"ROOT_ACCESS_KEY_ID": KEYS["access_key"], "ROOT_SECRET_ACCESS_KEY": KEYS["secret_key"]}
        self._process = subprocess.Popen(
            argv, env=os.environ | keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        for name in {BUCKET, *buckets}:
            bucket = self.bucket(name=name)
            bucket.wire.ask("create", "PUT")
            bucket.wire.ask("version", "PUT", query={"versioning": ""}, body=VERSIONED)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def empty(self, *buckets: str) -> None:
        """A fresh server with empty buckets, on the same port."""
        self.stop()
        shutil.rmtree(self._home)
        self._home.mkdir()
        self._start(*buckets)

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        if self._process is None:
            return 0.0
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def mark(self) -> int:
        """A place in the access log."""
        return self._log.stat().st_size if self._log.exists() else 0

    def requests(self, mark: int) -> dict[str, int]:
        """How often each operation was asked for since `mark`."""
        counts: dict[str, int] = {}
        if not self._log.exists():
            return counts
        with self._log.open(encoding="utf-8", errors="replace") as log:
            log.seek(mark)
            for line in log:
                found = OPERATION.search(line)
                name = found.group(1) if found else "other"
                counts[name] = counts.get(name, 0) + 1
        return dict(sorted(counts.items()))


def key_of(number: int) -> bytes:
    """Flat random names, as Active Storage makes them; the same for the same number."""
    rng = random.Random(number)
    return "".join(rng.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=28)).encode()


def fill(server: Server, count: int, least: int, most: int) -> int:
    """Random bytes, sizes evenly between `least` and `most`. Returns `count`."""
    bucket = server.bucket()
    rng = random.Random(7)
    sizes = [rng.randint(least, most) for _ in range(count)]

    def one(number: int) -> None:
        bucket.put(key_of(number), os.urandom(sizes[number]), {"content-type": "image/jpeg"})

    with ThreadPoolExecutor(4 if least > 1_000_000 else 16) as pool:
        list(pool.map(one, range(count)))
    bucket.close()
    return count


def change_one_percent(server: Server, step: int) -> None:
    """One key in a hundred gets other bytes, every second of them as many as before."""
    bucket = server.bucket()
    for number, entry in enumerate(bucket.entries()):
        if number % 100 == step % 100:
            size = entry.size if (number // 100) % 2 else entry.size + 1
            bucket.put(entry.key, os.urandom(size), {"content-type": "image/jpeg"})
    bucket.close()


def differences(source: Server, target: Server, name: str) -> int:
    """Objects that are not the same on both sides, by name, size and MD5."""
    sides = []
    for bucket in (source.bucket(), target.bucket(name=name)):
        sides.append({entry.key: (entry.size, entry.etag) for entry in bucket.entries()})
        bucket.close()
    return sum(sides[0].get(key) != sides[1].get(key) for key in sides[0].keys() | sides[1].keys())
