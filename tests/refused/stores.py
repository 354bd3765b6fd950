"""What each key of object storage does where, and what each key of the platform's APIs and name servers does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update

from contract.access import OpenStack
from lab.cloud.ovh.answers import signature
from scripts.clients.openstack import Cloud
from tests.refused.ground import COPY_KEYS, OPERATOR, SHOP_KEYS, WAL_KEYS, Ground
from tests.refused.probes import api, s3
from tests.refused.row import Allowed, Call, Row

DENIED = ("s3 AccessDenied", "s3 403")
# A version that nobody has: who may not delete is refused before anything is looked for.
NO_VERSION = "01JDR0000000000000000000RF"
HOLDERS = {
    SHOP_KEYS: "the shop's key",
    WAL_KEYS: "the archive's key",
    COPY_KEYS: "the copier's key",
    OPERATOR: "the operator's witness key",
}


def store(who: str, region: str, do: Callable[[Any, Ground], Any], secret: str | None = None) -> Call:
    def call(ground: Ground) -> str:
        with ground.at(OPERATOR):
            client = ground.store(who, region, secret)
            return s3(lambda: do(client, ground))

    return call


def on(kind: str, site: str, action: str, **more: Any) -> Callable[[Any, Ground], Any]:
    """`action` of boto3 on a bucket."""
    return lambda client, ground: getattr(client, action)(Bucket=ground.bucket(kind, site), **more)


SUSPEND = {"VersioningConfiguration": {"Status": "Suspended"}}
OWN = {SHOP_KEYS: ("assets", "a", "gra"), WAL_KEYS: ("wal", "a", "gra"), COPY_KEYS: ("assets", "b", "sbg")}


def _destructive() -> list[Row]:
    found = []
    for who, (kind, site, region) in OWN.items():
        # Lifecycles are not in it: the lab's storage knows none.
        actions: list[tuple[str, str, dict[str, Any]]] = [
            ("delete a version", "delete_object", {"Key": "refused", "VersionId": NO_VERSION}),
            ("suspend versions", "put_bucket_versioning", SUSPEND),
            ("delete the bucket", "delete_bucket", {}),
        ]
        found += [
            Row(
                who=HOLDERS[who],
                what=what,
                wanted=DENIED,
                call=store(who, region, on(kind, site, action, **more)),
                closed_by="storage: policies of users",
            )
            for what, action, more in actions
        ]
        found.append(
            Row(
                who=HOLDERS[who],
                what="open the bucket to everybody",
                wanted=DENIED,
                call=store(who, region, public(kind, site)),
                closed_by="storage: nobody's policy",
            )
        )
    return found


def public(kind: str, site: str) -> Callable[[Any, Ground], Any]:
    """A policy of a bucket by which everybody may everything in it."""

    def do(client: Any, ground: Ground) -> Any:
        bucket = ground.bucket(kind, site)
        places = [f"arn:aws:s3:::{bucket}{rest}" for rest in ("", "/*")]
        everything = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": places}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        return client.put_bucket_policy(Bucket=bucket, Policy=policy)

    return do


def _elsewhere() -> list[Row]:
    places = {
        SHOP_KEYS: (
            ("wal", "a", "gra"),
            ("assets", "b", "sbg"),
            ("wal", "b", "sbg"),
            ("releases", "a", "gra"),
            ("witness", "", "de"),
        ),
        WAL_KEYS: (("assets", "a", "gra"), ("assets", "b", "sbg"), ("releases", "a", "gra"), ("witness", "", "de")),
        COPY_KEYS: (("wal", "a", "gra"), ("releases", "a", "gra"), ("witness", "", "de")),
    }
    return [
        Row(
            who=HOLDERS[who],
            what=f"{what} bucket {kind} {site}".rstrip(),
            wanted=DENIED,
            call=store(who, region, on(kind, site, action, **more)),
            closed_by="storage: policies of users",
        )
        for who, others in places.items()
        for kind, site, region in others
        for what, action, more in (
            ("list", "list_objects_v2", {}),
            ("write to", "put_object", {"Key": "refused", "Body": b""}),
        )
    ]


def listing(who: str, region: str) -> Call:
    """All buckets; `empty` where the list shows none, which is how some servers say that nobody may look."""

    def call(ground: Ground) -> str:
        shown: list[Any] = []
        with ground.at(OPERATOR):
            client = ground.store(who, region)
            answer = s3(lambda: shown.extend(client.list_buckets()["Buckets"]))
        return "empty" if answer == "ok" and not shown else answer

    return call


def once(key: str) -> Callable[[Any, Ground], Any]:
    """A write that changes nothing: the key is there, and the condition says that it must not be. Who may not write is refused for that."""
    return lambda client, ground: client.put_object(Bucket=ground.bucket("witness"), Key=key, Body=b"", IfNoneMatch="*")


def again(client: Any, ground: Ground) -> Any:
    """The first epoch, as it stands: who is let in has harmed nobody."""
    place = {"Bucket": ground.bucket("witness"), "Key": "epochs/00000001.json"}
    return client.put_object(**place, Body=client.get_object(**place)["Body"].read(), IfNoneMatch="*")


WITNESS = "witness: keys by kind of host"
KINDS = {"db-1.a": "db", "cache-1.a": "cache", "app-1.a": "app"}
BASTION = "control-1.a"
TELLING = {**KINDS, BASTION: "control"}


OVER: dict[str, tuple[str, dict[str, Any]]] = {
    "read": ("get_object", {}),
    "remove": ("delete_object", {}),
    "delete a version of": ("delete_object", {"VersionId": NO_VERSION}),
}


def of_its_log(kind: str, action: str, **more: Any) -> Callable[[Any, Ground], Any]:
    """The first object that a host has put of its sign-ins; its name is no secret of this key's."""

    def do(client: Any, ground: Ground) -> Any:
        place = {"Bucket": ground.bucket("witness")}
        key = client.list_objects_v2(Prefix=f"logs/a/{kind}-1/", MaxKeys=1, **place)["Contents"][0]["Key"]
        return getattr(client, action)(Key=key, **place, **more)

    return do


def _witness() -> list[Row]:
    """What no host's key does at the witness."""
    found = []
    for host, kind in TELLING.items():
        keys = ["epochs/00000001.json", "sites/b.json", "servers/b.json", "followed/b.json", "configurations/a.json"]
        keys += ["audit/00000001.json", *(f"heartbeats/{site}/{it}-1.json" for site in "ab" for it in ("db", "cache"))]
        keys = [key for key in keys if key != f"heartbeats/a/{kind}-1.json"]
        keys += [f"logs/{site}/{it}-1/refused" for site in "ab" for it in TELLING.values() if (site, it) != ("a", kind)]
        calls: list[tuple[str, Callable[[Any, Ground], Any]]] = [(f"write {key}", once(key)) for key in keys]
        calls += [("put an entry of the trail", once("audit/refused")), ("put a record", once("reports/refused"))]
        calls += [
            (f"read {key}", on("witness", "", "get_object", Key=key))
            for key in ("sites/a.json", "servers/a.json", "audit/00000001.json", "configurations/a.json")
        ]
        calls += [
            (f"{what} its own sign-ins", of_its_log(kind, action, **more)) for what, (action, more) in OVER.items()
        ]
        theirs = [f"certificates/{site}/refused" for site in "ab" if (host, site) != (BASTION, "a")]
        calls += [(f"put a certificate as the bastion of {key[13]}", once(key)) for key in theirs]
        for what, more in (("remove an epoch", {}), ("delete a version of an epoch", {"VersionId": NO_VERSION})):
            calls.append((what, on("witness", "", "delete_object", Key="epochs/refused", **more)))
        calls.append(("suspend versions", on("witness", "", "put_bucket_versioning", **SUSPEND)))
        found += [
            Row(who=f"{host}'s witness key", what=what, wanted=DENIED, call=store(host, "de", do), closed_by=WITNESS)
            for what, do in calls
        ]
        found += [
            Row(
                who=f"{host}'s witness key",
                what=f"list bucket {bucket} {site}",
                wanted=DENIED,
                call=store(host, region, on(bucket, site, "list_objects_v2")),
                closed_by="storage: policies of users",
            )
            for bucket, site, region in (("wal", "a", "gra"), ("assets", "b", "sbg"))
        ]
    return found


def locked(who: str) -> Call:
    """A version of the bucket of WAL is deleted, by a key's holder or by whose buckets they are."""

    def call(ground: Ground) -> str:
        with ground.at(OPERATOR):
            owner = ground.world.s3("gra")
            place = {"Bucket": ground.bucket("wal")}
            versions = owner.list_object_versions(**place)["Versions"]
            older = [it for it in versions if not it["IsLatest"]]  # nobody would miss one
            version = older[0 if who else -1]
            client = ground.store(who, "gra") if who else owner
            return s3(lambda: client.delete_object(Key=version["Key"], VersionId=version["VersionId"], **place))

    return call


STORAGE = [
    *_destructive(),
    *_elsewhere(),
    *(
        Row(
            who=HOLDERS[who],
            what="list all buckets",
            wanted=(*DENIED, "empty"),
            call=listing(who, region),
            closed_by="storage: buckets of others",
        )
        for who, (_, _, region) in OWN.items()
    ),
    *(
        Row(
            who=f"{HOLDERS[who]} with a wrong secret",
            what="list",
            wanted=("s3 SignatureDoesNotMatch",),
            call=store(who, region, on(kind, site, "list_objects_v2"), "wrong"),
            closed_by="storage: signatures",
        )
        for who, (kind, site, region) in OWN.items()
    ),
    Row(
        who="the copier's key",
        what="write to the source",
        wanted=DENIED,
        call=store(COPY_KEYS, "gra", on("assets", "a", "put_object", Key="refused", Body=b"")),
        closed_by="storage: policies of users",
    ),
    Row(
        who="the operator",
        what="an epoch a second time",
        wanted=("s3 PreconditionFailed",),
        call=store(OPERATOR, "de", again),
        closed_by="storage: conditions of a write",
    ),
    *(
        Row(
            who=HOLDERS[OPERATOR],
            what=what,
            wanted=DENIED,
            call=store(OPERATOR, "de", on("witness", "", action, **more)),
            closed_by=WITNESS,
        )
        for what, action, more in (
            ("remove an epoch", "delete_object", {"Key": "epochs/refused"}),
            ("remove an entry of the trail", "delete_object", {"Key": "audit/refused"}),
            ("remove a record", "delete_object", {"Key": "reports/refused"}),
            ("delete a version of an epoch", "delete_object", {"Key": "epochs/refused", "VersionId": NO_VERSION}),
            ("delete a version of the trail", "delete_object", {"Key": "audit/refused", "VersionId": NO_VERSION}),
            ("suspend versions", "put_bucket_versioning", SUSPEND),
            ("a host's heartbeat", "put_object", {"Key": "heartbeats/a/db-1.json", "Body": b"", "IfNoneMatch": "*"}),
            ("a host's sign-ins", "put_object", {"Key": "logs/a/db-1/refused", "Body": b""}),
            ("remove a host's sign-ins", "delete_object", {"Key": "logs/a/db-1/refused"}),
        )
    ),
    *(
        Row(
            who=HOLDERS[OPERATOR],
            what=f"list bucket {kind} {site}",
            wanted=DENIED,
            call=store(OPERATOR, region, on(kind, site, "list_objects_v2")),
            closed_by="storage: policies of users",
        )
        for kind, site, region in (("assets", "a", "gra"), ("wal", "b", "sbg"))
    ),
    *_witness(),
    *(
        Row(
            who=who,
            what="remove what is archived for good",
            wanted=DENIED,
            call=locked(key),
            closed_by="storage: what is archived is locked",
        )
        for who, key in ((HOLDERS[WAL_KEYS], WAL_KEYS), ("the buckets' owner", ""))
    ),
]


# --- the platform's APIs

GONE = "00000000-0000-4000-8000-000000000000"


def openstack(
    method: str, region: str, service: str, path: str, *, token: str | None = None, document: Any = None
) -> Call:
    """By the project's user of site a, or with another token."""

    def call(ground: Ground) -> str:
        with ground.at(OPERATOR):
            cloud = _cloud(ground, region)
            return api(
                method,
                cloud.url(service, path),
                {} if token == "" else {"X-Auth-Token": token or cloud._token},
                document,
            )

    return call


def _cloud(ground: Ground, region: str) -> Cloud:
    told = ground.world.config["dr:openstack"]
    keys = {name: told[name] for name in ("auth_url", "user", "project_id", "domain")}
    cloud = Cloud(OpenStack(**keys, password=ground.secrets["openstack_password"]), region)
    cloud.connect()
    return cloud


def keystone(password: str) -> Call:
    def call(ground: Ground) -> str:
        told = ground.world.config["dr:openstack"]
        user = {"name": told["user"], "domain": {"name": told["domain"]}, "password": password}
        identity = {"methods": ["password"], "password": {"user": user}}
        with ground.at(OPERATOR):
            return api("POST", f"{told['auth_url']}/auth/tokens", {}, {"auth": {"identity": identity}})

    return call


def ovh(method: str, path: str, *, wrong: str = "") -> Call:
    """Signed as the operator does; `wrong`: the part that is another one, `secret`, `consumer` or `time`."""

    def call(ground: Ground) -> str:
        keys, url = (
            ground.secrets["ovh"],
            f"{ground.world.config['dr:ovh']['endpoint']}{path.format(project=ground.world.config['dr:service_name'])}",
        )
        consumer = "wrong" if wrong == "consumer" else keys["consumer_key"]
        stamp = str(int(time.time()) - (86400 if wrong == "time" else 0))
        secret = "wrong" if wrong == "secret" else keys["application_secret"]
        signed = signature(secret, consumer, method=method, url=url, body="", timestamp=stamp)
        headers = {
            "X-Ovh-Application": keys["application_key"],
            "X-Ovh-Consumer": consumer,
            "X-Ovh-Timestamp": stamp,
            "X-Ovh-Signature": signed,
        }
        with ground.at(OPERATOR):
            return api(method, url, {} if wrong == "all" else headers)

    return call


def name_server(ask: Callable[[str], dns.message.Message], *, tcp: bool = False) -> Call:
    """The answer's code; `ok` where records come."""

    def call(ground: Ground) -> str:
        zone = str(ground.world.config["dr:dns"]["zone"])
        host, _, port = str(ground.world.lab["dns"]["servers"][0]).partition(":")
        with ground.at(OPERATOR):
            send = dns.query.tcp if tcp else dns.query.udp
            try:
                reply = send(ask(zone), host, timeout=5, port=int(port))
            except (OSError, EOFError, dns.exception.DNSException) as error:
                return f"dns {type(error).__name__}"
        return "ok" if reply.answer else f"dns {dns.rcode.to_text(reply.rcode())}"

    return call


def _update(zone: str) -> dns.message.Message:
    made = dns.update.UpdateMessage(zone)
    made.replace("www", 60, "A", "192.0.2.66")
    return made


UNKNOWN = ("http 401", "http 403")
ELSEWHERE = "elsewhere.example"  # a zone of somebody else's
PLATFORM = [
    Row(
        who="anybody",
        what="a token with a wrong password",
        wanted=("http 401",),
        call=keystone("wrong"),
        closed_by="OpenStack: passwords",
    ),
    Row(
        who="anybody",
        what="servers without a token",
        wanted=("http 401",),
        call=openstack("GET", "GRA11", "compute", "/servers", token=""),
        closed_by="OpenStack: tokens",
    ),
    Row(
        who="anybody",
        what="servers with a made-up token",
        wanted=("http 401",),
        call=openstack("GET", "GRA11", "compute", "/servers", token="gAAAA"),
        closed_by="OpenStack: tokens",
    ),
    *(
        Row(
            who="anybody",
            what=f"the zone with a wrong {wrong}" if wrong != "all" else "the zone without a signature",
            wanted=("http 400", *UNKNOWN),
            call=ovh("GET", "/domain/zone/shop.example/record", wrong=wrong),
            closed_by="OVHcloud: signatures",
        )
        for wrong in ("secret", "consumer", "time", "all")
    ),
    Row(
        who="the consumer key",
        what="another project",
        wanted=("http 403",),
        call=ovh("GET", "/cloud/project/ffffffffffffffffffffffffffffffff/user"),
        closed_by="OVHcloud: rules of the consumer key",
    ),
    Row(
        who="the consumer key",
        what="end the project",
        wanted=("http 403",),
        call=ovh("POST", "/cloud/project/{project}/terminate"),
        closed_by="OVHcloud: rules of the consumer key",
    ),
    Row(
        who="the consumer key",
        what="end the zone",
        wanted=("http 403",),
        call=ovh("POST", "/domain/zone/shop.example/terminate"),
        closed_by="OVHcloud: rules of the consumer key",
    ),
    Row(
        who="region a's OpenStack user",
        what="delete a server of region b",
        wanted=UNKNOWN,
        call=openstack("DELETE", "SBG5", "compute", f"/servers/{GONE}"),
        closed_by="OpenStack users by region",
        open="one user for both regions (decision 24)",
    ),
    Row(
        who="anybody",
        what="the zone as a whole (AXFR)",
        wanted=("dns REFUSED", "dns NOTAUTH", "dns NOTIMP", "dns EOF", "dns EOFError"),
        call=name_server(lambda zone: dns.message.make_query(zone, "AXFR"), tcp=True),
        closed_by="name servers: their own zones, by their owner",
    ),
    Row(
        who="anybody",
        what="a change of www (UPDATE)",
        wanted=("dns REFUSED", "dns NOTAUTH", "dns NOTIMP"),
        call=name_server(_update),
        closed_by="name servers: their own zones, by their owner",
    ),
    Row(
        who="anybody",
        what="somebody else's name at our servers",
        wanted=("dns REFUSED",),
        call=name_server(lambda zone: dns.message.make_query(f"www.{ELSEWHERE}", "A")),
        closed_by="name servers: their own zones, by their owner",
    ),
]
ROWS = [*STORAGE, *PLATFORM]
ALLOWED = [
    *(
        Allowed(
            who=HOLDERS[who],
            what=f"list its own bucket {kind}",
            answer="ok",
            call=store(who, region, on(kind, site, "list_objects_v2")),
        )
        for who, (kind, site, region) in OWN.items()
    ),
    *(
        Allowed(
            who=f"{host}'s witness key",
            what="read an epoch",
            answer="ok",
            call=store(host, "de", on("witness", "", "get_object", Key="epochs/00000001.json")),
        )
        for host in TELLING
    ),
    *(
        Allowed(
            who=f"{host}'s witness key",
            what="put of its own sign-ins",
            answer="ok",
            call=store(host, "de", on("witness", "", "put_object", Key=f"logs/a/{kind}-1/allowed", Body=b"")),
        )
        for host, kind in TELLING.items()
    ),
    # It may, and it is there already: who may not is refused before.
    *(
        Allowed(
            who=f"{host}'s witness key",
            what="its own heartbeat",
            answer="s3 PreconditionFailed",
            call=store(host, "de", once(f"heartbeats/a/{host.partition('.')[0]}.json")),
        )
        for host, kind in KINDS.items()
        if kind != "app"
    ),
    Allowed(
        who=HOLDERS[OPERATOR],
        what="read the trail",
        answer="ok",
        call=store(OPERATOR, "de", on("witness", "", "get_object", Key="audit/00000001.json")),
    ),
    Allowed(
        who="the operator", what="servers", answer="http 200", call=openstack("GET", "GRA11", "compute", "/servers")
    ),
    Allowed(
        who="the operator", what="the zone", answer="http 200", call=ovh("GET", "/domain/zone/shop.example/record")
    ),
    Allowed(
        who="anybody",
        what="www",
        answer="ok",
        call=name_server(lambda zone: dns.message.make_query(f"www.{zone}", "A")),
    ),
]
