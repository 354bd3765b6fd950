"""Real servers whose shop is hostile: whatever its role plants, nothing of it runs as a superuser when this software works there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import Failed
from lab.pairs.postgres import Node, Pair, caught_up, newest_version
from scripts.host.agent.postgres import PostgresFacts
from scripts.host.frame.log import Log
from scripts.host.frame.wait import until
from scripts.host.postgres.status import live_status

# What a planted function does with whatever rights it is run: it notes them, and takes what it can get.
PLANTED = """create table ran (who text, super boolean);
grant all on ran to public;
create function public.{name} returns {type} language plpgsql as $$ begin
  insert into public.ran select current_user, rolsuper from pg_catalog.pg_roles where rolname = current_user;
  begin execute 'alter role shop superuser'; exception when others then null; end;
  return {value}; end $$;"""
# As scripts of many extensions are: names without their schema, where another function fits better than the server's own.
CARELESS = """create table careless_words (word text);
insert into careless_words select lower('A'::varchar(8));
"""


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """An installation that has two extensions more than the machine's own: a careless one, and one that needs another."""
    root, version = Path(tempfile.mkdtemp(prefix="drpgi")), newest_version()
    root.chmod(0o755)
    real = Path(f"/usr/lib/postgresql/{version}")
    place, share = root / f"lib/postgresql/{version}", root / f"share/postgresql/{version}"
    shutil.copytree(real / "bin", place / "bin")
    (place / "lib").symlink_to(real / "lib")
    share.mkdir(parents=True)
    for path in Path(f"/usr/share/postgresql/{version}").iterdir():
        if path.name != "extension":
            (share / path.name).symlink_to(path)
    extensions = shutil.copytree(f"/usr/share/postgresql/{version}/extension", share / "extension")
    for name, more in {
        "careless": "relocatable = true",
        "needy": "relocatable = true\nrequires = 'citext'",
        "fixed": "relocatable = false",
        "placed": "relocatable = false\nschema = placed",
    }.items():
        (extensions / f"{name}.control").write_text(f"default_version = '1'\n{more}\n")
        (extensions / f"{name}--1.sql").write_text(CARELESS.replace("careless", name))
    yield place / "bin"
    shutil.rmtree(root)


@pytest.fixture
def pair(programs: Path) -> Iterator[Pair]:
    with Pair(programs=programs) as made:
        made.a.converge(1, "a")
        yield made


def as_shop(node: Node, script: str) -> subprocess.CompletedProcess[str]:
    """What the shop's own password is good for; each statement for itself."""
    client = node.root / "shop.pgpass"
    client.touch(0o600)
    escaped = node.passwords["app"].replace("\\", "\\\\").replace(":", "\\:")
    client.write_text(f"127.0.0.1:*:*:*:{escaped}\n")
    target = f"host=127.0.0.1 port={node.ports[node.site]} user=shop dbname=shop sslmode=require passfile={client}"
    target += "".join(f" {name}={path}" for name, path in node.shown("shop").items())
    argv = [node.layout.program("psql"), "-XAtq", "-d", target]
    return subprocess.run(argv, input=script, capture_output=True, text=True, check=False)


def plant(node: Node, name: str = "lower(varchar)", type_: str = "text", value: str = "'a'") -> None:
    done = as_shop(node, PLANTED.format(name=name, type=type_, value=value))
    assert done.stderr == "", done.stderr


def unharmed(node: Node) -> None:
    assert node.sql("select rolname from pg_roles where rolsuper") == "postgres"
    assert node.sql("select count(*) from ran where super", "shop") == "0"


def as_before(node: Node) -> None:
    """As it was before there was an owner without a login: one role is all, the database's owner, too."""
    node.sql("drop role shop; alter role shop_owner rename to shop")
    node.sql("alter role shop login password 'x'; alter database shop owner to shop")
    node.sql("alter schema public owner to pg_database_owner; revoke all on database shop from shop", "shop")


@pytest.mark.parametrize("name", ["careless", "fixed", "placed"])
def test_an_extensions_script_finds_nothing_of_the_shops(pair: Pair, name: str) -> None:
    a = pair.a
    plant(a)
    assert f"extension {name}" in a.converge(1, "a", extensions=[name]).actions
    unharmed(a)
    assert a.converge(1, "a", extensions=[name]).changed is False


def test_what_an_extension_needs_lies_where_the_shop_plants_nothing(pair: Pair) -> None:
    a = pair.a
    a.converge(1, "a", extensions=["citext"])
    plant(a)
    assert "extension needy" in a.converge(1, "a", extensions=["citext", "needy"]).actions
    unharmed(a)
    where = "select nspname from pg_extension e join pg_namespace n on n.oid = extnamespace where extname = 'citext'"
    assert a.sql(where, "shop") == "public", "it is back where the shop looks for it"


def test_what_an_extension_needs_is_not_taken_from_the_shop(pair: Pair) -> None:
    """Who has made an extension may add to it, and what was added moves with it."""
    a = pair.a
    assert as_shop(a, "create extension citext schema public").stderr == ""
    plant(a)
    assert as_shop(a, "alter extension citext add function public.lower(varchar)").stderr == ""
    with pytest.raises(Failed, match="extension citext: found it made by shop_owner, wanted a superuser"):
        a.converge(1, "a", extensions=["needy"])
    unharmed(a)


@pytest.mark.parametrize(("name", "schema"), [("careless", "dr_extensions"), ("placed", "placed")])
def test_a_schema_that_was_planted_is_refused(pair: Pair, name: str, schema: str) -> None:
    a = pair.a
    assert as_shop(a, f"create schema {schema}; create table public.ran (who text, super boolean)").stderr == ""
    with pytest.raises(Failed, match=f"schema {schema}: found it owned by shop_owner"):
        a.converge(1, "a", extensions=[name])
    unharmed(a)
    assert a.sql(f"select count(*) from pg_extension where extname = '{name}'", "shop") == "0"


# Each is tried with the rights of the shop's password; many are refused, and none may matter.
EVERYWHERE = """
alter database shop set search_path to evil, pg_catalog; alter role shop set search_path to evil, pg_catalog;
alter role shop in database shop set search_path to evil, pg_catalog;
alter database shop set role to shop; alter database shop set session_authorization to shop;
alter database shop set session_preload_libraries to '/tmp/evil'; alter database shop set local_preload_libraries to 'evil';
alter database shop set default_transaction_read_only to on; alter database shop set statement_timeout to 1;
alter role postgres set search_path to evil; alter system set archive_command to 'touch /tmp/evil';
alter database shop owner to shop; alter database shop allow_connections false; drop database shop;
set session_replication_role to replica; set role postgres; set session authorization postgres; set role dr_replication;
alter role shop superuser; alter role shop createrole; alter role shop_owner login; create role another;
grant pg_execute_server_program to shop; grant dr_replication to shop; alter role dr_replication password 'x';
copy (select 1) to program 'touch /tmp/evil'; copy (select 1) to '/tmp/evil'; select pg_read_file('/etc/passwd');
create function evil.low() returns int language c as '/tmp/evil.so';
create event trigger evil on ddl_command_end execute function evil.trap();
update pg_catalog.pg_authid set rolsuper = true; set allow_system_table_mods to on;
"""
PLANTED_EVERYWHERE = """create schema evil;
create function evil.trap() returns event_trigger language plpgsql as 'begin perform public.spring(); end';
create function evil.row() returns trigger language plpgsql as 'begin perform public.spring(); return new; end';
create function evil.same(int, int) returns boolean language plpgsql as 'begin perform public.spring(); return true; end';
create operator evil.= (leftarg = int, rightarg = int, function = evil.same);
create function evil.count() returns bigint language sql as 'select public.spring()::bigint';
create function evil.to_json(boolean) returns json language sql as 'select to_json(public.spring() = 1)';
create function evil.format(text, text) returns text language sql as 'select public.spring()::text';
create table orders (id int);
create index on orders (public.spring(id));
create view counted as select public.spring() as id;
alter table orders enable row level security;
create policy seen on orders using (public.spring() = 1);
alter table orders force row level security;
create trigger sprung before insert on orders for each row execute function evil.row();
insert into orders values (1);
"""


def test_nothing_that_is_planted_runs_as_a_superuser_whatever_verb_is_called(pair: Pair) -> None:
    a, b = pair.a, pair.b
    plant(a, "spring()", "int", "1")
    wrapped = "create function public.spring(int) returns int immutable language sql as 'select 1'"
    assert as_shop(a, f"{wrapped};{PLANTED_EVERYWHERE}").stderr == ""
    before = as_shop(a, "select count(*) from public.ran").stdout
    assert before.strip() != "0", "the trap springs, for its own role"
    as_shop(a, EVERYWHERE)
    b.converge(1, "a")
    caught_up(a, b)
    a.converge(
        1,
        "a",
        extensions=["careless"],
        parameters={"shared_buffers": "16MB", "max_connections": "20", "work_mem": "5MB"},
    )
    assert live_status(a.layout.base, a.server)["in_recovery"] is False
    assert PostgresFacts(a.layout.base, Log(a.log, "agent run"), a.layout).read()["in_recovery"] is False
    a.kill()
    b.converge(2, "b", previous="a")
    a.server.start()
    as_shop(a, "insert into orders values (2)")
    assert {"evidence in evidence/2", "settle"} <= set(a.converge(2, "b", previous="a").actions)
    for node in (a, b):
        unharmed(node)
        assert node.sql("select rolname from pg_roles where rolreplication order by 1") == "dr_replication\npostgres"
        assert node.sql("select count(*) from pg_event_trigger", "shop") == "0"
    assert not Path("/tmp/evil").exists()
    assert b.converge(2, "b", previous="a", extensions=["careless"]).changed is False


def test_a_pair_whose_one_role_owned_all_is_taken_over_while_its_sessions_write(pair: Pair) -> None:
    a = pair.a
    as_before(a)
    a.sql("alter role shop set statement_timeout to '7s'; alter database shop set role to shop")
    a.sql("create table orders (id int); alter table orders owner to shop", "shop")
    hold = a.psql(
        "-c", "set session authorization shop", "-c", "begin", "-c", "insert into orders values (1)", "-f", "-"
    )
    with subprocess.Popen(
        hold, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, user=a.layout.user, cwd="/"
    ) as open_:
        assert until(
            lambda: a.sql("select count(*) from pg_locks where relation = 'orders'::regclass", "shop") != "0", 20
        )
        done = a.converge(1, "a")
        assert {"role-in-database shop", "database"} <= set(done.actions)
        _, told = open_.communicate("insert into orders values (2); commit;", timeout=20)
    assert told == "" and a.sql("select count(*) from orders", "shop") == "2", "a transaction that was open went on"
    assert a.converge(1, "a").changed is False
    who = as_shop(a, "select session_user, current_user, current_setting('statement_timeout')")
    assert who.stdout.strip() == "shop|shop_owner|7s", who.stderr
    migration = """set client_min_messages to error; create table items (id bigserial primary key); alter table orders add column what text; create schema more;
        create extension citext; create index on orders (what); drop table orders; create publication all_of_it for table items"""
    assert as_shop(a, migration).stderr == ""
    owner = "select string_agg(distinct tableowner, ',') from pg_tables where schemaname = 'public'"
    assert a.sql(owner, "shop") == "shop_owner"
    assert (
        as_shop(a, "alter database shop set search_path to evil")
        .stderr.strip()
        .endswith("must be owner of database shop")
    )
