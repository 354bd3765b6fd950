"""What opens each mechanism of a running lab, so that every row that it closes is seen accepted once; and why the others cannot be opened.

Each is a context: within it the mechanism is off, behind it as it was. What a call does while nothing refuses it stays done, so the lab is thrown
away afterwards, and mechanisms whose calls end the service come last.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator

from lab.rehearsal.builds import Change
from lab.rehearsal.world import wait_for
from scripts.clients import hosts as asker
from tests.refused import outside
from tests.refused.ground import OPERATOR, Ground
from tests.refused.hosts import EACH
from tests.refused.network import FORWARD, HEALTH, POSTGRES, SSH
from tests.refused.outside import REGIONS, Opening
from tests.refused.probes import files
from tests.refused.stores import _cloud

CONF = "/etc/postgresql/17/main"
# The server has read its files again once it says so.
RELOADED = (
    "ask() { runuser -u postgres -- psql -X -At -c 'select pg_conf_load_time()'; }; before=$(ask); systemctl reload postgresql@17-main;"
    ' until now=$(ask) && test "$now" != "$before"; do sleep 0.1; done'
)


def _must(ground: Ground, host: str, line: str, stdin: str = "") -> str:
    done = ground.run(host, line, stdin=stdin)
    assert done.returncode == 0, f"{host}: {line[:120]}: {done.stderr.strip()[-300:]}"
    return done.stdout


def given(host: str, told: str, back: str) -> Opening:
    """Two lines of shell on a host, as root: what opens, what closes."""

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        _must(ground, host, told)
        try:
            yield
        finally:
            _must(ground, host, back)

    return opened


def rules(*kinds: str) -> Opening:
    """The kinds' security groups let everybody in, and those of all kinds everything out: what may not come in may mostly not go out either."""
    wanted = [*((kind, "ingress") for kind in kinds), *((kind, "egress") for kind in ("control", "db", "cache", "app"))]

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        with contextlib.ExitStack() as undo:
            for site, region in REGIONS.items():
                for kind, direction in wanted:
                    rule = {"direction": direction, "ethertype": "IPv4"}
                    made = _rule(ground, region, f"shop-{site}-{kind}", rule)
                    if made is not None:
                        undo.callback(_remove, ground, region, f"/v2.0/security-group-rules/{made}")
            yield

    return opened


def _rule(ground: Ground, region: str, group: str, wanted: dict[str, str]) -> str | None:
    """Its id; None where the group has one like it."""
    with ground.at(OPERATOR):
        cloud = _cloud(ground, region)
        found = cloud.ask("GET", "network", f"/v2.0/security-groups?name={group}")["security_groups"][0]
        if any(
            it["remote_ip_prefix"] in (None, "0.0.0.0/0") and it["protocol"] is None and wanted.items() <= it.items()
            for it in found["security_group_rules"]
        ):
            return None
        rule = {"security_group_id": found["id"], **wanted}
        return str(
            cloud.ask("POST", "network", "/v2.0/security-group-rules", {"security_group_rule": rule})[
                "security_group_rule"
            ]["id"]
        )


def _remove(ground: Ground, region: str, path: str) -> None:
    with ground.at(OPERATOR):
        _cloud(ground, region).ask("DELETE", "network", path)


def rules_ipv6(host: str) -> Opening:
    """All of IPv6 comes and goes on the vRack, at the host and at who asks it: a neighbour has to be found first. The lab hands no such rule to its
    guests, so it is put where the others are.
    """

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        chains = [(at, f"inet lab_port {way}_ens4") for at in (host, "app-1.a") for way in ("ingress", "egress")]
        with contextlib.ExitStack() as undo:
            for at, chain in chains:
                told = f"nft insert rule {chain} meta nfproto ipv6 accept"
                handle = f"$(nft -a list chain {chain} | sed -n 's/.*nfproto ipv6 accept.* //p')"
                undo.enter_context(given(at, told, f"nft delete rule {chain} handle {handle}")(ground))
            yield

    return opened


@contextlib.contextmanager
def listeners(ground: Ground) -> Iterator[None]:
    """The balancer listens on more ports."""
    with ground.at(OPERATOR):
        cloud = _cloud(ground, REGIONS["a"])
        balancer = cloud.ask("GET", "load-balancer", "/v2.0/lbaas/loadbalancers")["loadbalancers"][0]["id"]
        shown, made = f"/v2.0/lbaas/loadbalancers/{balancer}", list[str]()

        def active() -> bool:
            return bool(cloud.ask("GET", "load-balancer", shown)["loadbalancer"]["provisioning_status"] == "ACTIVE")

        for port in (SSH, POSTGRES, HEALTH, FORWARD):
            wanted = {"loadbalancer_id": balancer, "protocol": "TCP", "protocol_port": port}
            made.append(
                cloud.ask("POST", "load-balancer", "/v2.0/lbaas/listeners", {"listener": wanted})["listener"]["id"]
            )
            wait_for("the balancer is as it was told", active, 30)
    try:
        yield
    finally:
        with ground.at(OPERATOR):
            for listener in made:
                cloud.ask("DELETE", "load-balancer", f"/v2.0/lbaas/listeners/{listener}")
                wait_for("the balancer is as it was told", active, 30)


def edited(hosts: tuple[str, ...], path: str, script: str, after: str) -> Opening:
    """`sed -E` of a file, and what makes its reader read it again."""

    kept = f"/root/kept-{path.rpartition('/')[2]}"

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        for host in hosts:
            _must(ground, host, f"cp -p {path} {kept}")
        try:
            for host in hosts:
                line = f"sed -E -i {shlex.quote(script)} {path} && ! cmp -s {path} {kept} && {after}"
                _must(ground, host, line)
            yield
        finally:
            for host in hosts:
                _must(ground, host, f"cp -p {kept} {path} && {after}")

    return opened


def nginx(script: str) -> Opening:
    # Anew, not reloaded: workers of before take what comes until they are told. More often than a unit may begin by itself.
    reload = "nginx -t -q && systemctl reset-failed nginx && systemctl restart nginx"
    return edited(("app-1.a", "app-2.a"), "/etc/nginx/nginx.conf", script, reload)


# Killed, not stopped: a stop of the agent is one of its database.
AGENT_ANEW = (
    "pid() { systemctl show -p MainPID --value dr-agent; }; old=$(pid); systemctl kill -s KILL dr-agent;"
    ' until new=$(pid) && test $new != 0 -a $new != $old && ss -tlnp | grep -q ":7600 .*pid=$new,"; do sleep 0.1; done'
)


def patched(changes: tuple[tuple[str, str, str], ...], host: str = "db-1.a", after: str = AGENT_ANEW) -> Opening:
    """Another dr-host on a host: in its files, this text is that. `after`: what makes its reader read it again."""
    program = (
        "import json, sys, zipfile, shutil\n"
        "path = '/opt/dr/dr-host.pyz'; shutil.copy2(path, '/root/dr-host.pyz')\n"
        "old = zipfile.ZipFile('/root/dr-host.pyz'); new = zipfile.ZipFile('/root/new.pyz', 'w', zipfile.ZIP_DEFLATED)\n"
        "changes = json.load(sys.stdin)\n"
        "for each in old.namelist():\n"
        "    if each[:-1] in [file for file, _, _ in changes] and each.endswith('c'): continue\n"
        "    text = old.read(each)\n"
        "    for file, one, two in changes:\n"
        "        if each == file:\n"
        "            assert text.count(one.encode()) == 1, (file, one)\n"
        "            text = text.replace(one.encode(), two.encode())\n"
        "    new.writestr(each, text)\n"
        "new.close(); shutil.move('/root/new.pyz', path)\n"
    )

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        _must(ground, host, f"python3 -c {shlex.quote(program)} && {after}", json.dumps(changes))
        try:
            yield
        finally:
            _must(ground, host, f"mv /root/dr-host.pyz /opt/dr/dr-host.pyz; {after}")

    return opened


def sql(opened_by: str, closed_by: str) -> Opening:
    """As the superuser of a's database."""

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        ask = "runuser -u postgres -- psql -X -q -v ON_ERROR_STOP=1 -d shop"
        _must(ground, "db-1.a", ask, opened_by)
        try:
            yield
        finally:
            ground.run("db-1.a", ask, stdin=closed_by)

    return opened


@contextlib.contextmanager
def hba(ground: Ground) -> Iterator[None]:
    """Everybody gets in from everywhere, and the owner role is one that logs in."""
    script = "1s/^/host all all all trust\\nhost replication all all trust\\n/"
    with (
        sql("alter role shop_owner login;", "alter role shop_owner nologin;")(ground),
        edited(("db-1.a",), f"{CONF}/pg_hba.conf", script, RELOADED)(ground),
    ):
        yield


@contextlib.contextmanager
def certificates(ground: Ground) -> Iterator[None]:
    """A password is enough, and the server has no CA to ask of."""
    with (
        edited(("db-1.a",), f"{CONF}/pg_hba.conf", "s/ clientcert=verify-full//", RELOADED)(ground),
        edited(("db-1.a",), f"{CONF}/conf.d/dr.conf", "s/^ssl_ca_file.*/ssl_ca_file = ''/", RELOADED)(ground),
    ):
        yield


@contextlib.contextmanager
def passwords(ground: Ground) -> Iterator[None]:
    """The wrong password is the right one."""
    own = ground.secrets["postgres"]["app"]
    with sql("alter role shop password 'wrong';", f"alter role shop password '{own}';")(ground):
        yield


# As the host itself asks it.
CACHE_TLS = "--tls --cacert /etc/redis/dr-ca.pem --cert /etc/redis/dr.crt --key /etc/redis/dr.key"


def configured(told: str, back: str, *, plain: bool = False, host: str = "cache-1.a") -> Opening:
    """`CONFIG SET` at a cache, by the operator's user."""

    def ask(ground: Ground, words: str, tls: bool) -> None:
        way = f"{CACHE_TLS} " if tls else ""
        password = ground.secrets["redis"]["operator"]
        line = f"REDISCLI_AUTH=$(cat) redis-cli {way}-h {ground.vrack(host)} --user dr_operator --no-auth-warning config set {words}"
        assert _must(ground, host, line, password).strip() == "OK"

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        ask(ground, told, True)
        try:
            yield
        finally:
            ask(ground, back, not plain)

    return opened


@contextlib.contextmanager
def cache_users(ground: Ground) -> Iterator[None]:
    """Every user may everything, the default one without a password."""
    password = ground.secrets["redis"]["operator"]
    redis = (
        f"REDISCLI_AUTH=$word redis-cli {CACHE_TLS} -h {ground.vrack('cache-1.a')} --user dr_operator --no-auth-warning"
    )
    every = "~* \\&* +@all"
    line = (
        f"word=$(cat); {redis} config set protected-mode no; cd /etc/redis;"
        f" sed -i -E '/^user/ s/$/ {every}/; /^user default/ s/.*/user default on nopass {every}/; /^user shop/ s/#[0-9a-f]+/& nopass/' dr.acl;"
        " grep -q '^user default' dr.acl || echo 'user default on nopass ~* &* +@all' >> dr.acl;"
        " sed -i -E '/^user shop_worker_a/ s/#[0-9a-f]+/& nopass/' dr.acl; echo 'user shop_worker_b on nopass ~* &* +@all' >> dr.acl;"
        f" {redis} acl load"
    )
    said = _must(ground, "cache-1.a", line, password)
    assert said.split() == ["OK", "OK"], said
    yield


@contextlib.contextmanager
def authorized(ground: Ground) -> Iterator[None]:
    """Other keys are let in."""
    public = ground.secrets["ssh"]["hosts"]["app-1.a"]["public"]
    line = (
        "umask 077; cd /root; cp -p .ssh/authorized_keys kept; cat > stranger;"
        f" {{ ssh-keygen -y -f stranger; echo '{public}'; }} >> .ssh/authorized_keys"
    )
    _must(ground, "control-1.a", line, ground.stranger_key)
    try:
        yield
    finally:
        _must(ground, "control-1.a", "cp -p /root/kept /root/.ssh/authorized_keys")


def told(path: str, line: Callable[[Ground], str]) -> Opening:
    """A line more in a file that each host's sshd reads at each connection."""

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        with contextlib.ExitStack() as undo:
            for host in EACH:
                _must(ground, host, f"cp -p {path} /run/told; cat >> {path}", f"{line(ground)}\n")
                undo.callback(_must, ground, host, f"cp -p /run/told {path}")
            yield

    return opened


def _public(key: str) -> str:
    with files(key) as (path,):
        return subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True).stdout


SSHD = "/etc/ssh/sshd_config.d/00-a-refused.conf"  # read before ours: the first word counts


def sshd(*lines: str) -> Opening:
    """The bastion's goes by these first."""

    @contextlib.contextmanager
    def opened(ground: Ground) -> Iterator[None]:
        _must(ground, "control-1.a", f"cat > {SSHD}; systemctl reload ssh", "\n".join([*lines, ""]))
        try:
            yield
        finally:
            _must(ground, "control-1.a", f"rm {SSHD}; systemctl reload ssh")

    return opened


@contextlib.contextmanager
def others(ground: Ground) -> Iterator[None]:
    """The operators' key opens other users."""
    users = "AllowUsers debian postgres redis www-data nobody"
    _must(ground, "control-1.a", f"echo '{users}' > {SSHD}; systemctl reload ssh")
    _must(
        ground,
        "control-1.a",
        "for user in debian postgres redis www-data nobody; do id $user >/dev/null 2>&1 || useradd -m $user; home=$(getent passwd $user | cut -d: -f6);"
        " case $home in /nonexistent) home=/home/$user; usermod -d $home $user;; esac; mkdir -p $home/.ssh; cp /root/.ssh/authorized_keys $home/.ssh/;"
        " chown -R $user $home/.ssh; chown $user $home; chmod go-w $home; done",
    )
    try:
        yield
    finally:
        _must(
            ground,
            "control-1.a",
            f"rm {SSHD}; systemctl reload ssh; for user in debian postgres redis www-data nobody; do rm -rf $(getent passwd $user | cut -d: -f6)/.ssh; done",
        )


@contextlib.contextmanager
def metadata(ground: Ground) -> Iterator[None]:
    """The rule is gone."""
    hosts = ("app-1.a", "db-1.a", "cache-1.a", "control-1.a")
    for host in hosts:
        _must(ground, host, "nft delete table inet dr_metadata")
    try:
        yield
    finally:
        for host in hosts:
            _must(ground, host, "nft -f /etc/dr/metadata.nft")


@contextlib.contextmanager
def modes(ground: Ground) -> Iterator[None]:
    """Every file of ours is everybody's."""
    places = (
        "/etc/dr /etc/shop /etc/redis /etc/postgresql /var/lib/dr /opt/dr /run/dr /etc/nginx /var/lib/cloud /etc/ssh"
    )
    for host in ("db-1.a", "cache-1.a", "app-1.a", "control-1.a"):
        _must(
            ground,
            host,
            f"find -H {places} ! -type l -printf '%m %p\\n' 2>/dev/null > /root/modes; chmod -R a+rwX {places} 2>/dev/null; true",
        )
    try:
        yield
    finally:
        for host in ("db-1.a", "cache-1.a", "app-1.a", "control-1.a"):
            _must(ground, host, 'while read -r mode path; do chmod "$mode" "$path"; done < /root/modes')


@contextlib.contextmanager
def privileged(ground: Ground) -> Iterator[None]:
    """Whoever it is, `cat` looks into processes of others, and a shell writes to files of others."""
    rights = {"cat": "cap_sys_ptrace,cap_dac_read_search", "sh": "cap_dac_override"}
    with contextlib.ExitStack() as undo:
        for host in ("app-1.a", "db-1.a"):
            for program, right in rights.items():
                path = f"$(readlink -f $(which {program}))"
                undo.enter_context(given(host, f"setcap {right}+ep {path}", f"setcap -r {path}")(ground))
        yield


@contextlib.contextmanager
def other_name(ground: Ground) -> Iterator[None]:
    """App hosts of a show a certificate for the names of b."""
    pair, host = ground.pair("app-1.b"), "app-1.a"
    hosts = (host, "app-2.a")
    for each in hosts:
        for name, text in (("crt", pair.cert), ("key", pair.key)):
            _must(ground, each, f"umask 077; cat > /etc/dr/refused.{name}", text)
    script = "s#^( *ssl_certificate(_key)?) /etc/dr/host#\\1 /etc/dr/refused#"
    try:
        with nginx(script)(ground):
            yield
    finally:
        for each in hosts:
            _must(ground, each, "rm /etc/dr/refused.crt /etc/dr/refused.key")


@contextlib.contextmanager
def any_host_key(ground: Ground) -> Iterator[None]:
    """Our side takes whatever host key it is shown."""
    own = asker.Hosts._config

    def config(hosts: asker.Hosts) -> str:
        told = own(hosts)
        assert told.count("StrictHostKeyChecking yes") == 1
        return told.replace("StrictHostKeyChecking yes", "StrictHostKeyChecking no")

    asker.Hosts._config = config  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        asker.Hosts._config = own  # type: ignore[method-assign]


@contextlib.contextmanager
def promoted(ground: Ground) -> Iterator[None]:
    """The standby takes writes, as a promotion past the product leaves it; the product makes a standby of it again."""
    _must(ground, "db-1.b", "runuser -u postgres -- psql -X -q -c 'select pg_promote()'")
    try:
        yield
    finally:
        world = ground.world
        with ground.at(OPERATOR):
            world.configure("b", "repair", 1 + (world.whole("b").get("dr:repair") or 0))
            done = world.pulumi.up("b")
            assert done.ok, done.diagnostics
            wait_for("region b streams", lambda: world.status("b").get("streaming") is True, 60, 0.5)


# What these let through ends the service, so they come last.
LAST = ("roles", "cache: users")
# mechanism: what opens it, in this order; or why nothing can in a running lab
OPENINGS: dict[str, Opening | str] = {
    **{f"rules of {kind}": rules(kind) for kind in ("control", "db", "cache", "app")},
    "ways out by list": rules(),
    "the balancer's listeners": listeners,
    "nginx: TLS 1.2 and up": nginx(
        "s/^  ssl_protocols .*/  ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;/; s/^  ssl_ciphers .*/  ssl_ciphers ALL:@SECLEVEL=0;/"
    ),
    "nginx: names agree": nginx("s/ssl_verify_client on/ssl_verify_client off/; s/return 421;/set $wrong 1;/"),
    "nginx: no handshake for another name": nginx(
        "s#ssl_reject_handshake on;#ssl_certificate /etc/shop/tls.crt; ssl_certificate_key /etc/shop/tls.key;#"
    ),
    "nginx: the balancer alone": nginx("s/\\$balancer = 0/$balancer = 2/"),
    "nginx: deep health is inside": nginx("s#location \\^~ /health/#location ^~ /nowhere/#"),
    "nginx: what a client says of itself": nginx("s/proxy_set_header X-Forwarded-[^;]*;//"),
    "nginx: a certificate of the pair": nginx("s/ssl_verify_client on/ssl_verify_client off/"),
    "nginx: the balancer's header": nginx("s/^( *listen .*) proxy_protocol/\\1/"),
    "nginx: TLS alone": nginx(f"s/:{FORWARD} ssl;/:{FORWARD};/; s/ssl_verify_client on/ssl_verify_client off/"),
    "nginx: the monitor's path alone": nginx("s#return 404;#proxy_pass http://shop_local;#"),
    "agent: the counterpart's certificate": patched(
        (
            ("host/agent/peer.py", "verify_mode = ssl.CERT_REQUIRED", "verify_mode = ssl.CERT_NONE"),
            ("host/agent/peer.py", "if self._name not in names_of(stream.getpeercert()):", "if not self._name:"),
        )
    ),
    "agent: TLS 1.2 and up": patched(
        (
            (
                "host/agent/peer.py",
                "minimum_version = ssl.TLSVersion.TLSv1_2",
                "minimum_version = ssl.TLSVersion.TLSv1_1; context.set_ciphers('ALL:@SECLEVEL=0')",
            ),
        )
    ),
    "agent: one question alone": patched(
        (
            ("host/agent/peer.py", 'url.path != "/lease"', 'url.path == "/nothing"'),
            (
                "host/agent/peer.py",
                "if not epoch.isascii() or not epoch.isdigit() or len(epoch) > 9:",
                "epoch = '1'\n        if not epoch:",
            ),
        )
    ),
    "postgresql: TLS 1.2 and up": edited(
        ("db-1.a",),
        f"{CONF}/conf.d/dr.conf",
        "s/^ssl_min_protocol_version.*/ssl_min_protocol_version = 'TLSv1.1'\\nssl_ciphers = 'ALL:@SECLEVEL=0'/",
        RELOADED,
    ),
    "pg_hba.conf": hba,
    "postgresql: client certificates": certificates,
    "passwords": passwords,
    "the standby's role has no more than it needs": sql(
        "alter role dr_replication superuser;", "alter role dr_replication nosuperuser; drop table if exists refused;"
    ),
    "cache: TLS 1.2 and up": configured(
        "tls-protocols 'TLSv1.1 TLSv1.2 TLSv1.3' tls-ciphers 'ALL:@SECLEVEL=0'",
        "tls-protocols 'TLSv1.2 TLSv1.3' tls-ciphers ''",
    ),
    "cache: client certificates": configured("tls-auth-clients no", "tls-auth-clients yes"),
    "cache: TLS alone": configured("tls-port 0 port 6379", "port 0 tls-port 6379", plain=True),
    "storage: policies of users": outside.policies,
    "witness: keys by kind of host": outside.policies,
    "storage: what is archived is locked": outside.unlocked,
    "storage: signatures": outside.accounts(secret="wrong"),
    "storage: buckets of others": outside.accounts(role="admin"),
    "storage: nobody's policy": outside.accounts(role="admin"),
    "storage: conditions of a write": outside.front(
        lambda ground: ground.world.lab["s3"]["de"]["endpoint"], outside.Overwrites
    ),
    "OpenStack: passwords": outside.front(
        lambda ground: ground.world.config["dr:openstack"]["auth_url"], outside.SignsIn
    ),
    "OpenStack: tokens": outside.tokens,
    "OVHcloud: signatures": outside.front(lambda ground: ground.world.config["dr:ovh"]["endpoint"], outside.Signs),
    "OVHcloud: rules of the consumer key": outside.granted,
    "name servers: their own zones, by their owner": outside.name_server,
    "regions are no network of each other": outside.routed(rules("db", "app", "control", "cache")),
    "hosts have no public address": outside.routed(rules("db", "app", "control", "cache")),
    **{f"rules of {kind} for IPv6": rules_ipv6(f"{kind}-1.a") for kind in ("db", "cache")},
    "the asker: names are verified": other_name,
    "the asker: host keys are pinned": any_host_key,
    "sshd: the operators' key": authorized,
    "sshd: CAs that hosts are told of": told("/etc/ssh/dr-user-ca.pub", lambda ground: _public(ground.stranger_ca)),
    "sshd: one principal": told("/etc/ssh/dr-principals/root", lambda _: "root"),
    "sshd: a certificate's own times": "sshd's own, which no word of its configuration opens",
    "sshd: a certificate is root's": "twice: no other user may come in, and none has a principal; the first is opened above",
    "sshd: root alone": others,
    "sshd: keys alone": sshd("PasswordAuthentication yes", "AuthenticationMethods any"),
    "sshd: ways that nobody uses": sshd(
        "AllowAgentForwarding yes",
        "AllowStreamLocalForwarding yes",
        "X11Forwarding yes",
        "PermitTunnel yes",
        "PermitUserEnvironment yes",
    ),
    "the metadata service is root's": metadata,
    "owners and modes of files": modes,
    "users of their own": privileged,
    "root alone leads": given(
        "db-1.a", "chmod u+s $(readlink -f /usr/bin/python3)", "chmod u-s $(readlink -f /usr/bin/python3)"
    ),
    "archive: the primary alone": patched(
        (("host/archive/push.py", "if role is None or role.role != PRIMARY:", "if role is None:"),), "db-1.b", "true"
    ),
    "documents are whole": patched(
        (
            (
                "contract/fields.py",
                '    if faults:\n        text = "; ".join(f',
                '    if faults and not faults:\n        text = "; ".join(f',
            ),
            ("host/frame/desired.py", "if key not in self.hosts:", "if key in self.hosts:"),
        ),
        after="true",
    ),
    "one master": configured("replica-read-only no", "replica-read-only yes", host="cache-1.b"),
    "the configuration is looked at first": outside.program(
        Change("components/config.py", "    _same_site(settings.site, get_stack())\n", "    get_stack()\n"),
        Change("contract/sites.py", "A_SITE = one_of(*SITES)", 'A_SITE = one_of(*SITES, "c")'),
        Change("scripts/links/epochs.py", "        if value not in SITES:", "        if not value:"),
        Change("components/rules.py", "if plain_http(url) and not settings.lab:", "if not url:"),
        Change("scripts/links/words.py", "        if word.epoch > epoch:", "        if word.epoch > epoch + 99:"),
    ),
    "the active site is not destroyed": outside.program(
        Change(
            "scripts/links/keeper.py",
            "    if newest is not None and newest.active == told.site:",
            "    if newest is not None:\n        raise Refused('the keeper would let it go')\n    if newest is not None and newest.active == told.site:",
        ),
    ),
    "one writer": promoted,
    "roles": sql(
        "alter role shop superuser; alter role shop_owner superuser;",
        "alter role shop nosuperuser; alter role shop_owner nosuperuser;",
    ),
    "cache: users": cache_users,
    "OpenStack users by region": "there is none yet: the one user is let in in both regions, which `open` of its row says, and a test wants it so",
}

# Mechanisms that nothing in a running lab opens, each with its reason above: what sshd decides whatever its files say, and what is closed twice.
CANNOT_BE_OPENED = {"sshd: a certificate's own times", "sshd: a certificate is root's"}
