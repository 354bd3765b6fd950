"""The buckets of one site, for assets, for archived WAL and for releases, and the users that may reach them: the shop, the copier, the archive, releases.

Versioned, encrypted by the platform, kept when the stack is destroyed; what is archived is locked against every key for a while. It sets no
owner (an owner's rights cannot be narrowed by a policy) and no replication of the platform's: a rule names the other site's bucket and follows
the epoch, so a link puts it (`asset_sync.py`).
"""

from __future__ import annotations

import pulumi
from pulumi_ovh import cloudproject

from components.render.policy import copier_policy, reader_policy, shop_policy, site_policy
from components.settings import BucketKeys, Settings
from contract.dataclass import dataclass
from contract.names import BUCKETS
from contract.rotation import FIRST_KEYS
from contract.sites import SITES


@dataclass(frozen=True, kw_only=True)
class AssetBucketsArgs:
    settings: Settings


class AssetBuckets(pulumi.ComponentResource):
    """`keys` (of the shop), `copier_keys`, `archive_keys` and `release_keys` are `access_key` and `secret_key`, secret; so are `offsite_keys` of who may
    read alone, None where nobody outside copies. `ready` is what must be done before anybody uses them.
    """

    keys: pulumi.Output[dict[str, str]]
    copier_keys: pulumi.Output[dict[str, str]]
    archive_keys: pulumi.Output[dict[str, str]]
    release_keys: pulumi.Output[dict[str, str]]
    offsite_keys: pulumi.Output[dict[str, str]] | None
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: AssetBucketsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:AssetBuckets", name, {}, opts)
        settings = args.settings
        self._settings = settings
        own = settings.bucket(settings.site, "assets")
        buckets = [self._bucket(f"{name}-{kind}", settings, kind) for kind in BUCKETS]
        self.ready = list(buckets)
        # Releases lie in both regions, and a host reads them where it can; who puts them there is no host.
        releases = [settings.bucket(site, "releases") for site in SITES]
        self.keys = self._user(f"{name}-user", "buckets", shop_policy(own, releases), buckets)
        self.release_keys = self._user(f"{name}-publisher", "publisher", site_policy(releases), buckets)
        # The peer's bucket may not exist yet: a policy is about names.
        policy = copier_policy(settings.bucket(settings.peer, "assets"), own, [settings.bucket(settings.site, "wal")])
        self.copier_keys = self._user(f"{name}-copier", "copier", policy, buckets)
        # WAL and backups go to both regions: either may be lost.
        archives = [settings.bucket(site, "wal") for site in (settings.site, settings.peer)]
        self.archive_keys = self._user(f"{name}-archive", "archive", site_policy(archives), buckets)
        self.offsite_keys = None
        if settings.archive is not None and settings.archive.offsite:
            mine = [settings.bucket(settings.site, kind) for kind in ("assets", "wal")]
            # Whoever copies is given it by hand, so it changes by hand.
            self.offsite_keys = self._user(f"{name}-offsite", "offsite", reader_policy(mine), buckets, rotated=False)
        self.register_outputs({"keys": self.keys, "copier_keys": self.copier_keys, "archive_keys": self.archive_keys})

    def _user(
        self, name: str, what: str, policy: str, buckets: list[cloudproject.Storage], *, rotated: bool = True
    ) -> pulumi.Output[dict[str, str]]:
        """A user of its own with a pair of keys, and a second one while they are `rotated`, restricted to what `policy` allows. Returns those in use."""
        settings, child = self._settings, pulumi.ResourceOptions(parent=self)
        service = settings.service_name
        user = cloudproject.User(
            name,
            service_name=service,
            description=f"{settings.project}-{settings.site} {what}",
            role_names=["objectstore_operator"],
            opts=child,
        )
        numbers = settings.secrets.buckets if rotated else BucketKeys()
        made = {
            number: cloudproject.S3Credential(
                credential_name(name, number),
                service_name=service,
                user_id=user.id,
                # Of the user, not of all this: whoever stands on the buckets would stand on a key that is not made yet.
                opts=child if number == FIRST_KEYS else pulumi.ResourceOptions(parent=user),
            )
            for number in (numbers.used, numbers.beside)
            if number is not None
        }
        credential = made[numbers.used]
        restricted = cloudproject.S3Policy(
            f"{name}-policy",
            service_name=service,
            user_id=user.id,
            policy=policy,
            opts=pulumi.ResourceOptions(parent=self, depends_on=buckets),
        )
        # The one beside it is nobody's yet, or nobody's any more: nothing waits for it, nor does a move that makes nothing.
        self.ready += [credential, restricted]
        pair = pulumi.Output.all(access_key=credential.access_key_id, secret_key=credential.secret_access_key)
        return pulumi.Output.secret(pair)

    def _bucket(self, name: str, settings: Settings, kind: str) -> cloudproject.Storage:
        return cloudproject.Storage(
            name,
            service_name=settings.service_name,
            region_name=settings.region.storage_region,
            # Hosts and the other site know the bucket by this name.
            name=settings.bucket(settings.site, kind),
            versioning=cloudproject.StorageVersioningArgs(status="enabled"),
            encryption=cloudproject.StorageEncryptionArgs(sse_algorithm="AES256"),
            object_lock=_lock(settings) if kind == "wal" else None,
            # Else up to a thousand objects go into the state at each read.
            hide_objects=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                # Deleting a bucket through the platform's API empties it first, all versions included.
                protect=settings.protects,
                retain_on_delete=settings.protect,
                # The platform answers with an owner of its own choice; a change of it in place fails. Replication rules are put by a link.
                # A lock is put on at creation or never: wanted of a bucket that is there, it would be a replacement, which `protect` refuses,
                # in a run that may have to move the shop. `dr-assets bucket` tells of one that is not as wanted.
                ignore_changes=["owner_id", "replication", "object_lock"],
            ),
        )


def credential_name(user: str, number: int) -> str:
    """Of the resource that is a user's key; the first one's is that of before keys had numbers."""
    return f"{user}-credential" if number == FIRST_KEYS else f"{user}-credential-{number}"


def _lock(settings: Settings) -> cloudproject.StorageObjectLockArgs | None:
    """Compliance: the project's own keys cannot end it either."""
    if settings.archive is None or not settings.archive.lock_days:
        return None
    rule = cloudproject.StorageObjectLockRuleArgs(mode="compliance", period=f"P{settings.archive.lock_days}D")
    return cloudproject.StorageObjectLockArgs(status="enabled", rule=rule)
