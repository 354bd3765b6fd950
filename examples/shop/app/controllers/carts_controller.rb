# frozen_string_literal: true

class CartsController < ApplicationController
  def create
    token = cart
    raise BadRequest, "X-Cart: the header is missing" if token.nil?

    id, quantity = item(request.request_parameters)
    items = held { token.put(id, quantity) }
    render json: { items: items.map { |product, count| { product_id: product, quantity: count } } }
  end
end
