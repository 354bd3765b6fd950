# frozen_string_literal: true

# A cart lives in the cache only: product id => quantity under a token that the client chose.
class Cart
  # Two weeks, in seconds.
  LIFETIME = 1_209_600
  TOKEN = /\A[A-Za-z0-9_-]{8,64}\z/

  def self.valid_token?(token)
    token.to_s.match?(TOKEN)
  end

  def initialize(token)
    @key = "cart:#{token}"
  end

  # Sets the quantity (so that a repeated request changes nothing) and returns the whole cart.
  def put(product_id, quantity)
    *, items = CacheMaster.transaction do |transaction|
      transaction.hset(@key, product_id, quantity)
      transaction.expire(@key, LIFETIME)
      transaction.hgetall(@key)
    end
    numbers(items)
  end

  def items
    numbers(CacheMaster.transaction { |transaction| transaction.hgetall(@key) }.first)
  end

  def clear
    CacheMaster.transaction { |transaction| transaction.del(@key) }
  end

  private

  def numbers(items)
    items.to_h { |id, quantity| [Integer(id), Integer(quantity)] }
  end
end
