# frozen_string_literal: true

class ProductsController < ApplicationController
  def front
    @products = held { Product.order(:id).to_a }
  end

  def index
    render json: held { Product.order(:id).map(&:summary) }
  end

  def image
    key = held { Product.find(params[:id]).image_key }
    found = AssetStore.fetch(key)
    expires_in 1.hour, public: true
    send_data found.body, type: found.type, disposition: "inline"
  end
end
