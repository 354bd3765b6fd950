# frozen_string_literal: true

# The products that the shop sells, and their pictures. Safe to run again: rows and objects that are there are left alone.
module Seed
  PRODUCTS = [
    ["mug", "Mug", 950],
    ["teapot", "Teapot", 3400],
    ["bowl", "Bowl", 1450],
    ["vase", "Vase", 2750],
    ["plate", "Plate", 1250],
    ["jug", "Jug", 2200]
  ].freeze
  IMAGES = File.expand_path("images", __dir__)

  module_function

  # Returns how many rows and how many objects were new.
  def plant
    rows = PRODUCTS.map { |slug, name, price_cents| { slug: slug, name: name, price_cents: price_cents } }
    added = Product.insert_all(rows, unique_by: :slug, returning: :id).length
    uploaded = Product.order(:id).count { |product| upload(product) }
    [added, uploaded]
  end

  def upload(product)
    file = File.join(IMAGES, "#{product.slug}.svg")
    File.exist?(file) && AssetStore.put_once(product.image_key, File.binread(file), "image/svg+xml")
  end
end
