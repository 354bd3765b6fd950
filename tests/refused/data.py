"""What the database and the cache do for whom: who gets in, and what who is in may say."""

from __future__ import annotations

import ssl

from tests.refused.ground import Ground
from tests.refused.network import POSTGRES, REDIS
from tests.refused.probes import POSTGRES_TLS, context, redis, sql, tls
from tests.refused.row import Allowed, Call, Row

HBA, DENIED = ("hba",), ("sql 42501",)
NOPERM = ("NOPERM",)
UNKNOWN_CA = "alert unknown ca"
ANOTHER = "password"  # the server has one word for whatever of a role is not proven
REPLICATION = "dr_replication"


def shop(
    statement: str = "select 1",
    *,
    source: str = "app-1.a",
    site: str = "a",
    user: str = "shop",
    password: str | None = None,
    shows: str | None = None,
    **more: str,
) -> Call:
    """As the shop's role, from one of its hosts, unless told otherwise. `shows`: another certificate than the role's, empty for none."""

    def call(ground: Ground) -> str:
        own = ground.secrets["postgres"]["app"] if password is None else password
        role = user if user in ground.secrets["tls"]["database"]["clients"] else "shop"
        pair = ground.certificate(f"database {role}" if shows is None else shows)
        with ground.at(source):
            return sql(ground.database(user, own, site, pair, **more), statement)

    return call


def replica(
    statement: str = "select 1", *, source: str = "db-1.b", shows: str = f"database {REPLICATION}", **more: str
) -> Call:
    """As the standby's role."""

    def call(ground: Ground) -> str:
        own, pair = ground.secrets["postgres"]["replication"], ground.certificate(shows)
        with ground.at(source):
            return sql(
                ground.database(REPLICATION, own, "a", pair, **{"dbname": "postgres", **more}),
                statement,
            )

    return call


def outdated(host: str, port: int, before: bytes, shows: str) -> Call:
    """TLS 1.1."""

    def call(ground: Ground) -> str:
        made = context(None, ground.certificate(shows), ssl.TLSVersion.TLSv1_1)
        with ground.at("app-1.a"):
            return tls(ground.vrack(host), port, host, made=made, before=before)

    return call


def cache(
    *commands: tuple[str, ...],
    user: str = "app",
    source: str = "app-1.a",
    host: str = "cache-1.a",
    password: str | None = None,
    shows: str | None = None,
) -> Call:
    """`user`: whose password, `app`, `replica` or `operator`; empty: nobody signs in. `shows`: another certificate than that of who is there, empty for
    none.
    """
    names = {"app": "shop", "replica": "dr_replica", "operator": "dr_operator"}
    whose = "app" if user.startswith("shop_worker") else user

    def call(ground: Ground) -> str:
        own = ground.secrets["redis"].get(whose, "") if password is None else password
        signed = [("AUTH", names.get(user, user), own)] if user else []
        there = "shop" if source.startswith("app") else source
        made = ground.trusted(ground.certificate(f"cache {there}" if shows is None else shows))
        with ground.at(source):
            return redis(ground.vrack(host), REDIS, made, *signed, *commands)

    return call


def without_tls(ground: Ground) -> str:
    with ground.at("app-1.a"):
        return redis(ground.vrack("cache-1.a"), REDIS, None, ("PING",))


IN = [
    Row(who="app-1.a", what="database without TLS", wanted=HBA, call=shop(sslmode="disable"), closed_by="pg_hba.conf"),
    Row(
        who="app-1.a",
        what="database `postgres` as the shop",
        wanted=HBA,
        call=shop(dbname="postgres"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="app-1.a",
        what="database `template1` as the shop",
        wanted=HBA,
        call=shop(dbname="template1"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="app-1.a",
        what="replication as the shop",
        wanted=HBA,
        call=shop(replication="true"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="app-1.a",
        what="logical replication as the shop",
        wanted=(*HBA, "sql 42501", "permission"),
        call=shop("identify_system", replication="database"),
        closed_by="roles",
    ),
    Row(
        who="app-1.a",
        what="database as the superuser",
        wanted=HBA,
        call=shop(user="postgres", password="postgres"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="app-1.a",
        what="database as the owner role",
        wanted=(*HBA, "no login"),
        call=shop(user="shop_owner"),
        closed_by="pg_hba.conf",
    ),
    Row(who="app-1.a", what="database as nobody known", wanted=HBA, call=shop(user="admin"), closed_by="pg_hba.conf"),
    Row(
        who="app-1.a",
        what="database with a wrong password",
        wanted=("password",),
        call=shop(password="wrong"),
        closed_by="passwords",
    ),
    Row(
        who="app-1.a",
        what="database as the standby's role",
        wanted=HBA,
        call=replica(source="app-1.a"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="app-1.a",
        what="replication as the standby's role",
        wanted=HBA,
        call=replica(source="app-1.a", replication="true"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="db-1.b",
        what="database as the shop",
        wanted=HBA,
        call=shop(source="db-1.b"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="app-1.b",
        what="database of a as a worker of b",
        wanted=HBA,
        call=shop(source="app-1.b", user="shop_worker"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="db-1.b",
        what="the shop's database as the standby's role",
        wanted=HBA,
        call=replica(dbname="shop"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="db-1.b",
        what="database as the superuser",
        wanted=HBA,
        call=shop(source="db-1.b", user="postgres"),
        closed_by="pg_hba.conf",
    ),
    Row(
        who="app-1.a",
        what="database by TLS 1.1",
        wanted=("alert protocol version",),
        call=outdated("db-1.a", POSTGRES, POSTGRES_TLS, "database shop"),
        closed_by="postgresql: TLS 1.2 and up",
    ),
    *(
        Row(
            who="app-1.a",
            what=f"database as the shop {what}",
            wanted=(answer,),
            call=shop(shows=shows),
            closed_by="postgresql: client certificates",
        )
        for shows, what, answer in (
            ("", "without a certificate", "certificate"),
            ("database shop_worker", "with the workers' certificate", ANOTHER),
            (f"database {REPLICATION}", "with the standby's certificate", ANOTHER),
            ("app-1.a", "with the host's certificate", UNKNOWN_CA),
            ("cache shop", "with the certificate for the caches", UNKNOWN_CA),
            ("public", "with the public name's certificate", UNKNOWN_CA),
            ("stranger", "with another CA's", UNKNOWN_CA),
        )
    ),
    Row(
        who="app-1.a",
        what="database as a worker with the shop's certificate",
        wanted=(ANOTHER,),
        call=shop(user="shop_worker", shows="database shop"),
        closed_by="postgresql: client certificates",
    ),
    *(
        Row(
            who="db-1.b",
            what=f"database `postgres` as the standby's role {what}",
            wanted=(answer,),
            call=replica(shows=shows),
            closed_by="postgresql: client certificates",
        )
        for shows, what, answer in (
            ("", "without a certificate", "certificate"),
            ("database shop", "with the shop's certificate", ANOTHER),
            ("db-1.b", "with the host's certificate", UNKNOWN_CA),
        )
    ),
]
STATEMENTS = (
    "alter system set log_statement = 'all'",
    "alter system reset all",
    "copy (select 1) to program 'id'",
    "copy (select 1) to '/tmp/refused'",
    "create temporary table refused (line text); copy refused from '/etc/passwd'",
    "create temporary table refused (line text); copy refused from program 'id'",
    "select pg_read_file('/etc/passwd')",
    "select pg_read_binary_file('PG_VERSION')",
    "select pg_ls_dir('.')",
    "select lo_import('/etc/passwd')",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_switch_wal()",
    "select pg_create_physical_replication_slot('refused')",
    "select pg_drop_replication_slot('dr_standby')",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'dr_replication'",
    "select * from pg_authid",
    "select * from pg_hba_file_rules",
    "select * from pg_file_settings",
    "set role dr_replication",
    "set role postgres",
    "set session authorization postgres",
    "set session_replication_role = replica",
    "create role refused superuser",
    "alter role shop superuser",
    "alter role postgres password 'refused'",
    "create database refused",
    "drop database shop",
    "alter database shop set search_path = public",
    "alter database shop owner to shop",
    "create extension file_fdw",
    "create extension dblink",
    "create function refused() returns int language c as 'refused', 'refused'",
    "create subscription refused connection 'host=192.0.2.1 connect_timeout=3' publication refused",
    "create event trigger refused on ddl_command_start execute function suppress_redundant_updates_trigger()",
    "create function pg_catalog.refused() returns int language sql as 'select 1'",
)
SQL = [
    *(
        Row(who="the shop's role", what=f"SQL: {statement}", wanted=DENIED, call=shop(statement), closed_by="roles")
        for statement in STATEMENTS
    ),
    Row(
        who="the shop's role",
        what="writing at the standby",
        wanted=("sql 25006",),
        call=shop("create table refused (id int)", site="b"),
        closed_by="one writer",
    ),
    *(
        Row(
            who="the standby's role",
            what=f"SQL: {statement}",
            wanted=DENIED,
            call=replica(statement),
            closed_by="the standby's role has no more than it needs",
        )
        for statement in (
            "create table refused (id int)",
            "alter system reset all",
            "copy (select 1) to program 'id'",
            "create role refused",
        )
    ),
]
COMMANDS = (
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "dir", "/tmp"),
    ("CONFIG", "REWRITE"),
    ("REPLICAOF", "NO", "ONE"),
    ("SLAVEOF", "NO", "ONE"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "shop", "+@all"),
    ("ACL", "LOAD"),
    ("KEYS", "*"),
    ("MONITOR",),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("CLIENT", "LIST"),
    ("CLIENT", "PAUSE", "1"),
    ("MIGRATE", "192.0.2.1", "6379", "key", "0", "1"),
    ("SAVE",),
    ("BGSAVE",),
    ("BGREWRITEAOF",),
    ("EVAL", "return 1", "0"),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "LOAD", "#!lua name=refused\n"),
    ("FUNCTION", "LIST"),
    ("MODULE", "LIST"),
    ("SWAPDB", "0", "1"),
    ("PSYNC", "?", "-1"),
    ("REPLCONF", "listening-port", "1"),
    ("SLOWLOG", "GET"),
    ("LATENCY", "RESET"),
    ("CLUSTER", "INFO"),
    ("FAILOVER",),
    ("PUBLISH", "__sentinel__:hello", "refused"),
    ("SUBSCRIBE", "__sentinel__:hello"),
    ("PSUBSCRIBE", "*"),
    ("RESTORE", "key", "0", "x"),
    ("SORT", "cart:x", "BY", "y"),
)
CACHE = [
    Row(
        who="app-1.a",
        what="cache without a password",
        wanted=("NOAUTH",),
        call=cache(("PING",), user=""),
        closed_by="cache: users",
    ),
    Row(
        who="app-1.a",
        what="cache as the default user",
        wanted=("WRONGPASS",),
        call=cache(user="default", password="x"),
        closed_by="cache: users",
    ),
    Row(
        who="app-1.a",
        what="cache with a wrong password",
        wanted=("WRONGPASS",),
        call=cache(password="wrong"),
        closed_by="cache: users",
    ),
    Row(who="app-1.a", what="cache without TLS", wanted=("closed",), call=without_tls, closed_by="cache: TLS alone"),
    Row(
        who="app-1.a",
        what="cache by TLS 1.1",
        wanted=("alert protocol version",),
        call=outdated("cache-1.a", REDIS, b"", "cache shop"),
        closed_by="cache: TLS 1.2 and up",
    ),
    *(
        Row(
            who="the shop's cache user",
            what=" ".join(words).strip(),
            wanted=NOPERM,
            call=cache(words),
            closed_by="cache: users",
        )
        for words in COMMANDS
    ),
    Row(
        who="the shop's cache user",
        what="writing at the standby",
        wanted=("READONLY",),
        call=cache(("SET", "refused", "1"), host="cache-1.b"),
        closed_by="one master",
    ),
    *(
        Row(
            who=f"the cache user of {whose}",
            what=" ".join(words),
            wanted=NOPERM,
            call=cache(words, user=user, source="cache-1.a" if user == "operator" else "cache-1.b"),
            closed_by="cache: users",
        )
        for user, whose, words in (
            ("operator", "operators", ("GET", "refused")),
            ("operator", "operators", ("SET", "refused", "1")),
            ("operator", "operators", ("KEYS", "*")),
            ("operator", "operators", ("EVAL", "return 1", "0")),
            ("operator", "operators", ("MODULE", "LIST")),
            ("replica", "replicas", ("GET", "refused")),
            ("replica", "replicas", ("SET", "refused", "1")),
            ("replica", "replicas", ("CONFIG", "GET", "*")),
            ("replica", "replicas", ("REPLICAOF", "NO", "ONE")),
        )
    ),
    *(
        Row(
            who="app-1.a",
            what=f"cache of a as the workers of {site}",
            wanted=("WRONGPASS",),
            call=cache(user=f"shop_worker_{site}", password=password),
            closed_by="cache: users",
        )
        for site, password in (("b", None), ("a", "wrong"))
    ),
    *(
        Row(
            who=source,
            what=f"cache {what}",
            wanted=(answer,),
            call=cache(user="", source=source, shows=shows),
            closed_by="cache: client certificates",
        )
        for source in ("app-1.a", "cache-1.b")
        for what, shows, answer in (
            ("without a certificate", "", "alert certificate required"),
            ("with the host's certificate", source, UNKNOWN_CA),
            ("with the certificate for the database", "database shop", UNKNOWN_CA),
            ("with the public name's certificate", "public", UNKNOWN_CA),
            ("with another CA's", "stranger", UNKNOWN_CA),
        )
    ),
    # The last, for when it is let through.
    Row(
        who="the shop's cache user",
        what="SHUTDOWN NOSAVE",
        wanted=NOPERM,
        call=cache(("SHUTDOWN", "NOSAVE")),
        closed_by="cache: users",
    ),
]
ROWS = [*IN, *SQL, *CACHE]
ALLOWED = [
    Allowed(who="app-1.a", what="database as the shop", answer="ok", call=shop("select count(*) from orders")),
    Allowed(who="app-1.a", what="database as a worker", answer="ok", call=shop(user="shop_worker")),
    Allowed(
        who="the shop's role",
        what="a table of its own",
        answer="ok",
        call=shop("create temporary table refused (id int)"),
    ),
    Allowed(who="db-1.b", what="database `postgres` as the standby's role", answer="ok", call=replica()),
    Allowed(
        who="app-1.a",
        what="cache as the shop",
        answer="ok",
        call=cache(("SET", "refused", "1"), ("GET", "refused"), ("DEL", "refused"), ("PUBLISH", "shop", "1")),
    ),
    Allowed(who="app-1.a", what="cache as the workers of a", answer="ok", call=cache(("PING",), user="shop_worker_a")),
    Allowed(
        who="operators' user", what="INFO", answer="ok", call=cache(("INFO",), user="operator", source="cache-1.a")
    ),
]
