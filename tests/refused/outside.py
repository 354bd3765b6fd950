"""What opens mechanisms that are on no host: object storage, the platform's APIs, name servers, routers, and the program of a run."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

from contract.consumer_key import Rule
from lab.cloud.ovh import OvhConfig, service
from lab.cloud.ovh.answers import signature
from lab.cloud.web import Server
from lab.machines.shell import nft
from lab.namespace import NETNS, inside
from lab.rehearsal.builds import Change, build
from lab.rehearsal.world import PROJECT
from lab.s3 import liar
from tests.lab.ovh.fakes import FakeDns, FakeStorage
from tests.refused.ground import OPERATOR, Ground
from tests.refused.stores import ELSEWHERE, OWN, _cloud

Opening = Callable[[Ground], AbstractContextManager[None]]
REGIONS = {"a": "GRA11", "b": "SBG5"}
STORAGE = {"a": "gra", "b": "sbg"}


# --- object storage


@contextlib.contextmanager
def kept_policies(ground: Ground, wide: bool = False) -> Iterator[None]:
    """Behind it the policies of all buckets are as before. `wide`: until then every key may everything."""
    buckets = [(STORAGE[site], ground.bucket(kind, site)) for kind in ("assets", "wal", "releases") for site in "ab"]
    undo = contextlib.ExitStack()
    try:
        with ground.at(OPERATOR):
            for region, bucket in [*buckets, ("de", ground.bucket("witness"))]:
                store = ground.world.s3(region)
                places = [f"arn:aws:s3:::{bucket}{rest}" for rest in ("", "/*")]
                everything = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": places}
                before = store.get_bucket_policy(Bucket=bucket)["Policy"]
                undo.callback(store.put_bucket_policy, Bucket=bucket, Policy=before)
                if wide:
                    store.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [everything]}))
        yield
    finally:
        with ground.at(OPERATOR):
            undo.close()


@contextlib.contextmanager
def policies(ground: Ground) -> Iterator[None]:
    """Every key may everything in every bucket, at the witness too: what the lab makes of the users' policies is replaced at its storage."""
    with kept_policies(ground, wide=True):
        yield


def accounts(**told: str) -> Opening:
    """The storage's accounts of the shop, the archive and the copier say this; it reads them anew for each request."""

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        file = ground.where.disks / "s3" / "iam" / "users.json"
        before = file.read_text()
        found = json.loads(before)
        for who in OWN:
            found["accessAccounts"][ground.keys(who)[0]].update(told)
        with kept_policies(ground):
            try:
                _replace(file, json.dumps(found))
                yield
            finally:
                _replace(file, before)

    return opened


def _replace(file: Path, text: str) -> None:
    fresh = file.with_suffix(".test")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    fresh.replace(file)


@contextlib.contextmanager
def unlocked(ground: Ground) -> Iterator[None]:
    """The bucket of WAL keeps nothing for a time, and every key may everything: the lab's storage looks at the bucket, a real one at each version."""
    place = {"Bucket": ground.bucket("wal")}
    with policies(ground), ground.at(OPERATOR):
        store = ground.world.s3("gra")
        before = store.get_object_lock_configuration(**place)["ObjectLockConfiguration"]
        store.put_object_lock_configuration(**place, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
        try:
            yield
        finally:
            store.put_object_lock_configuration(**place, ObjectLockConfiguration=before)


# --- fronts before a service of the lab


class Front(liar.Handler):
    """Passes on what it is asked, after `change`. `ground`: whose keys it knows."""

    mode = "honest"
    ground: Ground

    def _pass_on(self, body: bytes) -> None:
        super()._pass_on(self.change(body))

    def change(self, body: bytes) -> bytes:
        """The body that is passed on; changes the headers in place."""
        return body

    def head(self, name: str, value: str) -> None:
        """This header alone, whatever was there."""
        del self.headers[name]
        self.headers[name] = value


class Signs(Front):
    """Whoever asks the OVHcloud API does it by the operator's keys."""

    def change(self, body: bytes) -> bytes:
        keys, stamp = self.ground.secrets["ovh"], str(int(time.time()))
        url = f"http://{self.headers['Host']}{self.path}"
        signed = signature(
            keys["application_secret"], keys["consumer_key"], method=self.command, url=url, body=body.decode(), timestamp=stamp
        )  # fmt: skip
        for name, value in (
            ("Application", keys["application_key"]), ("Consumer", keys["consumer_key"]), ("Timestamp", stamp), ("Signature", signed),
        ):  # fmt: skip
            self.head(f"X-Ovh-{name}", value)
        return body


class SignsIn(Front):
    """Whoever asks Keystone for a token has the right password."""

    def change(self, body: bytes) -> bytes:
        if self.command != "POST" or not body:
            return body
        told = json.loads(body)
        told["auth"]["identity"]["password"]["user"]["password"] = self.ground.secrets["openstack_password"]
        changed = json.dumps(told).encode()
        self.head("Content-Length", str(len(changed)))
        return changed


class BearsToken(Front):
    """Whoever asks the compute API has a token of the project's user."""

    token: str

    def change(self, body: bytes) -> bytes:
        self.head("X-Auth-Token", self.token)
        return body


class Overwrites(Front):
    """A write that wants nothing there is one that wants nothing; the owner makes it, as a signature covers the condition."""

    def _pass_on(self, body: bytes) -> None:
        if self.command != "PUT" or "If-None-Match" not in self.headers:
            return super()._pass_on(body)
        bucket, _, key = urlsplit(self.path).path.lstrip("/").partition("/")
        self.ground.world.s3("de").put_object(Bucket=bucket, Key=key, Body=body)
        return self._say(200, b"")


PORT = liar.PORT + 1
TABLE = "lab_front"


@contextlib.contextmanager
def led_aside(ground: Ground, address: tuple[str, int]) -> Iterator[None]:
    """New connections to this address of the lab come to `PORT` of the same host. This thread is in the lab's namespace meanwhile."""
    with ground.at(OPERATOR):
        nft("fronts", liar.redirection([address], TABLE, PORT))
        ground.hang_up()
        try:
            yield
        finally:
            nft("fronts", f"table ip {TABLE}\ndelete table ip {TABLE}\n")
            ground.hang_up()


@contextlib.contextmanager
def fronted(ground: Ground, address: tuple[str, int], kind: type[Front]) -> Iterator[None]:
    """New connections to this address of the lab come to a front before it."""
    with ground.at(OPERATOR):
        made = liar.Liar(address, (address[0], PORT), "honest", base=type("Known", (kind,), {"ground": ground}))
        made.start()
    try:
        with led_aside(ground, address):
            yield
    finally:
        made.stop()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    return parts.hostname, parts.port


def front(where: Callable[[Ground], str], kind: type[Front]) -> Opening:
    """`where`: a URL of the service."""

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        with fronted(ground, _address(where(ground)), kind):
            yield

    return opened


@contextlib.contextmanager
def tokens(ground: Ground) -> Iterator[None]:
    """See `BearsToken`."""
    with ground.at(OPERATOR):
        cloud = _cloud(ground, REGIONS["a"])
        url, token = cloud.url("compute", "/servers"), cloud._token
    with fronted(ground, _address(url), type("WithToken", (BearsToken,), {"token": token})):
        yield


@contextlib.contextmanager
def granted(ground: Ground) -> Iterator[None]:
    """In the place of the OVHcloud API one like it with nothing in it, whose consumer key was granted every call when it was made."""
    keys, world = ground.secrets["ovh"], ground.world
    config = OvhConfig(
        application_key=keys["application_key"],
        application_secret=keys["application_secret"],
        consumer_key=keys["consumer_key"],
        service_name=world.config["dr:service_name"],
        auth_url=world.config["dr:openstack"]["auth_url"],
        granted=tuple(Rule(method, "*", "everything") for method in ("GET", "POST", "PUT", "DELETE")),
    )
    address = _address(world.config["dr:ovh"]["endpoint"])
    with ground.at(OPERATOR):
        server = Server(service(config, FakeStorage(), FakeDns()), address[0], PORT).start()
    try:
        with led_aside(ground, address):
            yield
    finally:
        server.stop()


# --- name servers


@contextlib.contextmanager
def name_server(ground: Ground) -> Iterator[None]:
    """The first one gives its zones to everybody, takes changes from everybody, and serves a zone of somebody else's too."""
    home = ground.where.run / "dns" / "knot-0"
    file, zone = home / "knot.conf", home / "zones" / f"{ELSEWHERE}.zone"
    before = file.read_text()
    acl = "acl:\n  - id: everybody\n    address: 0.0.0.0/0\n    action: [transfer, update]\n"
    wide = before.replace("template:\n  - id: default\n", f"{acl}template:\n  - id: default\n    acl: everybody\n")
    assert wide != before
    zone.write_text(
        f"$ORIGIN {ELSEWHERE}.\n@ 60 IN SOA ns tech 1 60 60 60 60\n@ 60 IN NS ns\nns 60 IN A 192.0.2.21\nwww 60 IN A 192.0.2.66\n"
    )

    def anew(text: str) -> None:
        ground.world.fault("name-server", "kill", "1")
        file.write_text(text)
        ground.world.fault("name-server", "return", "1")

    try:
        anew(f"{wide}  - domain: {ELSEWHERE}\n    file: {zone.name}\n")
        yield
    finally:
        zone.unlink()
        anew(before)


# --- networks

CHAIN = ("ip", "lab_router", "forward")  # of each router


def _tell(netns: Path, *words: str) -> str:
    return subprocess.run(inside(netns, words), check=True, capture_output=True, text=True).stdout


def routed(let_in: Opening) -> Opening:
    """The internet knows the way to the private addresses behind each router, and the routers let it in. `let_in`: the rules of the hosts too."""

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        with contextlib.ExitStack() as undo:
            undo.enter_context(let_in(ground))
            for netns in sorted(NETNS.glob(f"{ground.where.name}-r-*")):
                _tell(netns, "nft", "insert", "rule", *CHAIN, "iifname", "ext", "accept", "comment", "opened")
                undo.callback(_forget_rule, netns)
                addresses = _addresses(netns)
                outer = next(it for it in addresses["ext"] if it.network.prefixlen < 32)
                for inner in (it for name, found in addresses.items() if name.startswith("in") for it in found):
                    way = (str(inner.network), "via", str(outer.ip))
                    _tell(ground.where.netns, "ip", "route", "add", *way)
                    undo.callback(_tell, ground.where.netns, "ip", "route", "delete", *way)
            yield

    return opened


def _addresses(netns: Path) -> dict[str, list[ipaddress.IPv4Interface]]:
    """By interface."""
    return {
        entry["ifname"]: [
            ipaddress.IPv4Interface(f"{it['local']}/{it['prefixlen']}")
            for it in entry["addr_info"]
            if it["family"] == "inet"
        ]
        for entry in json.loads(_tell(netns, "ip", "-j", "address", "show"))
    }


def _forget_rule(netns: Path) -> None:
    lines = _tell(netns, "nft", "-a", "list", "chain", *CHAIN).splitlines()
    handle = next(line.rpartition(" ")[2] for line in lines if 'comment "opened"' in line)
    _tell(netns, "nft", "delete", "rule", *CHAIN, "handle", handle)


# --- the program of a run, and what it asks hosts with


def program(*changes: Change) -> Opening:
    """A run is one of a copy of the product in which this text is that."""

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        with tempfile.TemporaryDirectory() as folder:
            ground.world.pulumi.project = build(PROJECT, Path(folder, "project"), changes)
            try:
                yield
            finally:
                ground.world.pulumi.project = PROJECT

    return opened
