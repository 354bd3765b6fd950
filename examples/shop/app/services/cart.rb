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
    CacheMaster.with do |redis|
      _, _, items = redis.multi do |transaction|
        transaction.hset(@key, product_id, quantity)
        transaction.expire(@key, LIFETIME)
        transaction.hgetall(@key)
      end
      numbers(items)
    end
  end

  def items
    CacheMaster.with { |redis| numbers(redis.hgetall(@key)) }
  end

  def clear
    CacheMaster.with { |redis| redis.del(@key) }
  end

  private

  def numbers(items)
    items.to_h { |id, quantity| [Integer(id), Integer(quantity)] }
  end
end
