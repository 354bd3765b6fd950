# frozen_string_literal: true

# Turns a cart into an order, once per idempotency key: may be run any number of times.
class Checkout
  # There is nothing to order: no items were sent and the cart is empty (a cache may lose a cart, never an order).
  class NothingToOrder < StandardError; end
  # An item names a product that is not sold here.
  class UnknownProduct < StandardError; end

  def initialize(key:, cart:, items:)
    @key = key
    @cart = cart
    @items = items
  end

  # Returns [order, created].
  def place
    known = Order.find_by(idempotency_key: @key)
    order = known || create
    @cart&.clear
    [order, known.nil?]
  rescue ActiveRecord::RecordNotUnique
    # The same key came twice at once; the other request won.
    [Order.find_by!(idempotency_key: @key), false]
  end

  private

  def create
    wanted = @items || @cart&.items || {}
    raise NothingToOrder, "no items were sent and the cart is empty" if wanted.empty?

    products = Product.where(id: wanted.keys).index_by(&:id)
    unknown = wanted.keys - products.keys
    raise UnknownProduct, "no product has the id #{unknown.join(", ")}" if unknown.any?

    write(wanted, products)
  end

  def write(wanted, products)
    Order.transaction do
      total = wanted.sum { |id, quantity| products.fetch(id).price_cents * quantity }
      order = Order.create!(idempotency_key: @key, total_cents: total, site: Shop::SETTINGS.site)
      rows = wanted.map do |id, quantity|
        { order_id: order.id, product_id: id, quantity: quantity, price_cents: products.fetch(id).price_cents }
      end
      OrderItem.insert_all!(rows)
      order
    end
  end
end
