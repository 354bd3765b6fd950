"""A real database and whoever comes to its door; then those who may come in, and what they may not do there. All of them know every password."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from contract.services.postgres import APP_ROLE, REPLICATION_ROLE, WORKER_ROLE
from lab.pairs.loopback import seen_from
from lab.pairs.postgres import Node, Pair
from scripts.ctl.stacks.secrets import CLIENT, SERVER, Authority
from scripts.host.postgres.layout import OWNER_ROLE, SLOT
from scripts.host.postgres.text import conninfo

ROLES = (APP_ROLE, WORKER_ROLE, REPLICATION_ROLE)
HOSTS = {"app-1": "127.0.0.41", "control-1": "127.0.0.31", "cache-1": "127.0.0.21", "db-1": "127.0.0.1"}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Pair() as made:
        app = [f"{HOSTS['app-1']}/32"]
        for each in (made.a, made.b):
            each.converge(1, "a", app_clients=app, worker_clients=app)
        made.a.sql("create table orders (id int)", "shop")
        made.a.sql(f"alter table orders owner to {OWNER_ROLE}", "shop")
        AUTHORITY[made.folder] = made.authority
        yield made.a


AUTHORITY: dict[Any, Authority] = {}  # of the clients, by the pair's folder


def home(role: str) -> dict[str, str]:
    """Where a role comes from, and which database it asks for."""
    if role == REPLICATION_ROLE:
        return {"host": "db-1", "dbname": "postgres"}
    return {"host": "app-1", "dbname": "shop"}


def ask(node: Node, role: str, script: str = "select 'in'", **changes: str | None) -> subprocess.CompletedProcess[str]:
    """As `role` from its own host with all that it has; `changes`: libpq's parameters, None takes one out, `host` is a name of `HOSTS`."""
    told: dict[str, Any] = {
        **home(role),
        "user": role,
        "sslmode": "verify-ca",
        "sslrootcert": str(node.layout.papers.ca),
    }
    told |= node.shown(role) if role in node.clients else {}
    told |= changes
    host = HOSTS[told.pop("host")]
    port = node.ports[node.site]
    way = seen_from(host, port) if host != "127.0.0.1" else nullcontext(port)
    password = node.passwords["replication" if role == REPLICATION_ROLE else "app"]
    with way as where:
        target = conninfo({name: value for name, value in told.items() if value is not None})
        argv = [node.layout.program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d"]
        return subprocess.run(
            [*argv, f"{target} hostaddr=127.0.0.1 port={where}"], input=script, capture_output=True, text=True, check=False,
            env={**os.environ, "PGPASSWORD": told.pop("password", password), "LC_ALL": "C"}, timeout=30,
        )  # fmt: skip


def paper(node: Node, name: str, pair: Mapping[str, str]) -> dict[str, str]:
    node.clients[name] = pair
    return node.shown(name)


@pytest.mark.parametrize("role", ROLES)
def test_with_a_certificate_of_its_own_each_comes_in_where_it_works(node: Node, role: str) -> None:
    done = ask(node, role)
    assert done.stdout == "in\n", done.stderr


WANTS = "connection requires a valid client certificate"


@pytest.mark.parametrize("role", ROLES)
def test_without_a_certificate_of_its_own_no_password_opens_anything(node: Node, role: str) -> None:
    other = WORKER_ROLE if role == APP_ROLE else APP_ROLE
    foreign = Authority("clients")
    shown = {
        "none": ({"sslcert": "/nowhere", "sslkey": "/nowhere"}, WANTS),
        "of a foreign CA": (paper(node, "foreign", foreign.issue([role], purposes=(CLIENT,))), "unknown ca"),
        "of a host": (paper(node, "host", {name: node.tls[name] for name in ("cert", "key")}), "unknown ca"),
        "of another role": (node.shown(other), "authentication failed for user"),
        "for servers": (
            paper(node, "serving", AUTHORITY[node.root.parent].issue([role], purposes=(SERVER,))),
            "certificate",
        ),
        "that has ended": (
            paper(node, "ended", AUTHORITY[node.root.parent].issue([role], days=0, purposes=(CLIENT,))),
            "expired",
        ),
    }
    for name, (changes, said) in shown.items():
        done = ask(node, role, **changes)
        assert done.returncode != 0 and said in done.stderr, (name, done.stderr)


def test_a_certificate_opens_nothing_without_the_password(node: Node) -> None:
    for role in ROLES:
        done = ask(node, role, password="wrong")
        assert "password authentication failed" in done.stderr


NO_RULE = "pg_hba.conf rejects"


@pytest.mark.parametrize(
    ("role", "changes", "said"),
    [
        *((role, {"sslmode": "disable"}, NO_RULE) for role in ROLES),
        *((APP_ROLE, {"host": host}, NO_RULE) for host in ("control-1", "cache-1", "db-1")),
        *((WORKER_ROLE, {"host": host}, NO_RULE) for host in ("control-1", "cache-1", "db-1")),
        *((REPLICATION_ROLE, {"host": host}, NO_RULE) for host in ("control-1", "cache-1", "app-1")),
        *((role, {"dbname": name}, NO_RULE) for role in (APP_ROLE, WORKER_ROLE) for name in ("postgres", "template1")),
        *((role, {"replication": "true"}, NO_RULE) for role in (APP_ROLE, WORKER_ROLE)),
        # By the rule for its own database: there it is the role's rights that keep it out.
        *((role, {"replication": "database"}, "start") for role in (APP_ROLE, WORKER_ROLE)),
        *((REPLICATION_ROLE, {"dbname": name}, NO_RULE) for name in ("shop", "template1")),
        *(("postgres", {"host": host}, NO_RULE) for host in HOSTS),
        *((OWNER_ROLE, {"host": host}, NO_RULE) for host in HOSTS),
    ],
)
def test_nobody_comes_in_from_elsewhere_to_elsewhere_or_as_somebody_else(
    node: Node, role: str, changes: dict[str, str], said: str
) -> None:
    if role not in node.clients:
        changes = {**paper(node, role, AUTHORITY[node.root.parent].issue([role], purposes=(CLIENT,))), **changes}
    done = ask(node, role, **changes)
    assert done.returncode != 0 and said in done.stderr, done.stderr


def test_nobody_speaks_an_old_version_of_tls(node: Node) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    shown = node.shown(APP_ROLE)
    context.load_cert_chain(shown["sslcert"], shown["sslkey"])
    for version, taken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, version
        with socket.create_connection(("127.0.0.1", node.ports[node.site]), 5) as plain:
            plain.sendall(struct.pack("!ii", 8, 80877103))  # asks for TLS
            assert plain.recv(1) == b"S"
            if taken:
                context.wrap_socket(plain)
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    context.wrap_socket(plain)


# -- inside

NEVER = (
    "alter system set work_mem = '5MB'", "copy (select 1) to program 'id'", "copy orders from program 'echo 1'", "copy (select 1) to '/tmp/x'",
    "copy orders from '/etc/passwd'", f"set role {REPLICATION_ROLE}", "set role postgres", "set session authorization postgres",
    "set role pg_read_server_files", "set role pg_execute_server_program", "select pg_read_file('/etc/passwd')",
    "select pg_read_binary_file('PG_VERSION')", "select pg_stat_file('PG_VERSION')", "select pg_ls_dir('.')", "select lo_import('/etc/passwd')",
    "select pg_ls_waldir()", "create extension file_fdw", "create extension dblink", "load '/tmp/x.so'", "create role x", "create database x",
    "alter role shop superuser", "alter role shop_worker createrole", f"alter role {REPLICATION_ROLE} password 'x'", f"alter role {OWNER_ROLE} login",
    f"grant {REPLICATION_ROLE} to shop", "grant pg_read_server_files to shop", "drop database shop", "alter database shop set search_path = evil",
    "alter database shop owner to shop", "alter database shop connection limit -1", "select pg_reload_conf()", "select pg_rotate_logfile()",
    "select pg_promote()", f"select pg_drop_replication_slot('{SLOT}')", "select pg_create_physical_replication_slot('x')", "select pg_switch_wal()",
    "select pg_create_restore_point('x')", "checkpoint", "select rolpassword from pg_authid", "select * from pg_hba_file_rules", "select pg_wal_replay_pause()",
    "select * from pg_file_settings", "set session_replication_role = replica", "create event trigger x on ddl_command_start execute function f()",
    "create function c() returns int language c as '/tmp/x', 'f'",
    "create subscription s connection 'host=127.0.0.1' publication p", "create tablespace x location '/tmp'",
    "select pg_terminate_backend(pid) from pg_stat_replication", "select pg_log_backend_memory_contexts(1)", "set log_statement = 'none'",
)  # fmt: skip
# In the database `postgres`, where it comes for the sake of pg_rewind: it may read files of the server there, and work with slots.
_ITS_OWN = (
    *(
        "orders",
        "pg_read_binary_file",
        "pg_stat_file",
        "pg_ls_",
        "pg_read_server_files",
        "pg_hba_file_rules",
        "pg_file_settings",
        "replication_slot",
    ),
    *(REPLICATION_ROLE, "pg_stat_replication"),
)
READERS_NEVER = (
    *(words for words in NEVER if not any(own in words for own in _ITS_OWN)),
    f"alter role {REPLICATION_ROLE} superuser", f"alter role {REPLICATION_ROLE} bypassrls", "create table x (a int)", "create schema x",
    "set role shop", f"set role {OWNER_ROLE}", "set role pg_write_server_files", "set role pg_read_server_files",
    "insert into pg_database select * from pg_database",
    "update pg_database set datconnlimit = 0", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'",
)  # fmt: skip


# In the words of the versions that there are.
REFUSALS = (
    "permission denied",
    "permission to",
    "must be",
    "must have",
    "Only superusers",
    "Only roles with",
    "not allowed",
)


def done_all_the_same(node: Node, role: str, never: Sequence[str]) -> dict[str, str]:
    """Of these statements those that were done, or that failed for want of anything but rights, and what was said."""
    script = "\\set ON_ERROR_STOP off\n" + "".join(f"\\warn #\n{words};\n" for words in never)
    said = ask(node, role, script).stderr.split("#\n")[1:]
    assert len(said) == len(never), said
    return {words: text for words, text in zip(never, said, strict=True) if not any(it in text for it in REFUSALS)}


@pytest.mark.parametrize("role", [APP_ROLE, WORKER_ROLE])
def test_the_shops_roles_have_power_over_their_data_alone(node: Node, role: str) -> None:
    assert done_all_the_same(node, role, NEVER) == {}
    assert ask(node, role, "insert into orders values (1); delete from orders").stderr == ""


def test_the_standbys_role_reads_and_writes_nothing(node: Node) -> None:
    assert done_all_the_same(node, REPLICATION_ROLE, READERS_NEVER) == {}
    done = ask(node, REPLICATION_ROLE, "insert into orders values (1)", dbname="shop")
    assert NO_RULE in done.stderr, "it has no way to the shop's rows"
