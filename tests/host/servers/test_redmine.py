"""Redmine, which nobody here wrote, as a release in the guests' image: signed in, under load and with Sidekiq at work, while its real writer moves."""

from __future__ import annotations

import http.client
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.client.redmine import BEGIN, Browser, Crowd, Programs
from lab.machines import image
from lab.pairs.loopback import free_port
from lab.pairs.postgres import Pair, caught_up
from lab.rehearsal import redmine
from scripts.host.frame.wait import until
from tests.assets.stub import Stub
from tests.host.servers.test_gem_moves import move, url

pytestmark = [pytest.mark.lab, pytest.mark.rest]  # it fetches some packages and starts Redmine four times: minutes

THREADS = 5
GAP_REQUESTS = 15  # that come while nobody writes
# The release as on a host: its folder, of which nothing but `tmp` and `log` can be written.
INSIDE = """
mount -t tmpfs none "$1/mnt"
mkdir "$1/mnt/shop" "$1/mnt/test" "$1/mnt/over" "$1/mnt/over/up" "$1/mnt/over/work"
ln -s /mnt/test/log /mnt/test/tmp "$1/mnt/over/up"
mount -t overlay none -o "ro,lowerdir=$2,upperdir=$1/mnt/over/up,workdir=$1/mnt/over/work" "$1/mnt/shop"
mount --bind "$3" "$1/mnt/test"
root=$1
shift 3
exec chroot "$root" env -C /mnt/shop "$@"
"""


@dataclass
class Redmine:
    """Its processes, in one folder of a test."""

    release: Path
    folder: Path
    env: dict[str, str]
    port: int
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _cache: subprocess.Popen[bytes] | None = None

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """One of its processes; what it says comes into `words`."""
        with (self.folder / "words").open("ab") as out:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", str(image.ensure()), str(self.release), str(self.folder), *argv],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env, cwd="/",
            )  # fmt: skip
        self._running.append(process)
        return process

    def run(self, *argv: str) -> None:
        """One that ends."""
        assert self.start(*argv).wait(120) == 0, self.words[-4000:]

    @property
    def words(self) -> str:
        return (self.folder / "words").read_text(errors="replace")

    def door(
        self, method: str, path: str, body: str | bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """As nginx asks it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"X-Forwarded-Proto": "https", **headers})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, http.client.HTTPMessage(), b""
        finally:
            connection.close()

    def mails(self) -> list[str]:
        """The issue of each mail that Sidekiq has sent."""
        told = "".join(path.read_text(errors="replace") for path in (self.folder / "log/mail").glob("*"))
        return re.findall(r"^X-Redmine-Issue-Id: (\d+)", told, re.MULTILINE)

    def begin_cache(self) -> None:
        """A Redis that keeps nothing, at the port of REDIS_URL."""
        port = self.env["REDIS_URL"].removesuffix("/0").rpartition(":")[2]
        self._cache = self.start("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "")

    def kill_cache(self) -> None:
        """With all jobs that nobody has taken."""
        assert self._cache is not None
        self._cache.kill()
        self._cache.wait(10)

    def close(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@contextmanager
def running(pair: Pair, folder: Path, bucket: Stub, *, gem: bool) -> Iterator[Redmine]:
    """Redmine with its schema, an administrator and a project; Puma, Sidekiq and a plain Redis for its jobs."""
    port, cache = free_port(), free_port()
    for name in ("log", "tmp"):
        (folder / name).mkdir()
    env = {
        "DATABASE_URL": url(pair, folder), "PGSSLCERT": "/mnt/test/shop.cert", "PGSSLKEY": "/mnt/test/shop.key", "RAILS_ENV": "production",
        "RAILS_LOG_TO_STDOUT": "1", "RAILS_MAX_THREADS": str(THREADS), "SECRET_KEY_BASE": "f" * 128, "REDIS_URL": f"redis://127.0.0.1:{cache}/0",
        "HOME": "/root", "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PORT": str(port),
        "AWS_ENDPOINT_URL_S3": bucket.endpoint, "AWS_REGION": bucket.region, "S3_BUCKET": bucket.bucket, "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }  # fmt: skip
    shop = Redmine(redmine.release(gem=gem), folder, env, port)
    with ExitStack() as stack:
        stack.callback(shop.close)
        shop.begin_cache()
        shop.run("bin/with-gems", "rake", "--silent", "db:migrate")
        (folder / "begin.rb").write_text(BEGIN)
        shop.run("bin/with-gems", "bin/rails", "runner", "/mnt/test/begin.rb")
        for name, command in processes(shop.release).items():
            if name != "release":
                shop.start("sh", "-c", f"exec {command}")
        assert until(lambda: shop.door("GET", "/up", None, {})[0] == 200, 120), shop.words[-4000:]
        yield shop


def processes(release: Path) -> dict[str, str]:
    """Of its Procfile: name to command."""
    pairs = (line.split(": ", 1) for line in (release / "Procfile").read_text().splitlines())
    return {name: command for name, command in pairs}


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as made:
        made.up()
        caught_up(made.a, made.b)
        yield made


@pytest.mark.parametrize("gem", [True, False], ids=["with-the-gem", "without-it"])
def test_redmine_lives_through_a_planned_move_and_a_dead_writer(
    pair: Pair, tmp_path: Path, gem: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The session goes on, no acknowledged issue is lost, none is there twice, and Sidekiq mails each once. How many requests fail is the gem's matter."""
    with Stub() as bucket, running(pair, tmp_path, bucket, gem=gem) as shop:
        browser = Browser(shop.door)
        browser.sign_in()
        browser.write("before the moves", b"a file")
        with Crowd(shop.door, 12) as planned:
            assert planned.served(12), shop.words[-6000:]
            gap = move(pair.a, pair.b, 2, meanwhile=lambda: planned.wait(GAP_REQUESTS))
            assert planned.served(24), shop.words[-6000:]
        assert browser.who() == "admin"
        shutil.rmtree(tmp_path / "tmp/files")  # as on another host
        assert browser.file() == (200, b"a file") and list(bucket.bodies().values()) == [b"a file"]
        browser.write("between them")
        caught_up(pair.b, pair.a)
        with Crowd(shop.door, 12) as lost:
            assert lost.served(12), shop.words[-6000:]
            pair.b.kill()
            lost.wait(GAP_REQUESTS)
            pair.a.converge(3, "a")
            assert lost.served(24), shop.words[-6000:]
        assert browser.who() == "admin"
        browser.write("after the moves")
        known = len(Programs(shop.door).subjects())
        assert until(lambda: len(set(shop.mails())) >= known, 30) or not gem, "what waits is lost with this cache"
        shop.kill_cache()
        with Crowd(shop.door, 12) as uncached:
            uncached.wait(GAP_REQUESTS)
            shop.begin_cache()
            assert uncached.served(24), shop.words[-6000:]
        subjects = Programs(shop.door).subjects()
        mailed = until(lambda: len(set(shop.mails())) >= len(subjects), 30)
        mails = shop.mails()
    with capsys.disabled():
        who = "with" if gem else "without"
        print(f"\n{who} the gem, planned: {planned.told()}; nobody wrote for {gap:.2f} s")
        print(f"{who} the gem, a dead writer: {lost.told()}")
        print(f"{who} the gem, no cache for a moment: {uncached.told()}")
        print(
            f"{who} the gem, Sidekiq: {len(subjects)} issues, {len(set(mails))} of them mailed, {len(mails) - len(set(mails))} mailed twice"
        )
    assert uncached.failed == [], "an issue is committed before its job is enqueued: who gives up there has told nobody"
    written = [
        *planned.written,
        *lost.written,
        *uncached.written,
        "before the moves",
        "between them",
        "after the moves",
    ]
    assert set(written) <= set(subjects) and len(subjects) == len(set(subjects)), "none lost, none twice"
    if gem:
        assert planned.failed == [], shop.words[-6000:]
        assert mailed and len(mails) == len(set(mails))
    else:
        assert planned.failed, "else the gem would be for nothing"
