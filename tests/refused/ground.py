"""What the rows stand on: one running pair, every key in it by whom it belongs to, and the way into each host's network and files."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import re
import shlex
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from contract.hosts import PORTS, balancer_networks
from contract.names import bucket_name
from contract.ssh_keys import PRINCIPAL
from lab import looking
from lab.namespace import Places, entered
from lab.rehearsal import stacks
from lab.rehearsal.stage import Stage
from scripts.ctl.stacks.secrets import Authority, host_names
from tests.refused.probes import Pair, context, environment, files

STRANGER = "100.66.7.8"  # an address of the internet that is no operator's
INTRUDER = "10.100.0.77"  # one on the vRack that is no host's
ASKERS = "192.0.2"  # further operators
OPERATOR, INTERNET, BASTION = "operator", "internet", "control-1.a"
SHOP_KEYS, WAL_KEYS, COPY_KEYS = "shop", "archive", "copier"


class Ground:
    """The lab of this process, region a active, region b following. `source`: host ("db-1.a"), `operator` or `internet`."""

    def __init__(self, where: Places, stage: Stage) -> None:
        self.where, self.stage, self.world = where, stage, stage.world
        self.secrets: dict[str, Any] = self.world.secrets
        self.leaders = {seen.label: seen.leader for seen in looking.known(where)}
        self.names = host_names(self.world.config)
        self.shop = str(self.world.config["dr:shop"]["host"])
        self._stores: dict[tuple[str, str, str], Any] = {}
        self._lock = threading.Lock()
        self._askers = 0
        self._papers = tempfile.TemporaryDirectory()
        with entered(where.netns):
            _ip("address", "replace", f"{STRANGER}/32", "dev", "lo")
        self.run("cache-1.a", f"ip address replace {INTRUDER}/32 dev ens4")
        self.run("app-1.a", f"ip address replace {self.balancers}/32 dev lo")

    # --- where

    @contextlib.contextmanager
    def at(self, source: str) -> Iterator[None]:
        """This thread's sockets are the source's."""
        outside = source in (OPERATOR, INTERNET)
        with entered(self.where.netns if outside else Path(f"/proc/{self.leaders[source]}/ns/net")):
            yield

    def vrack(self, host: str) -> str:
        return self.names[host][1]

    def front(self, host: str) -> str:
        return self.names[host][2]

    def entrance(self, site: str) -> str:
        """The public address of a site's load balancer."""
        return str(self._addresses[site]["lb"])

    @property
    def balancers(self) -> str:
        """One of the addresses from which nginx believes the balancer of a, and that nobody has: the last of the pool."""
        front = self.world.config["dr:regions"]["a"]["front_cidr"]
        return str(ipaddress.ip_network(balancer_networks(front)[-1])[-1])

    def bastion(self, site: str) -> str:
        return str(self._addresses[site]["bastion"])

    @cached_property
    def _addresses(self) -> dict[str, Any]:
        with entered(self.where.netns):
            return {site: self.world.witness.addresses(site) for site in "ab"}

    def read(self, host: str, path: str) -> str:
        """A file of a host, as root."""
        return Path(f"/proc/{self.leaders[host]}/root{path}").read_text()

    def run(self, host: str, line: str, user: str = "root", stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A line of shell on a host."""
        shell = ["sh", "-c", line] if user == "root" else ["runuser", "-u", user, "--", "sh", "-c", line]
        leader = self.leaders[host]
        assert leader is not None, f"{host} has no power"
        return subprocess.run(
            looking.inside(leader, ["timeout", "20", *shell]), input=stdin, capture_output=True, text=True, check=False
        )

    def denied(self, host: str, user: str, line: str) -> str:
        """`ok`, `permission`, or what it said."""
        done = self.run(host, line, user)
        if done.returncode == 0:
            return "ok"
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
        return "permission" if re.search(r"[Pp]ermission denied|not permitted", said[-1]) else said[-1][:160]

    def ssh(
        self,
        user: str,
        key: str,
        *,
        options: tuple[str, ...] = (),
        line: str = "true",
        host: str = BASTION,
        certificate: str = "",
    ) -> str:
        """OpenSSH to the bastion of a, as an operator's machine, or from there to another host: `ok`, `publickey`, or its last words."""
        known = self.secrets["ssh"]["hosts"][host]["public"]
        outside = host == BASTION
        with (
            files(key, f"bastion {known}\n", certificate) as (identity, hosts, shown),
            self.at(OPERATOR if outside else BASTION),
        ):
            fixed = {
                "BatchMode": "yes", "IdentitiesOnly": "yes", "IdentityFile": identity, "UserKnownHostsFile": hosts, "GlobalKnownHostsFile": "/dev/null",
                "StrictHostKeyChecking": "yes", "HostKeyAlias": "bastion", "ConnectTimeout": "6", "LogLevel": "ERROR",
            }  # fmt: skip
            fixed |= {"BindAddress": self._asker()} if outside else {}
            fixed |= {"CertificateFile": shown} if certificate else {}
            words = [word for name, value in fixed.items() for word in ("-o", f"{name}={value}")]
            address = self.bastion("a") if outside else self.vrack(host)
            command = ["ssh", "-F", "none", *words, *options, f"{user}@{address}", line]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), timeout=20)
        if done.returncode == 0:
            return "ok"
        found = re.search(r"Permission denied \((.*)\)", done.stderr)
        return found[1] if found else done.stderr.strip()[-160:]

    def _asker(self) -> str:
        """Another operator's address for each connection: sshd makes who was refused wait, by address."""
        with self._lock:
            self._askers += 1
            address = f"{ASKERS}.{150 + self._askers % 100}"
        _ip("address", "replace", f"{address}/32", "dev", "lo")
        return address

    # --- keys

    @property
    def ca(self) -> str:
        return str(self.secrets["tls"]["ca"])

    def pair(self, host: str) -> Pair:
        """A host's certificate."""
        return Pair(**self.secrets["tls"]["hosts"][host])

    @property
    def public(self) -> Pair:
        """The public name's certificate."""
        return Pair(*(self.secrets["tls"]["shop"][part] for part in ("cert", "key")))

    def certificate(self, whose: str) -> Pair | None:
        """Of a host, of the `public` name, of a `stranger`; of a role at the database ("database shop"), of the shop or a host at the caches
        ("cache shop", "cache cache-1.a"); None for nobody.
        """
        if not whose:
            return None
        purpose, _, name = whose.partition(" ")
        tls = self.secrets["tls"]
        found = {
            "public": lambda: self.public,
            "stranger": lambda: self.stranger,
            "database": lambda: Pair(**tls["database"]["clients"][name]),
            "cache": lambda: Pair(**(tls["cache"]["clients"] | tls["cache"]["hosts"])[name]),
        }
        return found.get(purpose, lambda: self.pair(whose))()

    @cached_property
    def stranger(self) -> Pair:
        """A certificate of another CA, with the names of ours."""
        return Pair(
            **Authority("somebody else").issue(
                ["db-1.b.dr.internal", "app-1.b.dr.internal", "app.b.dr.internal", "shop"]
            )
        )

    @cached_property
    def stranger_key(self) -> str:
        """An ssh key that nobody has let in."""
        return self._new_key()

    @cached_property
    def stranger_ca(self) -> str:
        """One that signs, and of which no host was told."""
        return self._new_key()

    def _new_key(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "key")
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
            return path.read_text()

    def person(self, of: str) -> tuple[str, str]:
        """A person's key, and a certificate of it: a good one of `our CA`, of `another CA`, with the principal `root`, `ended`, `not yet begun`."""
        principal = "root" if of == "root" else PRINCIPAL
        span = {"ended": "20200101:20200102", "not yet begun": "+1d:+2d"}.get(of, "-5m:+1h")
        ca = self.stranger_ca if of == "another CA" else self.secrets["ssh"]["ca"]["private"]
        with files(self.stranger_key, ca) as (key, authority):
            public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True).stdout
            Path(f"{key}.pub").write_text(public)
            words = ["ssh-keygen", "-q", "-s", authority, "-I", "mallory", "-n", principal, "-V", span, f"{key}.pub"]
            subprocess.run(words, check=True)
            return self.stranger_key, Path(f"{key}-cert.pub").read_text()

    def trusted(self, pair: Pair | None = None) -> ssl.SSLContext:
        """Trusts nobody's name: a probe asks what the other side refuses."""
        return context(None, pair)

    def paper(self, text: str) -> str:
        """A file of nobody else's, for those who read no text. As long as the ground is there."""
        with self._lock:
            path = Path(self._papers.name, hashlib.sha256(text.encode()).hexdigest())
            if not path.exists():  # others may be reading it
                path.touch(0o600)
                path.write_text(text)
        return str(path)

    def database(
        self, user: str, password: str, site: str = "a", pair: Pair | None = None, **more: str
    ) -> dict[str, str]:
        """How to reach a site's database. `pair`: what is shown to it; nothing for None."""
        shown = {} if pair is None else {"sslcert": self.paper(pair.cert), "sslkey": self.paper(pair.key)}
        more = shown | more
        return {
            "host": f"db-1.{site}.dr.internal", "hostaddr": self.vrack(f"db-1.{site}"), "port": str(PORTS["postgres"]), "user": user,
            "password": password, "dbname": "shop", "sslmode": "require", "gssencmode": "disable", **more,
        }  # fmt: skip

    def store(self, who: str, region: str, secret: str | None = None) -> Any:
        """An S3 client of a key's holder, in site a: `shop`, `archive`, `copier`, `operator`, or a host's to the witness. `secret`: another one."""
        access, own = self.keys(who)
        with self._lock:
            place = (access, secret or own, region)
            if place not in self._stores:
                config = Config(
                    s3={"addressing_style": "path"}, request_checksum_calculation="when_required", retries={"total_max_attempts": 1}, connect_timeout=5,
                    read_timeout=10,
                )  # fmt: skip
                self._stores[place] = boto3.client(
                    "s3", endpoint_url=self.world.lab["s3"][region]["endpoint"], region_name=region, aws_access_key_id=access,
                    aws_secret_access_key=secret or own, config=config,
                )  # fmt: skip
            return self._stores[place]

    def hang_up(self) -> None:
        """No client of object storage holds a connection of before: the next call makes one."""
        with self._lock:
            for client in self._stores.values():
                client.close()
            self._stores.clear()

    def keys(self, who: str) -> tuple[str, str]:
        """Access key and secret, from where their holder has them."""
        if who == SHOP_KEYS:
            env = dict(line.split("=", 1) for line in self.read("app-1.a", "/etc/shop/env").splitlines() if "=" in line)
            return tuple(shlex.split(env[f"AWS_{name}"])[0] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))  # type: ignore[return-value]
        if who == WAL_KEYS:
            text = self.run(
                "db-1.a",
                "cat /etc/pgbackrest/*.conf /etc/dr/*.conf 2>/dev/null; grep -rhs repo1-s3-key /etc /var/lib/dr",
            ).stdout
            found = [re.search(rf"^repo1-s3-key{name}=(\S+)$", text, re.MULTILINE) for name in ("", "-secret")]
            return tuple(it[1] for it in found if it)  # type: ignore[return-value]
        if who == COPY_KEYS:
            return _pair_in(json.loads(self.read("control-1.b", "/etc/dr/assets.json")))
        if who == OPERATOR:
            return _pair_in(self.secrets["witness"])
        return _pair_in(json.loads(self.read(who, "/etc/dr/witness.json")))

    def bucket(self, kind: str, site: str = "a") -> str:
        """`assets`, `wal`, or the witness's."""
        if kind == "witness":
            return stacks.WITNESS_BUCKET
        return bucket_name("shop", self.world.lab["ovh"]["service_name"], site, kind)


def _pair_in(document: Any) -> tuple[str, str]:
    """The first pair of keys in a document."""
    if isinstance(document, Mapping):
        if "access_key" in document:
            return str(document["access_key"]), str(document["secret_key"])
        return next((found for value in document.values() if (found := _pair_in(value))[0]), ("", ""))
    return ("", "")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
