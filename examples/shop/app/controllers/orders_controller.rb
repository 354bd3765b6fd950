# frozen_string_literal: true

class OrdersController < ApplicationController
  UUID = /\A\h{8}-\h{4}-\h{4}-\h{4}-\h{12}\z/

  def create
    checkout = Checkout.new(key: key, cart: cart, items: items)
    order, created = held { checkout.place }
    render json: order.receipt, status: created ? :created : :ok
  end

  private

  def key
    value = request.headers["Idempotency-Key"].to_s.downcase
    raise BadRequest, "Idempotency-Key: wanted a UUID; without one an order could be placed twice" unless value.match?(UUID)

    value
  end

  def items
    sent = request.request_parameters["items"]
    return if sent.nil?
    raise BadRequest, "items: wanted a list of 1 to 100 objects" unless sent.is_a?(Array) && sent.size.between?(1, 100)

    # Two lines of one product are one line with both quantities.
    sent.map { |entry| item(entry) }.each_with_object(Hash.new(0)) { |(id, quantity), sum| sum[id] += quantity }
  end
end
