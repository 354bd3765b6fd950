# frozen_string_literal: true

# A customer's file, into the asset bucket of the site that sells.
class UploadsController < ApplicationController
  LONGEST = 64 * 1024

  # The same key again changes nothing: what is there is acknowledged.
  def create
    id = key
    created = AssetStore.put_once("uploads/#{id}", text, "text/plain; charset=utf-8")
    render json: { idempotency_key: id, site: Shop::SETTINGS.site }, status: created ? :created : :ok
  end

  private

  def text
    value = request.request_parameters["text"]
    raise BadRequest, "text: wanted 1 to #{LONGEST} bytes" unless value.is_a?(String) && value.bytesize.between?(1, LONGEST)

    value
  end
end
