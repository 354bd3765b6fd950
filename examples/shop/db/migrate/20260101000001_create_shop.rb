# frozen_string_literal: true

class CreateShop < ActiveRecord::Migration[7.2]
  def change
    create_table :products do |t|
      t.text :slug, null: false, index: { unique: true }
      t.text :name, null: false
      t.integer :price_cents, null: false
    end

    create_table :orders do |t|
      t.uuid :idempotency_key, null: false, index: { unique: true }
      t.bigint :total_cents, null: false
      t.text :site, null: false
      t.timestamptz :created_at, null: false, default: -> { "now()" }
      t.timestamptz :confirmed_at
      t.index :id, where: "confirmed_at IS NULL", name: "orders_unconfirmed"
    end

    create_table :order_items do |t|
      t.references :order, null: false, foreign_key: true
      t.references :product, null: false, foreign_key: true
      t.integer :quantity, null: false
      t.integer :price_cents, null: false
    end
  end
end
