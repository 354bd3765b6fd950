# frozen_string_literal: true

class OrdersController < ApplicationController
  def create
    checkout = Checkout.new(key: key, cart: cart, items: items)
    order, created = held { checkout.place }
    render json: order.receipt, status: created ? :created : :ok
  end

  private

  def items
    sent = request.request_parameters["items"]
    return if sent.nil?
    raise BadRequest, "items: wanted a list of 1 to 100 objects" unless sent.is_a?(Array) && sent.size.between?(1, 100)

    # Two lines of one product are one line with both quantities.
    sent.map { |entry| item(entry) }.each_with_object(Hash.new(0)) { |(id, quantity), sum| sum[id] += quantity }
  end
end
