"""Who gets a shell, and what somebody on a host who is not root reads, reaches and starts."""

from __future__ import annotations

import json
import re

from contract.access import Ssh, SshHost
from scripts.clients.hosts import Hosts, Unreachable
from tests.refused.ground import BASTION, OPERATOR, Ground
from tests.refused.row import Allowed, Call, Row

# Options of sshd, and what they would let somebody have.
WAYS = {
    "allowagentforwarding": "forwarded agent",
    "allowstreamlocalforwarding": "forwarded socket",
    "x11forwarding": "display",
    "permittunnel": "tunnel",
    "permituserenvironment": "environment",
}
KEY_ALONE = ("publickey",)
EACH = ("control-1.a", "db-1.a", "cache-1.a", "app-1.a")  # one of each kind
CERTIFICATES = {
    "another CA": "sshd: CAs that hosts are told of",
    "root": "sshd: one principal",
    "ended": "sshd: a certificate's own times",
    "not yet begun": "sshd: a certificate's own times",
}
UNREAD = ("permission",)


def ssh(user: str = "root", *options: str, key: str = "operator", line: str = "true") -> Call:
    """To the bastion. `key`: of the operator, of a `stranger`, or a host's own."""

    def call(ground: Ground) -> str:
        keys = ground.secrets["ssh"]
        private = {"operator": keys["operator"]["private"], "stranger": ground.stranger_key}.get(key) or keys["hosts"][
            key
        ]["private"]
        return ground.ssh(user, private, options=options, line=line)

    return call


def certified(of: str, host: str = BASTION, user: str = "root") -> Call:
    """By a certificate (`Ground.person`), at the bastion or from there."""

    def call(ground: Ground) -> str:
        key, certificate = ground.person(of)
        return ground.ssh(user, key, certificate=certificate, host=host)

    return call


def pinned(ground: Ground) -> str:
    """As the product asks: the bastion of a, of which another host key is known than answers."""
    keys = ground.secrets["ssh"]
    name, other = "control-1.a", keys["hosts"]["db-1.a"]["public"]
    bastion = SshHost(vrack=ground.vrack(name), front=ground.front(name), host_key=other)
    told = Ssh(private_key=keys["operator"]["private"], hosts={name: bastion}, bastions={"a": ground.bastion("a")})
    try:
        with ground.at(OPERATOR), Hosts(told) as hosts:
            done = hosts.execute(name, "a", "true", b"", 10)
    except Unreachable as error:
        return "host key" if "Host key verification failed" in str(error) else str(error)[-160:]
    return "ok" if done.returncode == 0 else f"exit {done.returncode}"


def forwarded(option: str) -> Call:
    """Whether sshd of the bastion grants an operator's session this; who is root there could use it."""

    def call(ground: Ground) -> str:
        told = ground.run("control-1.a", "sshd -T -C user=root").stdout.splitlines()
        found = [line.split(maxsplit=1)[1] for line in told if line.startswith(f"{option} ")]
        return "refused" if found == ["no"] else f"ok {found}"

    return call


def unread(host: str, user: str, path: str) -> Call:
    """A file that is root's or another's."""

    def call(ground: Ground) -> str:
        assert ground.run(host, f"test -s {path}").returncode == 0, (
            f"{host}: {path} is not there, so nobody could read it"
        )
        return ground.denied(host, user, f"cat {path}")

    return call


def environ(host: str, unit: str, user: str) -> Call:
    """The environment of a unit's process."""

    def call(ground: Ground) -> str:
        pid = ground.run(host, f"systemctl show -p MainPID --value {unit}").stdout.strip()
        assert pid.isdigit() and pid != "0", f"{host}: {unit} does not run"
        return ground.denied(host, user, f"cat /proc/{pid}/environ")

    return call


def metadata(host: str, user: str) -> Call:
    """The service that has the first-boot text, which holds the host's own ssh key. The lab has none: whoever may ask is answered by nobody."""

    def call(ground: Ground) -> str:
        done = ground.run(host, "curl -sSv -m 3 -o /dev/null http://169.254.169.254/openstack/latest/user_data", user)
        if done.returncode == 7 and "Connection refused" in done.stderr:
            return "refused"
        nobody = done.returncode == 28 or "unreachable" in done.stderr
        return "nobody answers" if nobody else f"curl {done.returncode}"

    return call


def first_boot(user: str) -> Call:
    """The same text as cloud-init keeps it."""

    def call(ground: Ground) -> str:
        return ground.denied("app-1.a", user, "cat /var/lib/cloud/instance/user-data.txt")

    return call


def verb(host: str, line: str, document: dict[str, object], user: str = "root") -> Call:
    """`dr-host <line>` on a host with this document: `exit <code>`, or `permission`."""

    def call(ground: Ground) -> str:
        done = ground.run(host, f"python3 /opt/dr/dr-host.pyz {line}", user, json.dumps(document))
        return "permission" if re.search(r"[Pp]ermission denied", done.stderr) else f"exit {done.returncode}"

    return call


def as_user(host: str, user: str, line: str) -> Call:
    return lambda ground: ground.denied(host, user, line)


SSH = [
    Row(
        who="anybody with another key",
        what="root at the bastion",
        wanted=KEY_ALONE,
        call=ssh(key="stranger"),
        closed_by="sshd: the operators' key",
    ),
    Row(
        who="a host with its own key",
        what="root at the bastion",
        wanted=KEY_ALONE,
        call=ssh(key="app-1.a"),
        closed_by="sshd: the operators' key",
    ),
    *(
        Row(
            who="the operators' key",
            what=f"{user} at the bastion",
            wanted=KEY_ALONE,
            call=ssh(user),
            closed_by="sshd: root alone",
        )
        for user in ("debian", "postgres", "redis", "www-data", "nobody")
    ),
    *(
        Row(
            who="anybody",
            what=f"root at the bastion by {way}",
            wanted=KEY_ALONE,
            call=ssh("root", "-o", f"PreferredAuthentications={way}", key="stranger"),
            closed_by="sshd: keys alone",
        )
        for way in ("password", "keyboard-interactive", "hostbased", "none")
    ),
    *(
        Row(
            who=f"a certificate: {of}",
            what=f"root at {host}",
            wanted=KEY_ALONE,
            call=certified(of, host),
            closed_by=closed_by,
        )
        for of, closed_by in CERTIFICATES.items()
        for host in EACH
    ),
    *(
        Row(
            who="a certificate of our CA",
            what=f"debian at {host}",
            wanted=KEY_ALONE,
            call=certified("our CA", host, "debian"),
            closed_by="sshd: a certificate is root's",
        )
        for host in EACH
    ),
    Row(
        who="the operator",
        what="a bastion with another host key",
        wanted=("host key",),
        call=pinned,
        closed_by="the asker: host keys are pinned",
    ),
    *(
        Row(
            who="root at the bastion",
            what=f"an operator's {what}",
            wanted=("refused",),
            call=forwarded(option),
            closed_by="sshd: ways that nobody uses",
        )
        for option, what in WAYS.items()
    ),
]
FILES = (
    ("db-1.a", "postgres", "/etc/dr/witness.json"),
    ("db-1.a", "postgres", "/etc/dr/host.key"),
    ("db-1.a", "nobody", "/etc/dr/agent.json"),
    ("db-1.a", "nobody", "/etc/postgresql/17/main/pg_hba.conf"),
    ("db-1.a", "nobody", "/etc/postgresql/17/main/tls/server.key"),
    ("db-1.a", "nobody", "/etc/postgresql/17/main/tls/client.key"),
    ("db-1.a", "nobody", "/etc/ssh/ssh_host_ed25519_key"),
    ("db-1.a", "postgres", "/var/lib/dr/postgres.json"),
    ("db-1.a", "nobody", "/etc/dr/archive/a.conf"),
    ("cache-1.a", "redis", "/etc/dr/witness.json"),
    ("cache-1.a", "redis", "/etc/dr/redis.json"),
    ("cache-1.a", "nobody", "/etc/redis/dr.acl"),
    ("cache-1.a", "nobody", "/etc/redis/dr.key"),
    ("app-1.a", "www-data", "/etc/shop/env"),
    ("app-1.a", "www-data", "/etc/shop/processes/worker.env"),
    ("app-1.a", "www-data", "/etc/dr/caches.cfg"),
    ("app-1.a", "www-data", "/etc/dr/caches.pem"),
    ("app-1.a", "www-data", "/etc/shop/tls.key"),
    ("app-1.a", "www-data", "/etc/shop/tls/shop.key"),
    ("app-1.a", "www-data", "/etc/shop/tls/shop_worker.key"),
    ("app-1.a", "www-data", "/etc/shop/tls/cache.key"),
    ("app-1.a", "www-data", "/etc/dr/host.key"),
    ("app-1.a", "www-data", "/etc/dr/witness.json"),
    ("app-1.a", "shop", "/etc/shop/env"),
    ("app-1.a", "shop", "/etc/shop/processes/worker.env"),
    ("app-1.a", "haproxy", "/etc/shop/env"),
    ("app-1.a", "haproxy", "/etc/shop/tls/shop.key"),
    ("app-1.a", "shop", "/etc/shop/tls.key"),
    ("app-1.a", "shop", "/etc/dr/witness.json"),
    ("control-1.a", "nobody", "/etc/dr/assets.json"),
    ("control-1.a", "dr-assets", "/etc/dr/host.key"),
    ("control-1.a", "dr-assets", "/etc/ssh/ssh_host_ed25519_key"),
    ("db-1.a", "postgres", "/etc/dr/agent.json"),
)
LOCAL = [
    *(
        Row(
            who=f"{user} on {host}",
            what=path,
            wanted=UNREAD,
            call=unread(host, user, path),
            closed_by="owners and modes of files",
        )
        for host, user, path in FILES
    ),
    Row(
        who="www-data on app-1.a",
        what="the environment of the shop's processes",
        wanted=UNREAD,
        call=environ("app-1.a", "shop-web", "www-data"),
        closed_by="users of their own",
    ),
    Row(
        who="nobody on db-1.a",
        what="the environment of the agent",
        wanted=UNREAD,
        call=environ("db-1.a", "dr-agent", "nobody"),
        closed_by="users of their own",
    ),
    *(
        Row(
            who=f"{user} on app-1.a",
            what="the first-boot text",
            wanted=UNREAD,
            call=first_boot(user),
            closed_by="owners and modes of files",
        )
        for user in ("shop", "www-data")
    ),
    *(
        Row(
            who=f"{user} on {host}",
            what=f"write {path}",
            wanted=UNREAD,
            call=as_user(host, user, f"sh -c ': >> {path}'"),
            # The agent writes its word anew every two seconds: a mode that is given to it does not last.
            closed_by="users of their own" if path.endswith("held-until") else "owners and modes of files",
        )
        for host, user, path in (
            ("db-1.a", "postgres", "/opt/dr/dr-host.pyz"),
            ("db-1.a", "postgres", "/var/lib/dr/role.json"),
            ("db-1.a", "postgres", "/run/dr/held-until"),
            ("cache-1.a", "redis", "/var/lib/dr/role.json"),
            ("cache-1.a", "redis", "/opt/dr/dr-host.pyz"),
            ("db-1.a", "postgres", "/etc/dr/archive/a.conf"),
            ("control-1.a", "dr-assets", "/etc/dr/assets.json"),
            ("control-1.a", "dr-assets", "/etc/dr/assets-epoch.json"),
            ("control-1.a", "dr-assets", "/opt/dr/dr-assets.pyz"),
            ("control-1.a", "dr-assets", "/opt/dr/dr-assets.pyz.sha256"),
            ("control-1.a", "dr-assets", "/var/lib/dr/role.json"),
            ("app-1.a", "shop", "/etc/nginx/nginx.conf"),
            ("app-1.a", "shop", "/etc/shop/tls/shop.key"),
        )
    ),
    Row(
        who="postgres on db-1.a",
        what="lead by itself (dr-host postgres resume)",
        wanted=("permission",),
        call=verb("db-1.a", "postgres resume", {"schema": 1}, "postgres"),
        closed_by="root alone leads",
    ),
    Row(
        who="postgres on db-1.b",
        what="push WAL beside the primary",
        wanted=("exit 3",),
        call=verb("db-1.b", "archive push", {"schema": 1, "wal": "pg_wal/0000000100000000000000FF"}, "postgres"),
        closed_by="archive: the primary alone",
    ),
    Row(
        who="an empty document",
        what="db-1.a postgres converge without an epoch or anything else",
        wanted=("exit 2",),
        call=verb("db-1.a", "postgres converge", {"schema": 1}),
        closed_by="documents are whole",
    ),
    *(
        Row(
            who=f"{user} on {host}",
            what="the metadata service",
            wanted=("refused",),
            call=metadata(host, user),
            closed_by="the metadata service is root's",
        )
        for host, user in (
            ("app-1.a", "shop"),
            ("app-1.a", "www-data"),
            ("db-1.a", "postgres"),
            ("cache-1.a", "redis"),
            ("control-1.a", "nobody"),
        )
    ),
]
ROWS = [*SSH, *LOCAL]
ALLOWED = [
    Allowed(who="the operators' key", what="root at the bastion", answer="ok", call=ssh()),
    *(
        Allowed(
            who="a certificate of our CA",
            what=f"root at {host}",
            answer="ok",
            call=certified("our CA", host),
        )
        for host in EACH
    ),
    Allowed(
        who="root on app-1.a",
        what="the shop's environment",
        answer="ok",
        call=unread("app-1.a", "root", "/etc/shop/env"),
    ),
    Allowed(
        who="root on app-1.a", what="the metadata service", answer="nobody answers", call=metadata("app-1.a", "root")
    ),
    Allowed(
        who="shop on app-1.a",
        what="its key to the database",
        answer="ok",
        call=unread("app-1.a", "shop", "/etc/shop/tls/shop.key"),
    ),
]
