"""One rehearsal: a running lab, both stacks' files with fresh secrets, the real `pulumi`, and eyes on hosts, witness and orders.

The demo, the life-cycle tests and the drills all work through this; none of them knows more of the lab than its endpoints and its faults.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import secrets as random_secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contract.access import Ovh, Ssh, SshHost
from contract.buckets import Bucket
from contract.hosts import PORTS
from contract.names import bucket_name
from lab.client.ledger import Event, Kept, kept_carts, kept_uploads
from lab.namespace import LabError, Places, entered, places
from lab.rehearsal import sampler, stacks, witness_users
from lab.rehearsal.engine import Pulumi
from lab.toolchain import tools
from scripts.clients.hosts import Hosts, Unreachable
from scripts.clients.ovh import OvhApi
from scripts.clients.witness import Witness
from scripts.ctl.stacks.secrets import host_names

UPLOADS = "uploads/"  # where the shop puts customers' files
PROJECT = Path(__file__).resolve().parents[2]


def lab(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`python -m lab ...` as a person would call it. `check`: raises LabError with its words when it fails."""
    command = [sys.executable, "-m", "lab", *arguments]
    done = subprocess.run(command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise LabError(f"lab {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done


@contextlib.contextmanager
def running_lab() -> Iterator[Places]:
    """A lab of this process: brought up, entered, and taken down at the end, whatever happened."""
    where = places()
    lab("up")
    try:
        with entered(where.netns):
            yield where
    finally:
        lab("down")


def key_of(part: Mapping[str, Any]) -> dict[str, str]:
    """Both words of an S3 key, of a part of `dr:secrets` that has one."""
    return {name: part[name] for name in ("access_key", "secret_key")}


@dataclass(frozen=True)
class Killed:
    """A run whose engine was killed."""

    process: subprocess.Popen[str]
    outlived: list[int]  # its links on the operator's machine that went on when the engine was gone


class World:
    """Inside a running lab. `changes`: as in `stacks.documents`."""

    def __init__(self, where: Places, changes: Mapping[str, Any] | None = None) -> None:
        self.places = where
        self.lab: dict[str, Any] = json.loads(where.description.read_text())
        made = stacks.documents(PROJECT, self.lab, changes)
        self.config: dict[str, Any] = stacks.whole(PROJECT, made["a"])
        self._make_bucket(stacks.WITNESS_BUCKET)
        self.secrets = stacks.secrets(self.config, self.lab, self._make_witness_users())
        files = stacks.write(where.run / "stacks", made)
        environment = {**os.environ, **tools.ensure().environment()}
        self.pulumi = Pulumi(PROJECT, where.run, files, environment, random_secrets.token_urlsafe(16))
        self.pulumi.create(stacks.to_stdin(self.secrets))
        self.witness = self._witness()
        self._bastions: dict[str, str | None] = {}

    def know(self, secrets: dict[str, Any]) -> None:
        """What the eyes here go by from now on."""
        self.secrets = secrets
        self.witness = self._witness()

    def _witness(self) -> Witness:
        return Witness(Bucket(**self.config["dr:witness"], **key_of(self.secrets["witness"])))

    @property
    def shop_url(self) -> str:
        return f"https://{self.config['dr:shop']['host']}"

    @property
    def ca_file(self) -> Path:
        """The CA of the entrance, as customers' browsers know a public one."""
        file = self.places.run / "ca.pem"
        file.write_text(self.secrets["tls"]["shop"]["ca"])
        return file

    def request(self, site: str, active: str) -> None:
        """`pulumi config set failover_region ...` on one stack."""
        self.pulumi.config_set(site, "failover_region", active.encode())

    def whole(self, site: str) -> dict[str, Any]:
        """What a stack is configured with now, by full key, without what is secret."""
        return stacks.whole(PROJECT, yaml.safe_load(self.pulumi.files[site].read_text()))

    def configure(self, site: str, key: str, value: Any) -> Any:
        """Write a key of a stack file as a person would, without its prefix; None takes it out. Returns what the stack went by before."""
        file = self.pulumi.files[site]
        document = yaml.safe_load(file.read_text())
        before = copy.deepcopy(stacks.whole(PROJECT, document).get(f"dr:{key}"))
        document["config"].pop(f"dr:{key}", None)
        if value is not None:
            document["config"][f"dr:{key}"] = value
        file.write_text(yaml.safe_dump(document, sort_keys=False))
        return before

    def fault(self, *words: str) -> None:
        """`lab fault ...`."""
        lab("fault", *words)

    @contextlib.contextmanager
    def hosts(self, site: str) -> Iterator[Callable[..., subprocess.CompletedProcess[bytes]]]:
        """Run shell lines on hosts through the bastion of `site`: `run("db-1.b", "uptime")`, a third argument is the line's stdin."""
        names = host_names(self.config)
        keys = self.secrets["ssh"]
        told = Ssh(
            private_key=keys["operator"]["private"],
            hosts={
                key: SshHost(vrack=it[1], front=it[2], host_key=keys["hosts"][key]["public"])
                for key, it in names.items()
            },
            bastions={site: self._bastion(site)},
        )
        with Hosts(told) as hosts:
            yield lambda host, line, stdin=b"": hosts.execute(host, site, line, stdin, 60)

    def vrack(self, host: str) -> str:
        """Address of a host ("db-1.b") between the regions."""
        return host_names(self.config)[host][1]

    def _bastion(self, site: str) -> str | None:
        """Kept once it is known: eyes must not depend on the witness that a drill has killed."""
        if self._bastions.get(site) is None:
            self._bastions[site] = self.witness.addresses(site).get("bastion")
        return self._bastions[site]

    def rows(self, site: str) -> list[dict[str, Any]]:
        """Every order in the database of `site`: {"idempotency_key", "id", "site", "created_at"}."""
        fields = ", ".join(f"'{name}', {name}" for name in ("id", "idempotency_key", "site", "created_at"))
        sql = f"select coalesce(json_agg(json_build_object({fields}) order by id), '[]') from orders"  # noqa: S608 - four words of ours
        line = f'runuser -u postgres -- psql -X -At -d shop -c "{sql}"'
        with self.hosts(site) as run:
            done = run(f"db-1.{site}", line)
        if done.returncode:
            raise RuntimeError(f"orders of site {site}: {done.stderr.decode().strip()}")
        return list(json.loads(done.stdout))

    def cache(self, site: str, host: str = "cache-1") -> dict[str, Any]:
        """A cache as the shop knows it, for `sampler.Cache`. Holds the shop's password."""
        name, address, *_ = host_names(self.config)[f"{host}.{site}"]
        port = self.config.get("dr:redis", {}).get("port", PORTS["redis"])
        password, tls = self.secrets["redis"]["app"], self.secrets["tls"]["cache"]
        return {
            "name": name, "address": address, "port": port, "ca": tls["ca"], "own": tls["clients"]["shop"], "user": "shop", "password": password,
        }  # fmt: skip

    def carts(self, site: str) -> dict[str, dict[str, int]]:
        """Every cart in the first cache of `site`: token -> product -> quantity. Raises RuntimeError and Unreachable."""
        with self.hosts(site) as run:
            done = run(f"cache-1.{site}", "python3 -", reading_carts(self.cache(site)).encode())
        if done.returncode:
            raise RuntimeError(f"carts of site {site}: {done.stderr.decode(errors='replace').strip()[-200:]}")
        return dict(json.loads(done.stdout))

    def uploads(self, site: str) -> dict[str, list[str]]:
        """Every customer's file in the asset bucket of `site`: key -> MD5 of each version, the newest first; none for one that was deleted."""
        bucket = bucket_name("shop", self.lab["ovh"]["service_name"], site, "assets")
        pages = self.s3(stacks.SITES[site][1]).get_paginator("list_object_versions")
        return versions_of(pages.paginate(Bucket=bucket, Prefix=UPLOADS))

    def kept(self, site: str, events: Sequence[Event]) -> dict[str, Any]:
        """What became of acknowledged carts and files in `site`, by kind: figures and no verdict. The cache may lose by design, and files come over
        when a lost site is back; what cannot be read is told as unknown.
        """
        looks: dict[str, Callable[[], Kept]] = {
            "carts": lambda: kept_carts(events, self.carts(site)),
            "uploads": lambda: kept_uploads(events, self.uploads(site)),
        }
        found: dict[str, Any] = {}
        for name, look in looks.items():
            try:
                found[name] = look().figures()
            except (RuntimeError, OSError, Unreachable, BotoCoreError, ClientError) as error:
                found[name] = f"unknown ({type(error).__name__})"
        return found

    def status(self, site: str, service: str = "postgres", host: str | None = None) -> dict[str, Any]:
        """`dr-host <service> status` of a site's host, the first of its kind unless named; empty when it cannot be reached."""
        host = host or {"postgres": "db-1", "redis": "cache-1", "app": "app-1"}[service]
        try:
            with self.hosts(site) as run:
                done = run(
                    f"{host}.{site}",
                    f"sh -c 'echo {{\\\"schema\\\":1}} | python3 /opt/dr/dr-host.pyz {service} status'",
                )
        except Unreachable:
            return {}
        return dict(json.loads(done.stdout)["facts"]) if done.returncode == 0 else {}

    def writers(self) -> set[str]:
        """Sites whose database takes writes just now."""
        found = {site: self.status(site) for site in stacks.SITES}
        return {site for site, facts in found.items() if facts.get("running") and facts.get("in_recovery") is False}

    def kill_up(self, site: str, what: str, condition: Callable[[], bool], limit_s: float = 120) -> Killed | None:
        """`pulumi up` until `condition`, then `kill -9` of the engine, and `pulumi cancel`. None when the run ended first."""
        process = self.pulumi.start(site)
        wait_for(what, lambda: condition() or process.poll() is not None, limit_s, 0.01)
        if process.poll() is not None:
            return None
        self.pulumi.kill(process)
        killed = Killed(process, self.pulumi.links(process))
        cancelled = self.pulumi.cancel(site)
        if not cancelled.ok:
            raise RuntimeError(f"pulumi cancel of region-{site} ended with {cancelled.code}:\n{cancelled.output}")
        return killed

    def s3(self, region: str) -> Any:
        """A storage region of the lab ("gra") as its owner reaches it."""
        keys = self.lab["root_s3"]
        return boto3.client(
            "s3",
            endpoint_url=self.lab["s3"][region]["endpoint"],
            region_name=region,
            aws_access_key_id=keys["access_key"],
            aws_secret_access_key=keys["secret_key"],
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def _make_bucket(self, name: str) -> None:
        """What a person does once by hand: the versioned witness bucket in the third region."""
        s3 = self.s3("de")
        if name not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=name)
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def _make_witness_users(self) -> dict[str, Any]:
        """The same for the keys to it."""
        return witness_users.make(self._ovh().ask, self.lab["ovh"]["service_name"], stacks.WITNESS_BUCKET)

    def make_page(self, bucket: str) -> dict[str, str]:
        """The same for a page for customers: its bucket, and the key to it."""
        s3 = self.s3("de")
        if bucket not in [it["Name"] for it in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=bucket)
        return witness_users.make_page(self._ovh().ask, self.lab["ovh"]["service_name"], bucket)

    def _ovh(self) -> OvhApi:
        return OvhApi(Ovh(**{name: value for name, value in self.lab["ovh"].items() if name != "service_name"}))


def reading_carts(settings: Mapping[str, Any]) -> str:
    """A program that prints the carts of a cache, to be handed over on stdin: it holds a password."""
    ask = f"cache = Cache({dict(settings)!r}); cache.connect(); print(json.dumps(cache.carts()))"
    return f"{Path(sampler.__file__).read_text()}\n{ask}\n"


def versions_of(pages: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What listings of versions say of customers' files: as `World.uploads`. Pure."""
    found: dict[str, list[str]] = {}
    gone: set[str] = set()
    for page in pages:
        gone |= {marker["Key"] for marker in page.get("DeleteMarkers", ()) if marker["IsLatest"]}
        for version in page.get("Versions", ()):
            found.setdefault(version["Key"], []).append(version["ETag"].strip('"'))
    return {key.removeprefix(UPLOADS): [] if key in gone else versions for key, versions in found.items()}


def wait_for(what: str, condition: Callable[[], bool], limit_s: float, pause_s: float = 0.1) -> float:
    """Wait until `condition` holds; returns the seconds it took. Raises RuntimeError with the words of `what`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit_s:
            raise RuntimeError(f"{what}: not within {limit_s:.0f} s")
        time.sleep(pause_s)
    return time.monotonic() - began
