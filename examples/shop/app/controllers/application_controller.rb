# frozen_string_literal: true

class ApplicationController < ActionController::Base
  UUID = /\A\h{8}-\h{4}-\h{4}-\h{4}-\h{12}\z/

  # A request that cannot be read as asked.
  class BadRequest < StandardError; end

  # There are no browser sessions, hence nothing that a forged request could use.
  skip_forgery_protection

  rescue_from(StandardError) { |error| unavailable(error) }
  rescue_from(BadRequest) { |error| refuse(:bad_request, error) }
  rescue_from(ActionDispatch::Http::Parameters::ParseError) { |error| refuse(:bad_request, error) }
  rescue_from(ActiveRecord::RecordNotFound, AssetStore::Missing) { |error| refuse(:not_found, error) }
  rescue_from(Checkout::NothingToOrder, Checkout::UnknownProduct) { |error| refuse(:unprocessable_entity, error) }

  private

  def held(...)
    Handover.hold(...)
  end

  def refuse(status, error)
    render json: { error: error.message }, status: status
  end

  # Only a writer that did not come back in time is worth a retry by the client; everything else is a fault of ours.
  def unavailable(error)
    raise error unless Handover.passing?(error)

    logger.warn("held for #{Handover::LIMIT.to_i} s, still no writer: #{error.class}: #{error.message.lines.first&.strip}")
    response.set_header("Retry-After", "1")
    render json: { error: "no database or cache accepts writes at the moment; try again with the same Idempotency-Key" },
           status: :service_unavailable
  end

  def key
    value = request.headers["Idempotency-Key"].to_s.downcase
    raise BadRequest, "Idempotency-Key: wanted a UUID; without one the same could be written twice" unless value.match?(UUID)

    value
  end

  def whole_number(value, name, range)
    number = Integer(value, exception: false) unless value.is_a?(Float)
    return number if number && range.cover?(number)

    raise BadRequest, "#{name}: found #{value.inspect}, wanted a whole number from #{range.begin} to #{range.end}"
  end

  def cart
    token = request.headers["X-Cart"]
    return if token.nil?
    raise BadRequest, "X-Cart: wanted 8 to 64 letters, digits, '-' or '_'" unless Cart.valid_token?(token)

    Cart.new(token)
  end

  def item(entry)
    raise BadRequest, "item: wanted an object with product_id and quantity" unless entry.respond_to?(:[]) && entry.respond_to?(:key?)

    [whole_number(entry["product_id"], "product_id", 1..(2**53)), whole_number(entry["quantity"], "quantity", 1..1000)]
  end
end
