"""What a migration does to the release that still runs, by its text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contract.artefact import MOST_TEXT
from contract.errors import Failed
from scripts.ctl.releases import ruby, statements
from scripts.ctl.releases.migrations import lint, of_release
from scripts.ctl.releases.statements import BLOCKS, BREAKS

NAME = "db/migrate/20260101000009_change.rb"


def found(body: str, head: str = "def change") -> list[tuple[bool, int, str]]:
    text = f"class Change < ActiveRecord::Migration[7.2]\n  {head}\n    {body}\n  end\nend\n"
    return [(it.breaks, it.line, it.text) for it in lint({NAME: text})]


@pytest.mark.parametrize(
    "body",
    [
        "remove_column :orders, :note",
        "remove_columns(:orders, :note, :more)",
        "rename_column :orders, :a, :b",
        'rename_table "orders", "purchases"',
        "drop_table :orders",
        "change_column :orders, :note, :integer",
        "change_column_null :orders, :note, false",
        "add_column :orders, :note, :text, null: false",
        "add_column :orders, :note, :text,\n      null: false",
        "add_reference :orders, :shop, null: false",
        "change_table :orders do |t|\n      t.remove :note\n    end",
        'execute "ALTER TABLE orders DROP COLUMN note"',
        "execute <<~SQL\n      alter table orders\n        alter column note type integer\n    SQL",
        'execute "alter table orders alter note set not null"',
        'execute "alter table orders rename to purchases"',
        'execute "ALTER TABLE orders DROP note"',
        'execute "alter table only orders drop if exists note"',
        'execute "alter table orders rename note to remark"',
        'execute "alter table orders alter note type integer"',
        'execute "alter table orders add column note text not null"',
        'execute "alter table orders add note text not null"',
        "execute <<~SQL\n      alter table orders\n        drop\n        column note\n    SQL",
        'execute "drop materialized view sums"',
        "change_table :orders do |table|\n      table.remove :note\n    end",
        "change_table(:orders, bulk: true) { |o| o.rename :note, :remark }",
        "change_table :orders do |t|\n      t.text :note, null: false\n    end",
        "change_table :orders do |t|\n      t.timestamps\n    end",
        "change_table :orders do |t|\n      t.change_null :note, false\n    end",
        "add_timestamps :orders",
        "drop_enum :state",
        "execute \"alter type state rename value 'a' to 'b'\"",
        'execute "drop type state"',
        'execute "revoke insert on orders from shop"',
        'execute("alter table #{TABLE} " \\\n      "drop column note")',
        "execute %q(drop view totals)",
        "safety_assured { execute 'drop schema old cascade' }",
        "connection.execute(<<~SQL.squish)\n      alter table orders add column note text not null\n    SQL",
        "sql = <<~DROPS\n      drop table orders\n    DROPS\n    execute sql",
        "execute <<~SQL\n      -- squawk-ignore ban-drop-column\n      alter table orders drop column note\n    SQL",
        'execute "this is nothing that can be read"',
        "create_join_table :orders, :labels\n    remove_column :orders, :note",
        "drop_table :orders\n    create_table :orders do |t|\n      t.text :note\n    end",
        "create_table :orders, force: :cascade do |t|\n      t.text :note\n    end",
        "change_table name do |t|\n      t.text :note, null: false\n    end",
        "connection.remove_column :orders, :note",
        "safety_assured { remove_column :orders, :note }",
    ],
)
def test_what_the_release_of_before_needs_is_missed(body: str) -> None:
    assert any(breaks for breaks, _, _ in found(body)), body


@pytest.mark.parametrize(
    "body",
    [
        "add_index :orders, :note",
        "add_foreign_key :orders, :shops",
        'execute "CREATE UNIQUE INDEX x ON orders (note)"',
        'execute "create index on orders (note)"',
        'execute "reindex table orders"',
        "add_unique_constraint :orders, :note",
        "add_reference :orders, :shop",
        "add_reference :orders, :shop, index: { algorithm: :concurrently }, foreign_key: true",
        "change_table :orders do |t|\n      t.index :note\n    end",
        "change_table :orders do |t|\n      t.references :shop\n    end",
        'add_check_constraint :orders, "total > 0"',
        'execute "alter table orders add constraint x check (total > 0)"',
    ],
)
def test_what_holds_orders_up_is_told(body: str) -> None:
    assert [breaks for breaks, _, _ in found(body)] == [False]


@pytest.mark.parametrize(
    "body",
    [
        "add_column :orders, :note, :text",
        "add_column :orders, :note, :text, null: false, default: ''",
        "add_index :orders, :note, algorithm: :concurrently",
        "add_index :orders,\n      :note,\n      algorithm: :concurrently",
        "add_foreign_key :orders, :shops, validate: false",
        "validate_foreign_key :orders, :shops",
        "change_column_null :orders, :note, true",
        "change_column_default :orders, :note, from: nil, to: 1",
        "create_table :notes do |t|\n      t.text :name, null: false, index: { unique: true }\n    end\n    add_index :notes, :name",
        "# remove_column :orders, :note",
        "add_column :orders, :note, :text # not drop_table :orders",
        'execute "CREATE INDEX CONCURRENTLY x ON orders (note)"',
        "execute \"update orders set note = 'drop table orders'\"",
        'create_table :notes do |t|\n      t.text :name\n    end\n    execute "create index x on notes (name)"',
        "execute <<~SQL\n      create table notes (id bigint);\n      create index x on notes (id);\n    SQL",
        "say <<~TEXT\n      drop by, all of you\n    TEXT",
        "remove_index :orders, :note",
        'execute "drop index x"',
        "add_timestamps :orders, null: true",
        "add_reference :orders, :shop, index: { algorithm: :concurrently }",
        "add_reference :orders, :shop, index: false, foreign_key: { validate: false }",
        "change_table :orders do |t|\n      t.text :note\n      t.remove_index :note\n    end",
        "change_table :orders do |t|\n      t.timestamps null: true\n    end",
        "create_table :notes do |n|\n      n.references :order, null: false, foreign_key: true\n      n.timestamps\n    end",
        "change_table :orders do |t|\n      t.text :note\n    end\n    create_table name do |t|\n      t.text :x, null: false\n    end",
        "create_table(:notes) { |t| t.text :x, null: false }",
        "create_join_table :orders, :labels do |t|\n      t.index :order_id\n    end",
        'add_check_constraint :orders, "total > 0", validate: false',
        'execute "alter table orders add constraint x check (total > 0) not valid"',
        'execute "alter table orders add column note text not null default 1"',
        'execute "alter table orders alter column note drop default"',
        'execute "alter table orders drop constraint x"',
        "execute \"alter type state add value 'x'\"",
    ],
)
def test_what_both_releases_can_live_with_passes(body: str) -> None:
    assert found(body) == []


def test_the_way_back_is_nobodys_matter() -> None:
    both = "def up\n    add_column :orders, :note, :text\n  end\n\n  def down"
    assert found("remove_column :orders, :note", both) == []
    old = "def self.up\n    add_column :orders, :note, :text\n  end\n\n  def self.down"
    assert found("remove_column :orders, :note", old) == []
    after = "def down\n    add_column :orders, :note, :text\n  end\n\n  def up"
    assert found("remove_column :orders, :note", after) == [(True, 7, "remove_column orders")]


@pytest.mark.parametrize(
    "down",
    [
        "def down; end",
        "def down = raise(ActiveRecord::IrreversibleMigration)",
        "def self.down() = nil",
        "  def down\n    x",
    ],
)
def test_a_way_back_on_one_line_or_without_an_end_hides_nothing(down: str) -> None:
    assert any(breaks for breaks, _, _ in found("remove_column :orders, :note", f"{down}\n\n  def up"))


def test_what_was_not_read_to_its_end_is_told() -> None:
    assert any(it.breaks for it in lint({NAME: "#" + "x" * MOST_TEXT}))


def test_it_is_told_by_file_and_line() -> None:
    (it,) = lint({NAME: "remove_column :orders, :note\n"})
    assert (
        it.sentence() == "20260101000009_change.rb, line 1: remove_column orders: the release that still runs needs it"
    )


def test_which_files_are_migrations() -> None:
    files = {
        NAME,
        "db/migrate/README.md",
        "db/cache_migrate/20260101000001_x.rb",
        "app/db/migrate/1_x.rb",
        "db/seed.rb",
        "db/migrate/20260101000001_create_tables.active_storage.rb",
        "db/migrate/2026/20260101000003_x.rb",
    }
    assert of_release(files) == {*files} - {"db/migrate/README.md", "app/db/migrate/1_x.rb", "db/seed.rb"}


DROP = "drop table orders"


@pytest.mark.parametrize(
    "body",
    [
        f"execute <<~sql\n      {DROP};\n    sql",
        f"execute(<<-'Sql')\n      {DROP}\n    Sql",
        f"run(<<~A, <<~B)\n      select 1;\n    A\n      {DROP};\n    B",
        f"execute %q!{DROP}!",
        f"execute %Q<{DROP}>",
        f"execute %(select count(*) from orders; {DROP})",
        f'connection.exec_query("{DROP}")',
        f'connection.raw_connection.exec("{DROP}")',
        f'send(:execute, "{DROP}")',
        f'sql = "{DROP}"\n    execute sql',
        f'execute "select 1; " + "{DROP}"',
        f'execute "select 1; " +\n      "{DROP}"',
        f'execute "select 1 -- a\\n; {DROP}"',
        f'execute "select 1 # 2; {DROP}"',
        f"execute <<~SQL\n      update orders set a = a # 1; {DROP};\n    SQL",
        f"execute <<~SQL\n      # no comment of SQL's\n      {DROP};\n    SQL",
        f"x = /it's/ # it's\n    execute \"{DROP}\"",
        f'x = ?"\n    execute "{DROP}"',
        f'x = 7 % 2\n    execute "{DROP}"\n    y = x % 3',
        f'execute "{DROP}" if table_exists?("orders")',
        "x = <<~TEXT\n  def down\n    TEXT\n    drop_table :orders",
        "x = 1\n=begin\n  def down\n=end\n    drop_table :orders",
        # Nobody reads it, and that is told.
        'execute File.read("db/orders.sql")',
        'execute ["drop", "table orders"].join(" ")',
        "execute statement_for(:orders)",
        'execute "select 1; " + rest',
        'execute "select 1; %s" % rest',
        'execute "select 1"\n      .sub("select 1", rest)',
        'execute many ? "select 1" : rest',
        'sql = "select 1"\n    sql << rest\n    execute sql',
        '["a", "b"].each { |it| execute it }',
        "execute <<~SQL\n      do $$ begin alter table orders drop column note; end $$;\n    SQL",
        "execute 'do language plpgsql $x$ begin execute stored(); end $x$'",
        'execute "select 1',
        "execute <<~SQL\n      select 1;",
    ],
)
def test_no_way_to_write_it_hides_what_is_run(body: str) -> None:
    assert any(breaks for breaks, _, _ in found(body, "def up")), body


@pytest.mark.parametrize(
    "body",
    [
        "command.execute",
        "def execute(sql) = super",
        'say "execute drop table orders"',
        "# execute File.read('x')",
        'x = "#{execute_all}"',
        'execute "update orders set note = null"  # it\'s done',
        "execute <<~SQL.squish\n      update orders set note = null\n    SQL",
        'execute("update orders set note = null")',
        'execute "insert into orders values (1) on conflict do nothing"',
        "execute \"do $$ begin create type state as enum ('a'); exception when duplicate_object then null; end $$\"",
        "sql = <<~SQL\n      update orders set note = null\n    SQL\n    execute sql",
        'execute <<~SQL\n      update orders set note = #{quote("}")} where id = 1\n    SQL',
        'ratio = total / 2\n    other = total / 3 if "a" == \'/\'\n    execute "update orders set note = null"',
        "orders <<LATER\n    x = 1",
    ],
)
def test_what_is_read_to_its_end_and_harms_nobody_passes(body: str) -> None:
    assert found(body, "def up") == []


def test_a_text_that_is_cut_anywhere_is_read_without_a_fault() -> None:
    whole = 'x = %w[a b] + [?\', /\'[/]/, :"a#{b {|c| "}" }}"]\nexecute(<<~A + <<-\'B\', %q<a<b>>)\n a #{c}\nA\n b\n B\n=begin\n=end\n__END__\n"'
    for end in range(len(whole)):
        read = ruby.read(whole[:end])
        assert (len(read.code), read.code.count("\n")) == (end, whole[:end].count("\n"))
        assert all(it.at < it.end and len(it.lines) == it.text.count("\n") + 1 for it in read.literals.values())
    assert ruby.read(whole).left is None


def test_the_line_of_sql_is_told() -> None:
    body = "execute <<~SQL\n      alter table orders add column note text;\n\n      alter table orders drop column old;\n    SQL"
    assert found(body) == [(True, 6, "SQL, squawk's ban-drop-column")]
    spelled = 'execute "select 1;\\nselect 2;" \\\n      "\\n" \\\n      "drop table orders"\n'
    assert found(spelled) == [(True, 5, "SQL, squawk's ban-drop-table")]


def test_more_statements_than_are_read_is_not_nothing() -> None:
    assert (True, 203, "SQL that squawk cannot read") in found('execute "select 1"\n' * 250)


@pytest.mark.parametrize("says", ["exit 1", "echo '{}'", "echo '[1]'", "sleep 9"])
def test_a_linter_that_does_not_answer_lets_nothing_pass(
    says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "squawk"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(statements, "LIMIT_S", 0.5)
    with pytest.raises(Failed, match=r"squawk: .* wanted its judgement"):
        found('execute "select 1"')


def test_each_rule_that_is_known_is_squawks() -> None:
    """A rule that it has renamed would be asked for in vain."""
    program = str(Path(sys.executable).with_name("squawk"))
    for rule in (*BREAKS, *BLOCKS):
        done = subprocess.run([program, f"--include={rule}"], input=b"select 1", capture_output=True, check=False)
        assert done.returncode == 0, (rule, done.stderr)
    refused = subprocess.run([program, "--include=ban-nothing"], input=b"select 1", capture_output=True, check=False)
    assert refused.returncode != 0
