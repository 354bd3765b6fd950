"""What a person does once by hand, through the very API: a user for each key to the witness, with the policy that `drctl rights witness` prints, and one for
the page for customers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from components.render.policy import page_policy, witness_policy
from contract.witness import HOST_USERS, OPERATOR, USERS

Ask = Callable[[str, str, Any], Any]  # method, path, body: the API's answer


def make(ask: Ask, project: str, bucket: str) -> dict[str, Any]:
    """The part `witness` of `dr:secrets`. The bucket is there already."""
    keys = {user: _user(ask, f"/cloud/project/{project}/user", user, witness_policy(bucket, user)) for user in USERS}
    return {**keys[OPERATOR], "hosts": {user: keys[user] for user in HOST_USERS}}


def make_page(ask: Ask, project: str, bucket: str) -> dict[str, str]:
    """The part `monitoring.status_page`, the same way. The bucket is there already."""
    return _user(ask, f"/cloud/project/{project}/user", "page", page_policy(bucket, public=True))


def _user(ask: Ask, users: str, name: str, policy: str) -> dict[str, str]:
    made = ask("POST", users, {"description": f"third region {name}", "roles": ["objectstore_operator"]})
    own = f"{users}/{made['id']}"
    ask("POST", f"{own}/policy", {"policy": policy})
    pair = ask("POST", f"{own}/s3Credentials", None)
    return {"access_key": pair["access"], "secret_key": pair["secret"]}
