# frozen_string_literal: true

class Product < ApplicationRecord
  def image_key
    "products/#{slug}.svg"
  end

  def summary
    { id: id, name: name, price_cents: price_cents, image: "/products/#{id}/image" }
  end
end
