"""Who is who in the database, and how each comes about: SQL for `Server.sql`, and what facts ask of it.

A role that nobody can log in as owns the shop's schema and tables; the shop logs in as a member of it and acts as it. The database is the
superuser's own: its owner could set what every session in it begins with, this software's included.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from contract.services.postgres import APP_ROLE, FOR_PEER, PAIRS, REPLICATION_ROLE, Logins, other_pair

from . import scram
from .desired import Desired

HOME = "dr_extensions"  # the schema in which extensions are made: nobody but a superuser creates anything there
REWIND_FUNCTIONS = (
    "pg_catalog.pg_ls_dir(text, boolean, boolean)",
    "pg_catalog.pg_stat_file(text, boolean)",
    "pg_catalog.pg_read_binary_file(text)",
    "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
)
_NOTHING_MORE = "nosuperuser nocreaterole nocreatedb nobypassrls"


def logins(desired: Desired) -> dict[str, str]:
    """Roles of the shop that log in, each with its password, in the order in which they are made. Every one of them acts as the owner.

    The shop and its workers have one password: both are in the hands of the same hosts, and what keeps a worker out is where it comes from. While
    that is rotated there are two pairs of them.
    """
    both = ((desired.login, desired.passwords.app), (other_pair(desired.login), desired.passwords.beside))
    pairs = {Logins.pair(number): word for number, word in both if word is not None}
    return {name: word for names, word in pairs.items() for name in (names.app, names.worker)}


def known() -> tuple[str, ...]:
    """Every name that is the shop's to log in by, whether one of today or not."""
    return tuple(name for number in PAIRS for name in (Logins.pair(number).app, Logins.pair(number).worker))


def wanted(desired: Desired) -> dict[str, str]:
    """Every role that logs in over the network, with its password."""
    return {**logins(desired), REPLICATION_ROLE: desired.passwords.replication}


def as_wanted(found: Mapping[str, Any] | None, name: str, password: str) -> bool:
    """Whether a role is what `script` makes of it. `found`: its row of `FOUND`."""
    if found is None or found["more"] or not found["login"] or not scram.matches(password, found["password"]):
        return False
    if name == REPLICATION_ROLE:
        return bool(found["replication"] and found["rights"])
    return bool(found["acts"]) and not found["replication"]


def left(found: Mapping[str, Any], names: Container[str]) -> dict[str, int]:
    """Logins of the shop that are not among these `names` and still let in, each with its sessions.

    A role that does not act as the owner is somebody else's.
    """
    return {
        name: int(row["sessions"])
        for name, row in found.items()
        if name in known() and name not in names and row["login"] and row["acts"]
    }


# The shop's logins that let in, each with its sessions: {"shop": 4, ...}. Variables: `logins` (an array).
OPEN = """select coalesce(json_object_agg(rolname, (select count(*) from pg_stat_activity where usename = rolname)), '{}')
  from pg_roles where rolcanlogin and rolname = any (:'logins'::name[])"""
# Nobody comes in as it any more; who is in stays. Variable: `name`.
SHUT_OUT = 'alter role :"name" with nologin password null'


def script(name: str) -> str:
    """Make or mend a role that logs in. Variables: `name`, `owner`, and `verifier`, so that the password itself is in no statement and no log."""
    rights = f"login {_NOTHING_MORE} " + ("replication" if name == REPLICATION_ROLE else "noreplication")
    itself = f"""select format('create role %I', :'name') where not exists (select from pg_roles where rolname = :'name') \\gexec
        alter role :"name" with {rights} password :'verifier';"""  # noqa: S608
    if name == REPLICATION_ROLE:
        grants = (f'grant execute on function {function} to :"name"' for function in REWIND_FUNCTIONS)
        return "\n".join([itself, ";\n".join(['grant pg_monitor to :"name"', *grants])])
    return "\n".join(["begin;", _RENAME if name == APP_ROLE else "", _OWNER, itself, _MEMBER, "commit"])


# A role that owned everything and logged in, too, becomes the owner by its name alone: no table is locked, and its sessions go on.
_RENAME = """select format('alter role %I rename to %I', :'name', :'owner') where exists (select from pg_roles where rolname = :'name')
  and not exists (select from pg_roles where rolname = :'owner') \\gexec"""
_OWNER = f"""select format('create role %I', :'owner') where not exists (select from pg_roles where rolname = :'owner') \\gexec
alter role :"owner" with nologin {_NOTHING_MORE} noreplication password null;"""  # noqa: S608
# What was set for the role of before is of use where one logs in.
_MEMBER = """grant :"owner" to :"name";
update pg_db_role_setting s set setrole = login.oid from pg_authid login, pg_authid owner
  where login.rolname = :'name' and owner.rolname = :'owner' and s.setrole = owner.oid
    and not exists (select from pg_db_role_setting t where t.setdatabase = s.setdatabase and t.setrole = login.oid);
alter role :"name" inherit;
alter role :"name" set role = :'owner';"""

_RIGHTS = " and ".join(f"has_function_privilege(r.oid, '{name}', 'execute')" for name in REWIND_FUNCTIONS)
_ACTS = """exists (select from pg_authid o join pg_auth_members m on m.roleid = o.oid and m.member = r.oid where o.rolname = :'owner'
    and not (o.rolcanlogin or o.rolsuper or o.rolcreaterole or o.rolcreatedb or o.rolreplication or o.rolbypassrls))
  and exists (select from pg_db_role_setting where setdatabase = 0 and setrole = r.oid and 'role=' || :'owner' = any (setconfig))"""
# Variables: `logins` (an array), `owner`, `replication`.
FOUND = f"""(select json_object_agg(rolname, json_build_object('login', rolcanlogin, 'replication', rolreplication, 'password', rolpassword,
    'more', rolsuper or rolcreaterole or rolcreatedb or rolbypassrls, 'acts', {_ACTS},
    'sessions', (select count(*) from pg_stat_activity where usename = r.rolname),
    'rights', pg_has_role(r.oid, 'pg_monitor', 'member') and {_RIGHTS}))
  from pg_authid r where rolname = :'replication' or rolname = any (:'logins'::name[]))"""  # noqa: S608


def array(names: Mapping[str, Any] | tuple[str, ...]) -> str:
    """Names as the text of an array of PostgreSQL's."""
    return "{" + ",".join(f'"{name}"' for name in names) + "}"


# How many sessions the shop and its workers may hold together. What is left is for the peer, which rewinds over ordinary ones: a shop that is back
# takes all that there are.
_SHOPS = f"""greatest(1, current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
  - coalesce(current_setting('reserved_connections', true), '0')::int - {FOR_PEER})"""
# What would make another role of each session in the database, ours too.
_ANOTHER = "(role|session_authorization)"
# Variables: `database`, `owner`. Of the server, then from within the database.
DATABASE_AS_WANTED = f"""exists (select from pg_database d join pg_authid r on r.oid = datdba join pg_authid o on o.rolname = :'owner'
    where datname = :'database' and r.rolsuper and datconnlimit = {_SHOPS} and has_database_privilege(o.oid, d.oid, 'create')
      and not exists (select from pg_db_role_setting where setdatabase = d.oid and setrole = 0
                      and exists (select from unnest(setconfig) as one (setting) where setting ~ '^{_ANOTHER}=')))"""  # noqa: S608
SCHEMA_AS_WANTED = """not exists (select from pg_namespace join pg_authid r on r.oid = nspowner
    where nspname = 'public' and (rolsuper or rolname = 'pg_database_owner'))"""

CREATE_DATABASE = """select format('create database %I template template0', :'database')
  where not exists (select from pg_database where datname = :'database') \\gexec
"""
# From within it, and all at once: in between the shop could not create anything.
SETTLE_DATABASE = f"""begin;
select format('alter database %I connection limit %s', :'database', {_SHOPS}) \\gexec
select format('alter schema public owner to %I', :'owner') where exists (select from pg_namespace where nspname = 'public') \\gexec
alter database :"database" owner to current_user;
grant create, temporary, connect on database :"database" to :"owner"; -- what an owner has goes to the next one
alter database :"database" reset role;
alter database :"database" reset session_authorization;
commit"""  # noqa: S608

# Whether somebody else than a superuser creates what they like in schema `s` of `r`.
_OPEN = """(not r.rolsuper or exists (select from aclexplode(s.nspacl) a left join pg_authid g on g.oid = a.grantee
    where a.privilege_type = 'CREATE' and not coalesce(g.rolsuper, false)))"""
# A script of an extension runs as the superuser and looks for names in the schema where it is made: that one is ours until it is through. What
# it needs lies there meanwhile, because its script looks there, too, and is not the shop's, for who has made it may have added to it.
# Whatever can be moved then goes where the shop looks. Variable: `name`.
EXTENSION = f"""select set_config('dr.extension', :'name', false) \\g /dev/null
do $do$
declare
  each record;
  holder name;
begin
  lock table pg_extension in share row exclusive mode;
  create temporary table needed on commit drop as
    with recursive every (name, schema, requires) as (
      select v.name, v.schema, v.requires from pg_available_extension_versions v
        join pg_available_extensions a on a.name = v.name and a.default_version = v.version
    ), needed (name) as (
      select name from every where name = current_setting('dr.extension')
      union select r.name from needed n join every e on e.name = n.name, unnest(e.requires) as r (name)
    )
    select n.name, coalesce(e.schema, '{HOME}') as place, n.name = current_setting('dr.extension') as last,
           x.oid is not null as there, x.extrelocatable as movable, s.nspname as lies, {_OPEN} as open,
           w.rolname as maker, w.rolsuper as ours
    from needed n join every e on e.name = n.name left join pg_extension x on x.extname = n.name
      left join pg_namespace s on s.oid = x.extnamespace left join pg_authid r on r.oid = s.nspowner
      left join pg_authid w on w.oid = x.extowner;
  for each in select distinct place from needed where not there union select '{HOME}' loop
    select r.rolname into holder from pg_namespace s join pg_authid r on r.oid = s.nspowner where s.nspname = each.place and {_OPEN};
    if found then
      raise exception 'schema %: found it owned by %, wanted a superuser; the script of extension % could run what % planted, nothing was '
        'changed; move what lies in it elsewhere and drop it', each.place, holder, current_setting('dr.extension'), holder;
    end if;
    if not exists (select from pg_namespace where nspname = each.place) then
      execute format('create schema %I', each.place);
      execute format('grant usage on schema %I to public', each.place);
    end if;
  end loop;
  for each in select * from needed where there and not last and (open or not ours) loop
    if not each.ours then
      raise exception 'extension %: found it made by %, wanted a superuser; the script of % could run what % added to it, nothing was changed; '
        'drop it, so that it is made anew', each.name, each.maker, current_setting('dr.extension'), each.maker;
    end if;
    if not each.movable then
      raise exception 'extension %: found it in schema %, from which it cannot be moved, wanted one of a superuser; the script of % could run what '
        'lies beside it, nothing was changed; drop it, so that it is made anew', each.name, each.lies, current_setting('dr.extension');
    end if;
    execute format('alter extension %I set schema {HOME}', each.name);
  end loop;
  for each in select * from needed where not there order by last loop
    execute format('create extension if not exists %I schema %I cascade', each.name, each.place);
  end loop;
  if exists (select from pg_namespace where nspname = 'public') then
    for each in select extname from pg_extension join pg_namespace s on s.oid = extnamespace where nspname = '{HOME}' and extrelocatable loop
      execute format('alter extension %I set schema public', each.extname);
    end loop;
  end if;
  if exists (select from pg_extension join pg_namespace s on s.oid = extnamespace where nspname = '{HOME}') and not exists
     (select from pg_db_role_setting, unnest(setconfig) as one (setting)
      where setdatabase = (select oid from pg_database where datname = current_database()) and setrole = 0 and setting ~ '^search_path=') then
    execute format('alter database %I set search_path = "$user", public, {HOME}', current_database());
  end if;
end $do$"""  # noqa: S608
