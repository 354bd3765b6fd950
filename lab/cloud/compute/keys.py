"""Key pairs and server groups."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools

from lab.cloud.compute import errors
from lab.cloud.microversion import Version
from lab.cloud.state import Cloud, Record, Token, new_id, stamp
from lab.cloud.validation import document, invalid, only, required, text
from lab.cloud.web import Call

_numbers = itertools.count(1)
_POLICIES = ("anti-affinity", "affinity")
_SOFT = ("anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity")


def fingerprint(public_key: str) -> str:
    """The MD5 fingerprint of an OpenSSH public key; 400 when it is none."""
    parts = public_key.split()
    try:
        blob = base64.b64decode(parts[1], validate=True)
        length = int.from_bytes(blob[:4], "big")
        if blob[4 : 4 + length] != parts[0].encode():
            raise ValueError(parts[0])
    except (IndexError, ValueError, binascii.Error):
        raise errors.bad_request("Keypair data is invalid: failed to generate fingerprint") from None
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def create_pair(cloud: Cloud, region: str, call: Call, version: Version) -> Record:
    """A key pair from a public key. Nova could make the key itself; the lab does not."""
    wanted = document(call, "keypair")
    allowed = (
        {"name", "public_key"}
        | ({"type"} if version >= (2, 2) else set())
        | ({"user_id"} if version >= (2, 10) else set())
    )
    only("keypair", wanted, frozenset(allowed))
    required("keypair", wanted, ("name",))
    name = text("name", wanted["name"], shortest=1)
    if wanted.get("public_key") is None:
        raise errors.not_written("key pairs without a public_key")
    public_key = text("public_key", wanted["public_key"], longest=16384)
    pairs = cloud.region(region).keypairs
    print_ = fingerprint(public_key)
    if name in pairs:
        raise errors.conflict(f"Key pair '{name}' already exists.")
    if cloud.over_quota(region, "key_pairs", len(pairs)):
        raise errors.forbidden("Quota exceeded, too many key pairs.")
    pairs[name] = {
        "name": name,
        "public_key": public_key,
        "fingerprint": print_,
        "user_id": call.token.user_id,
        "created_at": stamp(style="micro"),
        "_number": next(_numbers),
    }
    return pairs[name]


def find_pair(cloud: Cloud, region: str, name: str, token: Token) -> Record:
    pair = cloud.region(region).keypairs.get(name)
    if pair is None:
        raise errors.not_found(f"Keypair {name} not found for user {token.user_id}")
    return pair


def pair_view(pair: Record, version: Version, *, detail: str = "list") -> Record:
    """`detail`: "list", "create" (with the owner) or "show" (with everything)."""
    body = {key: pair[key] for key in ("name", "public_key", "fingerprint")}
    if version >= (2, 2):
        body["type"] = "ssh"
    if detail != "list":
        body["user_id"] = pair["user_id"]
    if detail == "show":
        body |= {
            "created_at": pair["created_at"],
            "deleted": False,
            "deleted_at": None,
            "id": pair["_number"],
            "updated_at": None,
        }
    return body


def create_group(cloud: Cloud, region: str, call: Call, version: Version) -> Record:
    """Up to 2.63 a group has `policies`, since 2.64 one `policy`: the other word is 400."""
    wanted = document(call, "server_group")
    new_form = version >= (2, 64)
    field, allowed = (
        ("policy", frozenset({"name", "policy", "rules"}))
        if new_form
        else ("policies", frozenset({"name", "policies"}))
    )
    required("server_group", wanted, (field,) if "name" in wanted else ("name",))
    only("server_group", wanted, allowed)
    name = text("name", wanted["name"], shortest=1)
    known = _SOFT if version >= (2, 15) else _POLICIES
    if new_form:
        policy, place = wanted["policy"], "policy"
    else:
        if not isinstance(wanted["policies"], list) or len(wanted["policies"]) != 1:
            raise invalid("policies", wanted["policies"], f"{wanted['policies']!r} is not a list of one policy")
        policy, place = wanted["policies"][0], "0"
    if policy not in known:
        raise invalid(place, policy, f"{policy!r} is not one of {list(known)!r}")
    groups = cloud.region(region).server_groups
    if cloud.over_quota(region, "server_groups", len(groups)):
        raise errors.forbidden("Quota exceeded, too many server groups.")
    group: Record = {
        "id": new_id(),
        "name": name,
        "policy": policy,
        "rules": dict(wanted.get("rules") or {}),
        "user_id": call.token.user_id,
    }
    groups[group["id"]] = group
    return group


def find_group(cloud: Cloud, region: str, group_id: str) -> Record:
    group = cloud.region(region).server_groups.get(group_id)
    if group is None:
        raise errors.not_found(f"Instance group {group_id} could not be found.")
    return group
