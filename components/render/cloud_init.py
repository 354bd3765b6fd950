"""The first boot of a host: who it is and who may come in; nothing else is decided there.

Secret in it: the host's own ssh key, which only that host may hold. No password, no TLS key, no package: those come later over the
connection that this key proves, so that a change of them never touches the server.
"""

from __future__ import annotations

import json

from components.settings import SshKey
from contract.hosts import HostAddress


def user_data(host: HostAddress, host_key: SshKey, operator_public_key: str) -> str:
    """A cloud-config for one host. JSON is valid YAML and needs no quoting rules of its own."""
    config = {
        "hostname": host.name,
        "fqdn": host.fqdn,
        "prefer_fqdn_over_hostname": False,
        # An empty list: no default user with sudo beside root.
        "users": [],
        "disable_root": False,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": _line_ended(host_key.private), "ed25519_public": host_key.public},
        "ssh_authorized_keys": [operator_public_key],
        # The hosts' software lists every host itself, by its own rules.
        "manage_etc_hosts": False,
        # Before sshd answers: copies over ssh find their folders.
        "bootcmd": [["mkdir", "-p", "/opt/dr/uploads"]],
        "package_update": False,
        "package_upgrade": False,
    }
    return "#cloud-config\n" + json.dumps(config, sort_keys=True, indent=1) + "\n"


def _line_ended(key: str) -> str:
    """OpenSSH refuses a private key without a newline at its end."""
    return key if key.endswith("\n") else key + "\n"
