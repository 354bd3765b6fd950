"""What a migration does to the release that still runs, by its text."""

from __future__ import annotations

import pytest

from scripts.ctl.releases.migrations import lint, of_release

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
    ],
)
def test_what_both_releases_can_live_with_passes(body: str) -> None:
    assert found(body) == []


def test_the_way_back_is_nobodys_matter() -> None:
    both = "def up\n    add_column :orders, :note, :text\n  end\n\n  def down"
    assert found("remove_column :orders, :note", both) == []
    after = "def down\n    add_column :orders, :note, :text\n  end\n\n  def up"
    assert found("remove_column :orders, :note", after) == [(True, 7, "remove_column orders")]


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
    }
    assert of_release(files) == {NAME, "db/cache_migrate/20260101000001_x.rb"}
