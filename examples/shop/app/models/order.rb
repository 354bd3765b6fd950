# frozen_string_literal: true

class Order < ApplicationRecord
  has_many :items, class_name: "OrderItem", dependent: :delete_all

  def receipt
    { id: id, idempotency_key: idempotency_key, total_cents: total_cents, site: site }
  end
end
