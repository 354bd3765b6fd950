"""Object storage of the lab: one versitygw per storage region, accounts and policies valid in all of them, as OVHcloud's S3 users are.

Data lies under `<run>/s3/<region>`, accounts in `<run>/s3/iam`, which all gateways read afresh for each request. Buckets belong to the project
(root) or to a user; whoever else gets in, gets in by a user policy (`lab.s3.policy`). Policies are put on every bucket that exists when a
policy, a credential or a bucket changes here; a bucket that a user makes over S3 is that user's alone until the next such change.

Where a region is to speak TLS too, a second gateway serves the same data with a certificate of the lab's own CA: pgBackRest speaks to S3 in no
other way, and OVHcloud has nothing else.

Replication between regions is carried out by `lab.s3.replication`, from outside. Not imitated: encryption at rest (the flag is kept by the
OVHcloud API only), lifecycle rules, bucket names unique over regions for buckets made over S3, and the keys that a file system cannot hold
(`a//b`, data in `dir/`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.child import Child
from lab.s3 import policy
from lab.s3.stored import Retention, StoredObject
from scripts.ctl.stacks.secrets import Authority

log = logging.getLogger("lab.s3")
Users = dict[str, tuple[list[str], tuple[policy.Statement, ...]]]  # by user: who that is in a policy, statements
CODES = {
    "BucketAlreadyExists": "exists",
    "BucketAlreadyOwnedByYou": "exists",
    "NoSuchBucket": "absent",
    "404": "absent",
    "BucketNotEmpty": "not empty",
    "InvalidBucketName": "bad name",
}


class StorageError(Exception):
    """A gateway refused or did not answer. `reason`: exists, absent, not empty, bad name, down or refused."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Storage:
    """The S3 services of all storage regions. `addresses`: region (gra, sbg, de) to (address, port); `tls`: the same for those that speak TLS
    too. Safe to call from several threads.
    """

    def __init__(
        self,
        run: Path,
        binary: Path,
        addresses: Mapping[str, tuple[str, int]],
        tls: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        self.addresses, self.tls = dict(addresses), dict(tls or {})
        self._authority = Authority("object storage of the lab")
        self.root_access_key = "root" + secrets.token_hex(8)
        self.root_secret_key = secrets.token_hex(20)
        self._home, self._binary = run / "s3", binary
        self._lock = threading.RLock()
        self._keys: dict[str, tuple[str, str]] = {}  # access key -> (user, secret)
        self._unsigned = secrets.token_hex(20)  # secret of the accounts that policies name: nobody signs by it
        self._statements: dict[str, tuple[policy.Statement, ...]] = {}
        self._owners: dict[tuple[str, str], str] = {}  # (region, bucket) -> user
        self._applied: dict[tuple[str, str], str | None] = {}
        self._children = {region: self._child(region) for region in addresses}
        self._fronts = {region: self._child(region, tls=True) for region in self.tls}
        self._clients: dict[str, Any] = {}

    @property
    def ca(self) -> str:
        """PEM of the CA of the gateways that speak TLS."""
        return self._authority.certificate_pem

    def _child(self, region: str, *, tls: bool = False) -> Child:
        host, port = (self.tls if tls else self.addresses)[region]
        home = self._home / region
        argv = [
            str(self._binary),
            "--port",
            f"{host}:{port}",
            "--region",
            region,
            "--iam-dir",
            str(self._home / "iam"),
            "--iam-cache-disable",
        ]
        argv += ["--cert", str(home / "tls.crt"), "--key", str(home / "tls.key")] if tls else []
        argv += ["--keep-alive", "--quiet", "posix", "--versioning-dir", str(home / "versions"), str(home / "data")]
        environment = {"ROOT_ACCESS_KEY_ID": self.root_access_key, "ROOT_SECRET_ACCESS_KEY": self.root_secret_key}
        name = f"{region}-tls" if tls else region
        return Child(f"versitygw {name}", argv, self._home / f"{name}.log", self._home / f"{name}.pid", environment)

    # --- life of the gateways

    def start(self) -> None:
        """Start every region. Raises `ChildError` with all of them stopped when one does not come up."""
        for region in self.addresses:
            for folder in ("data", "versions"):
                (self._home / region / folder).mkdir(parents=True, exist_ok=True)
        (self._home / "iam").mkdir(mode=0o700, exist_ok=True)
        self._write_accounts()
        try:
            for region, child in self._children.items():
                self._write_certificate(region)
                self._start(region, child)
        except Exception:
            self.stop()
            raise

    def _start(self, region: str, child: Child) -> None:
        child.start(lambda: _answers(self.addresses[region]))
        if region in self._fronts:
            self._fronts[region].start(lambda: _listens(self.tls[region]))

    def _write_certificate(self, region: str) -> None:
        if region in self.tls:
            pair = self._authority.issue([self.tls[region][0]])
            for name, text in (("tls.crt", pair["cert"]), ("tls.key", pair["key"])):
                with os.fdopen(
                    os.open(self._home / region / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
                ) as out:
                    out.write(text)

    def stop(self) -> None:
        for child in (*self._fronts.values(), *self._children.values()):
            child.stop()

    def cut(self, region: str) -> None:
        """The region's S3 is dead: its process is killed as by a power cut, connections are refused. Data stays."""
        for children in (self._fronts, self._children):
            if region in children:
                children[region].stop(hard=True)

    def restore(self, region: str) -> None:
        """Start the region again; policies that changed meanwhile take effect before this returns."""
        self._start(region, self._children[region])
        with self._lock:
            self._applied = {place: text for place, text in self._applied.items() if place[0] != region}
            self._apply([region])

    def alive(self, region: str) -> bool:
        return self._children[region].running

    def endpoint(self, region: str) -> str:
        host, port = self.addresses[region]
        return f"http://{host}:{port}"

    def client(self, region: str) -> Any:
        """A boto3 S3 client with root's rights."""
        with self._lock:
            if region not in self._clients:
                self._clients[region] = connect(
                    self.endpoint(region), region, self.root_access_key, self.root_secret_key
                )
            return self._clients[region]

    # --- accounts and policies

    def create_credential(self, user: str, access_key: str, secret_key: str) -> None:
        """A further key pair of `user`, valid in every region at once."""
        with self._lock:
            self._keys[access_key] = (user, secret_key)
            self._write_accounts()
            self._apply()

    def delete_credential(self, access_key: str) -> None:
        """The key stops working everywhere. An unknown key: nothing."""
        with self._lock:
            if self._keys.pop(access_key, None) is not None:
                self._apply()
                self._write_accounts()

    def set_policy(self, user: str, document: str) -> None:
        """Replace the policy of `user` in all regions. Raises `policy.PolicyError`, with the old one still in force."""
        statements = policy.parse(document)
        with self._lock:
            self._statements[user] = statements
            self._write_accounts()
            self._apply()

    def forget_user(self, user: str) -> None:
        """Take away all keys and the policy of `user`."""
        with self._lock:
            for access_key in [key for key, (owner, _) in self._keys.items() if owner == user]:
                del self._keys[access_key]
            self._statements.pop(user, None)
            self._apply()
            self._write_accounts()

    def _write_accounts(self) -> None:
        """Whoever signs by a key of a user is that user to the gateway: a second key takes no room in a policy, which has 4 KB."""
        accounts = {}
        named = {_principal(user): (user, self._unsigned) for user, _ in self._keys.values()}
        for access_key, (user, secret) in {**named, **self._keys}.items():
            role = "userplus" if policy.may_create_buckets(self._statements.get(user, ())) else "user"
            accounts[access_key] = {
                "access": _principal(user),
                "secret": secret,
                "role": role,
                "userID": 0,
                "groupID": 0,
                "projectID": 0,
            }
        target = self._home / "iam" / "users.json"
        if not target.parent.is_dir():  # before start(), which writes them
            return
        fresh = target.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump({"accessAccounts": accounts}, out)
        fresh.replace(target)

    def _users(self) -> Users:
        return {user: ([_principal(user)], self._statements.get(user, ())) for user, _ in self._keys.values()}

    def _apply(self, regions: Iterable[str] | None = None) -> None:
        """Bring every bucket of the regions that answer under the users' present policies; the others catch up in `restore`."""
        users = self._users()
        for region in regions or [name for name in self.addresses if self.alive(name)]:
            try:
                for bucket in self.list_buckets(region):
                    self._apply_to(region, bucket, users)
            except StorageError as error:
                if error.reason != "down":
                    raise
                log.warning("policies of %s are not up to date: %s", region, error)

    def _apply_to(self, region: str, bucket: str, users: Users) -> None:
        owner = self._owner(region, bucket)
        text = policy.bucket_policy(bucket, users.get(owner, ([], ()))[0], users)
        if self._applied.get((region, bucket), "") == text:
            return
        if text is None:
            self._ask(region, "delete_bucket_policy", Bucket=bucket)
        else:
            self._ask(region, "put_bucket_policy", Bucket=bucket, Policy=text)
        self._applied[region, bucket] = text

    def _owner(self, region: str, bucket: str) -> str:
        """The user who owns the bucket; empty for the project's own."""
        if (region, bucket) not in self._owners:
            answer = self._ask(region, "get_bucket_acl", Bucket=bucket)
            principals = {_principal(user): user for user, _ in self._keys.values()}
            self._owners[region, bucket] = principals.get(answer["Owner"]["ID"], "")
        return self._owners[region, bucket]

    # --- buckets and objects

    def create_bucket(
        self,
        region: str,
        name: str,
        *,
        versioning: bool = False,
        object_lock: bool = False,
        retention: Retention | None = None,
        owner: str = "",
    ) -> None:
        """`owner`: the user with full control; empty: the project, and users get in by policy alone. `retention`: of what is stored without one
        of its own, where there is `object_lock`. Names have 3 characters or more.
        """
        with self._lock:
            self._ask(
                region, "create_bucket", Bucket=name, **({"ObjectLockEnabledForBucket": True} if object_lock else {})
            )
            self._owners[region, name] = owner
            if versioning:
                self.set_versioning(region, name, True)
            if object_lock:
                self.set_retention(region, name, retention)
            self._apply([region])

    def set_retention(self, region: str, name: str, retention: Retention | None) -> None:
        """Of what is stored from now on; only of a bucket with object lock."""
        rule = {"Mode": retention.mode, "Days": retention.days} if retention else None
        found = {"ObjectLockEnabled": "Enabled", **({"Rule": {"DefaultRetention": rule}} if rule else {})}
        self._ask(region, "put_object_lock_configuration", Bucket=name, ObjectLockConfiguration=found)

    def set_versioning(self, region: str, name: str, enabled: bool) -> None:
        status = "Enabled" if enabled else "Suspended"
        self._ask(region, "put_bucket_versioning", Bucket=name, VersioningConfiguration={"Status": status})

    def delete_bucket(self, region: str, name: str) -> None:
        """Raises `StorageError` "not empty" while any version of an object is left, "absent" when there is no such bucket."""
        with self._lock:
            self._ask(region, "delete_bucket", Bucket=name)
            self._owners.pop((region, name), None)
            self._applied.pop((region, name), None)

    def list_buckets(self, region: str) -> list[str]:
        return sorted(entry["Name"] for entry in self._ask(region, "list_buckets").get("Buckets", []))

    def list_objects(
        self, region: str, name: str, *, versions: bool = False, prefix: str = "", marker: str = "", limit: int = 1000
    ) -> list[StoredObject]:
        """Up to `limit` entries after key `marker`, by key; with `versions` also old versions and delete markers."""
        if versions:
            answer = self._ask(
                region, "list_object_versions", Bucket=name, Prefix=prefix, KeyMarker=marker, MaxKeys=limit
            )
            entries = [(entry, False) for entry in answer.get("Versions", [])] + [
                (entry, True) for entry in answer.get("DeleteMarkers", [])
            ]
        else:
            answer = self._ask(region, "list_objects_v2", Bucket=name, Prefix=prefix, StartAfter=marker, MaxKeys=limit)
            entries = [(entry, False) for entry in answer.get("Contents", [])]
        found = [
            StoredObject(
                key=entry["Key"],
                size=int(entry.get("Size", 0)),
                etag=entry.get("ETag", "").strip('"'),
                last_modified=entry["LastModified"].isoformat(),
                version_id=entry.get("VersionId", ""),
                is_latest=bool(entry.get("IsLatest", True)),
                is_delete_marker=deleted,
            )
            for entry, deleted in entries
        ]
        return sorted(found, key=lambda item: item.key)

    def delete_objects(self, region: str, name: str, objects: Iterable[tuple[str, str]]) -> None:
        """Remove (key, version) pairs; an empty version removes the key (leaving a delete marker in a versioned bucket). Absent ones are no error."""
        for key, version in objects:
            self._ask(region, "delete_object", Bucket=name, Key=key, **({"VersionId": version} if version else {}))

    def _ask(self, region: str, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self.client(region), operation)(**arguments)
        except ClientError as error:
            code = str(error.response["Error"].get("Code", ""))
            raise StorageError(
                CODES.get(code, "refused"), f"S3 {region}: {operation} of {arguments.get('Bucket', '-')} gave {code}"
            ) from error
        except BotoCoreError as error:
            raise StorageError(
                "down", f"S3 {region}: no answer to {operation}; the region is cut, or its gateway ended"
            ) from error


def _principal(user: str) -> str:
    """Who a user is to a gateway, in policies and as the owner of buckets."""
    return f"u{user}"


def _listens(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def _answers(address: tuple[str, int]) -> bool:
    """Behind a front (`lab.s3.replication`) a connection alone says nothing."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1) as probe:
        probe.settimeout(1)
        probe.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return bool(probe.recv(1))
    return False


def connect(endpoint: str, region: str, access_key: str, secret_key: str) -> Any:
    """A boto3 S3 client: paths instead of host names, no silent retries, no checksums that older OVHcloud refuses."""
    config = Config(
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        connect_timeout=3,
        read_timeout=20,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=config,
    )
