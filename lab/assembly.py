"""The parts of a whole lab, put together: addresses, the cloud's configuration, credentials, and what `lab.json` says of them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from contract.consumer_key import Account, Beginning, beginning, rules
from contract.names import BUCKETS, bucket_name
from lab.cloud.config import CloudConfig, RegionConfig, User, default_region, fixed_id
from lab.cloud.ovh import OvhConfig
from lab.dns.servers import Address
from lab.faults import Site
from lab.machines.networks import ExtNet
from lab.s3.liar import SOURCE as LIAR

PROJECT_ID, PROJECT_NAME = "0123456789abcdef0123456789abcdef", "shop"
KEYSTONE, OVH, WITNESS = ("192.0.2.10", 5000), ("192.0.2.11", 8080), ("192.0.2.12", 7070)
NAME_SERVERS = (Address("192.0.2.21"), Address("192.0.2.22"))
RESOLVER = Address("192.0.2.53")
PORTS = {"compute": 8774, "network": 9696, "image": 9292, "volumev3": 8776, "load-balancer": 9876}
S3_PORT = 7070
LB_FLAVOR = "small"
ZONE = "shop.example"
# Short: the gateway has 4 KB for a policy that names the bucket in each line.
# Short: the gateway has 4 KB for what it knows of a bucket, and each right of each user names it.
THIRD_BUCKETS = {"bucket": "wit", "state_bucket": "sta", "page_bucket": "pag"}
OPERATORS = "192.0.2.0/24"  # the laboratory itself


@dataclass(frozen=True)
class RegionPlan:
    """One compute region. Its Ext-Net is `prefix`.0/24: .1 the internet, .2 the APIs, .3 the storage, .10 to .250 for tenants."""

    site: str
    region: str
    storage: str
    prefix: str

    @property
    def api(self) -> str:
        return f"{self.prefix}.2"

    @property
    def s3(self) -> str:
        return f"{self.prefix}.3"

    @property
    def external(self) -> ExtNet:
        return ExtNet(f"{self.prefix}.1/24", (self.api, self.s3))

    @property
    def as_site(self) -> Site:
        return Site(self.site, self.region, self.storage, (self.api, self.s3))

    def config(self) -> RegionConfig:
        endpoints = {kind: f"http://{self.api}:{port}" for kind, port in PORTS.items()}
        pool = (f"{self.prefix}.10", f"{self.prefix}.250")
        return default_region(self.region, endpoints, cidr=f"{self.prefix}.0/24", gateway=f"{self.prefix}.1", pool=pool)


REGIONS = (RegionPlan("a", "GRA11", "gra", "203.0.113"), RegionPlan("b", "SBG5", "sbg", "198.51.100"))
# What archives, and what holds a copy of that elsewhere: pgBackRest speaks TLS only.
TLS_STORAGE = {plan.storage: (plan.s3, 443) for plan in REGIONS} | {"de": (WITNESS[0], 443)}
STORAGE = {plan.storage: (plan.s3, S3_PORT) for plan in REGIONS} | {"de": WITNESS}
GLOBAL_ADDRESSES = (KEYSTONE[0], OVH[0], WITNESS[0], *(server.host for server in NAME_SERVERS), RESOLVER.host, LIAR)


@dataclass(frozen=True)
class Credentials:
    """Made anew by each start of the lab."""

    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    application_key: str = field(default_factory=lambda: secrets.token_hex(8))
    application_secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    consumer_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    init_consumer_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)  # of `drctl init`


def auth_url() -> str:
    return f"http://{KEYSTONE[0]}:{KEYSTONE[1]}/v3"


def cloud_config(credentials: Credentials) -> CloudConfig:
    user = User(name="dr", password=credentials.password, id=fixed_id("user", "dr").replace("-", ""))
    regions = tuple(plan.config() for plan in REGIONS)
    return CloudConfig(
        auth_url=auth_url(), project_id=PROJECT_ID, project_name=PROJECT_NAME, users=(user,), regions=regions
    )


def ovh_config(credentials: Credentials) -> OvhConfig:
    return OvhConfig(
        application_key=credentials.application_key,
        application_secret=credentials.application_secret,
        consumer_key=credentials.consumer_key,
        service_name=PROJECT_ID,
        auth_url=auth_url(),
        project_name=PROJECT_NAME,
        granted=tuple(rules(account())),
        further={credentials.init_consumer_key: tuple(beginning(begun()))},
    )


def account() -> Account:
    """What the consumer key is for. Nothing is protected: a rehearsal is thrown away."""
    buckets = {
        plan.storage.upper(): tuple(bucket_name(PROJECT_NAME, PROJECT_ID, plan.site, kind) for kind in BUCKETS)
        for plan in REGIONS
    }
    return Account(service_name=PROJECT_ID, zone=ZONE, buckets=buckets, protect=False)


def begun() -> Beginning:
    """What the key of `drctl init` is for."""
    return Beginning(
        service_name=PROJECT_ID,
        zone=ZONE,
        third=PROJECT_ID,
        regions=tuple(plan.storage.upper() for plan in REGIONS),
        third_region="DE",
        buckets=tuple(THIRD_BUCKETS.values()),
    )


def description(cloud: CloudConfig, credentials: Credentials, root_keys: tuple[str, str], ca: str) -> dict[str, Any]:
    """What `<run>/lab.json` holds: every endpoint, id and credential that a stack file needs."""
    return {
        "openstack": {
            "auth_url": cloud.auth_url,
            "user": cloud.users[0].name,
            "password": credentials.password,
            "project_id": cloud.project_id,
            "project_name": cloud.project_name,
            "domain": cloud.domain_name,
        },
        "ovh": {
            "endpoint": f"http://{OVH[0]}:{OVH[1]}/1.0",
            "application_key": credentials.application_key,
            "application_secret": credentials.application_secret,
            "consumer_key": credentials.consumer_key,
            "service_name": PROJECT_ID,
        },
        "init": {"consumer_key": credentials.init_consumer_key},
        "regions": {region.name: _region(region) for region in cloud.regions},
        "s3": {name: {"endpoint": f"http://{host}:{port}"} for name, (host, port) in STORAGE.items()},
        "s3_tls": {"ca": ca, "endpoints": {name: f"https://{host}" for name, (host, _) in TLS_STORAGE.items()}},
        "root_s3": {"access_key": root_keys[0], "secret_key": root_keys[1]},
        "dns": {
            "servers": [f"{server.host}:{server.port}" for server in NAME_SERVERS],
            "resolver": f"{RESOLVER.host}:{RESOLVER.port}",
        },
    }


def _region(region: RegionConfig) -> dict[str, Any]:
    return {
        "ext_net_id": region.external.id,
        "image_id": region.images[0].id,
        "flavors": {flavor.name: flavor.id for flavor in region.flavors},
        "lb_flavor_id": next(flavor.id for flavor in region.lb_flavors if flavor.name == LB_FLAVOR),
    }
