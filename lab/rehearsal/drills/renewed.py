"""Certificates of hosts and caches are of another CA, buckets and witness open to other keys, and the program comes in by another one: while customers
order, and with the active region lost between two stages of it.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from contract.buckets import Bucket
from contract.errors import ExitCode
from contract.hosts import APP, CACHE, CONTROL, DATABASE, LEASE_PORT, PORTS, first, fqdn_of, shared_name
from contract.names import bucket_name
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import take_over
from lab.rehearsal.drills.planned import nothing_lost
from lab.rehearsal.stage import Record, Shop, Stage
from lab.rehearsal.world import key_of, wait_for
from scripts.clients.bucket_rules import RuledBucket

KINDS = ("host-certificates", "cache-certificates")
STOP_S, STAGE_S = 30.0, 600.0
ATTEMPTS, SLOW = (
    4,
    ": no answer within",
)  # of a machine that is busy: nothing is begun then, and the same is typed again
LEASED = (first(DATABASE), first(CACHE))
# What root of a host tries with a certificate that lies there: `ok` where the other end takes it and is taken, else the reason. Keys come on stdin.
COMES_IN = """
import json, os, socket, ssl, sys
told = json.loads({told!r})
def tries(name, address, port, ca, cert, key, say):
    context = ssl.create_default_context(cadata=ca)
    handle = os.memfd_create("pem")
    os.write(handle, (cert + key).encode())
    context.load_cert_chain("/proc/self/fd/%d" % handle)
    try:
        with socket.create_connection((address, port), 5) as plain, context.wrap_socket(plain, server_hostname=name) as line:
            line.settimeout(5)
            line.sendall(say.encode())
            answer = line.recv(200).decode(errors="replace")
            return "ok" if answer and " 400 " not in answer[:40] else "refused"
    except ssl.SSLCertVerificationError:
        return "not trusted"
    except (OSError, ssl.SSLError):
        return "refused"
print(json.dumps([tries(*each) for each in told]))
"""
# By the key that comes on stdin to the very host where this runs.
COMES_BACK = (
    "sh -c 'umask 077; cat > /run/lab-key; ssh -i /run/lab-key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no "
    "-o UserKnownHostsFile=/dev/null root@localhost echo in 2>/dev/null || echo out; rm -f /run/lab-key'"
)


def renewed(stage: Stage, record: Record, kind: str, *words: str) -> None:
    """The whole of it, as it is typed. Raises RuntimeError, with what the command said."""
    folder = str(stage.pulumi.files["a"].parent)
    words = ("rotate", kind, "--yes", "--reason", "a drill", "--config-dir", folder, *words)
    for _ in range(ATTEMPTS):
        done = stage.pulumi.typed(*words, exported=maker(stage))
        if done.returncode != ExitCode.REFUSED or SLOW not in done.stdout:
            break
    if done.returncode:
        raise RuntimeError(
            f"drctl rotate {kind} ended with {done.returncode}: {done.stdout[-600:]}{done.stderr[-1500:]}"
        )
    record.expect("Traceback" not in done.stderr, f"drctl rotate {kind}: {done.stderr[-800:]}")


def maker(stage: Stage) -> dict[str, str]:
    """What the operator exports who may make keys of the witness's users."""
    return {"OVH_INIT_CONSUMER_KEY": stage.world.lab["init"]["consumer_key"]}


def tried(stage: Stage, shown: Mapping[str, Any], trusted: Mapping[str, Any]) -> dict[str, str]:
    """What hosts of the standby are answered by those of the active region with the certificates of the set `shown`, trusting the CAs of `trusted`."""
    active, standby = stage.active, stage.standby
    lease = f"GET /lease?site={standby}&epoch=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    entrance, tls = shared_name(APP, active) or "", trusted["tls"]
    health = f"GET /health HTTP/1.1\r\nHost: {entrance}\r\nConnection: close\r\n\r\n"
    doors = {
        "way in": (APP, entrance, PORTS["forward"], health, tls, shown["tls"]),
        "lease": (DATABASE, "", LEASE_PORT, lease, tls, shown["tls"]),
        "cache": (CACHE, "", PORTS["redis"], "PING\r\n", tls["cache"], shown["tls"]["cache"]),
    }
    found = {}
    for door, (kind, name, port, say, cas, part) in doors.items():
        host, own = f"{first(kind)}.{standby}", part["hosts"][f"{first(kind)}.{standby}"]
        address = stage.world.vrack(f"{first(kind)}.{active}")
        told = [[name or fqdn_of(first(kind), active), address, port, cas["ca"], own["cert"], own["key"], say]]
        (found[door],) = json.loads(stage.line(host, "python3 -", COMES_IN.format(told=json.dumps(told))))
    return found


def in_use(stage: Stage) -> dict[str, Any]:
    """The set of now; the lab's own eyes, and whoever configures a stack after this, go by it."""
    stage.world.know(json.loads(stage.pulumi.config_get("a", "secrets")))
    for site in "ab":
        stage.install_samplers(site)
    return dict(stage.world.secrets)


def _one_after_the_other(stage: Stage, record: Record, shop: Shop, kinds: Sequence[str]) -> dict[str, Any]:
    """Each kind is renewed while customers order, with its figures. Returns the set that is in use then."""
    after = dict[str, Any]()
    for kind in kinds:
        began = time.monotonic()
        renewed(stage, record, kind)
        after = in_use(stage)
        record.figures[kind] = {
            "rotation_s": round(time.monotonic() - began, 1),
            "failed_requests": shop.failures(began),
            "longest_gap_s": shop.gap(began),
        }
    return after


@drill("certificates-renewed")
def certificates_renewed(stage: Stage, record: Record) -> None:
    """Certificates of hosts and of caches are renewed while customers order: nothing is lost, and the old ones open nothing afterwards."""
    before = in_use(stage)
    with stage.shopping(record) as shop:
        after = _one_after_the_other(stage, record, shop, KINDS)
        shop.flow("orders flow with certificates of the new CAs")
    nothing_lost(record)
    doors = ("way in", "lease", "cache")
    for shown, trusted, wanted in (
        (after, after, "ok"),
        (before, after, "refused"),
        (after, before, "not trusted"),
    ):
        found = tried(stage, shown, trusted)
        record.expect(found == dict.fromkeys(doors, wanted), f"wanted {wanted} at each door: {found}")
    record.figures["doors"] = found


@drill("keys-renewed")
def keys_renewed(stage: Stage, record: Record) -> None:
    """Keys of the buckets' users, the standby's password and that of who looks after caches are renewed while customers order and upload: nothing is lost."""
    before, streams = {site: keys(stage, site) for site in "ab"}, _streams(stage)
    with stage.shopping(record) as shop:
        for kind in ("buckets", "replication", "cache-operator"):
            began = time.monotonic()
            renewed(stage, record, kind, "--keep-days", "0")
            record.figures[kind] = {
                "rotation_s": round(time.monotonic() - began, 1),
                "failed_requests": shop.failures(began),
                "longest_gap_s": shop.gap(began),
            }
        shop.flow("orders flow with new keys")
    nothing_lost(record)
    after = {site: keys(stage, site) for site in "ab"}
    in_use(stage)
    record.expect(_streams(stage) == streams, "the standby's stream was cut")
    for site in "ab":
        for user in before[site]:
            old, new = before[site][user], after[site][user]
            record.expect(old["access_key"] != new["access_key"], f"the key of {user} of {site} is the one of before")
            record.expect(opens(stage, site, user, new), f"the new key of {user} of {site} opens nothing")
            record.expect(not opens(stage, site, user, old), f"the old key of {user} of {site} is taken yet")


def _streams(stage: Stage) -> str:
    """Processes that stream to the standby."""
    return stage.sql(stage.active, "select pid from pg_stat_replication where state = 'streaming' order by 1")


def keys(stage: Stage, site: str) -> dict[str, dict[str, str]]:
    """Of the shop, as an app host was told it, and of who puts releases, as the stack tells it."""
    told = dict(line.split("=", 1) for line in stage.line(f"app-1.{site}", "grep AWS_ /etc/shop/env").splitlines())
    names = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY"}
    return {
        "assets": {name: told[variable].strip('"') for name, variable in names.items()},
        "releases": stage.pulumi.output(site, "releases"),
    }


def opens(stage: Stage, site: str, kind: str, own: Mapping[str, str]) -> bool:
    """Whether a key lists the bucket of that kind of a site."""
    world = stage.world
    region, project = world.config["dr:regions"][site]["storage_region"].lower(), world.lab["ovh"]["service_name"]
    s3 = boto3.client(
        "s3",
        endpoint_url=world.lab["s3"][region]["endpoint"],
        region_name=region,
        aws_access_key_id=own["access_key"],
        aws_secret_access_key=own["secret_key"],
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    try:
        s3.list_objects_v2(Bucket=bucket_name("shop", project, site, kind), MaxKeys=1)
    except ClientError:
        return False
    return True


@drill("certificates-renewed-in-a-failover")
def certificates_renewed_in_a_failover(stage: Stage, record: Record) -> None:
    """The command is killed with the standby alone turned to new certificates of hosts, and the active region dies: taken over, and renewed to its end."""
    before = in_use(stage)
    after = _renewed_in_a_failover(stage, record, KINDS[0])
    found = tried(stage, before, after)
    record.expect((found["way in"], found["lease"]) == ("refused", "refused"), f"the old ones are taken: {found}")


@drill("access-renewed")
def access_renewed(stage: Stage, record: Record) -> None:
    """Keys to the witness and the program's own key of ssh are renewed while customers order: nothing is lost, and the old ones open nothing afterwards."""
    before = in_use(stage)
    with stage.shopping(record) as shop:
        after = _one_after_the_other(stage, record, shop, ("operator", "witness"))
        shop.flow("orders flow with new keys")
    nothing_lost(record)
    _old_access_is_refused(stage, record, before, after)
    beats = {f"{name}.{site}": stage.witness.heartbeat(site, name) for site in "ab" for name in LEASED}
    late = [host for host, beat in beats.items() if beat is None or beat.age_s > STOP_S]
    record.expect(not late, f"agents that are not heard with their new keys: {late}")


@drill("access-renewed-in-a-failover")
def access_renewed_in_a_failover(stage: Stage, record: Record) -> None:
    """The command is killed with the standby alone turned to new keys to the witness, and the active region dies: taken over, and renewed to its end."""
    before = in_use(stage)
    after = _renewed_in_a_failover(stage, record, "witness")
    _old_access_is_refused(stage, record, before, after, ssh=False)


def _old_access_is_refused(
    stage: Stage, record: Record, before: Mapping[str, Any], after: Mapping[str, Any], *, ssh: bool = True
) -> None:
    place = stage.world.config["dr:witness"]
    olds, news = ({"operator": it["witness"], **it["witness"]["hosts"]} for it in (before, after))
    for user, keys in olds.items():
        if keys["access_key"] == news[user]["access_key"]:
            record.expect(False, f"the key of {user} to the witness is the one of before")
        for its, wanted in ((keys, False), (news[user], True)):
            found = RuledBucket(Bucket(**place, **key_of(its))).reachable()
            record.expect(found is wanted, f"a key of {user} at the witness: taken {found}, wanted {wanted}")
    for site in "ab" if ssh else "":
        for name in (first(kind) for kind in (CONTROL, DATABASE, CACHE, APP)):
            for its, wanted in ((before, False), (after, True)):
                said = stage.line(f"{name}.{site}", COMES_BACK, its["ssh"]["operator"]["private"])
                found = said.strip().endswith("in")
                record.expect(found is wanted, f"{name}.{site} by a key of the program: in {found}, wanted {wanted}")


def _renewed_in_a_failover(stage: Stage, record: Record, kind: str) -> dict[str, Any]:
    """Returns the set of afterwards."""
    old, new = stage.active, stage.standby
    folder = str(stage.pulumi.files["a"].parent)

    def turned() -> bool:
        told = json.loads(stage.pulumi.config_get(new, "secrets")).get("rotation", {}).get(kind, {})
        return told.get("stage") == "turned" and told.get("applied") is not False

    with stage.shopping(record) as shop:
        with subprocess.Popen(
            ["scripts/drctl", "rotate", kind, "--yes", "--config-dir", folder],
            cwd=stage.pulumi.project,
            env={**stage.pulumi.environment, **maker(stage)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                wait_for("the standby alone has turned", lambda: turned() or process.poll() is not None, STAGE_S, 0.2)
            finally:
                stage.pulumi.kill(process)
        record.expect(turned(), "the rotation was over before it could be killed")
        stage.pulumi.cancel(old)
        stage.fault("region-hosts", "kill", old)
        take_over(stage, record, shop, rung=2)
        stage.settle()
        renewed(stage, record, kind)
        after = in_use(stage)
        shop.flow("orders flow with what is new")
    return after
