# frozen_string_literal: true

module ShopDr
  module Cache
    # Middleware of redis-client: a command that changes something has left the process, but for what Rails.cache keeps, which may be lost or made again.
    module Effects
      READS = %w[
        AUTH BITCOUNT CLIENT DBSIZE EXISTS EXPIRETIME GET GETRANGE HELLO HEXISTS HGET HGETALL HKEYS HLEN HMGET HSCAN HVALS INFO KEYS LINDEX LLEN LRANGE
        MGET PING PTTL ROLE SCAN SCARD SELECT SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER SSCAN STRLEN TIME TTL TYPE UNWATCH WATCH ZCARD ZCOUNT ZRANGE
        ZRANK ZREVRANGE ZSCAN ZSCORE MULTI EXEC
      ].freeze

      def call(command, config)
        Effects.note([command], config)
        super
      end

      def call_pipelined(commands, config)
        Effects.note(commands, config)
        super
      end

      def self.note(commands, config)
        attempt = Attempt.current
        return if attempt.nil? || attempt.begun || config.custom&.key?(:shop_dr_cache)

        found = commands.find { |command| !READS.include?(command.first.to_s.upcase) }
        attempt.left!("#{found.first.to_s.upcase} was sent to a cache") if found
      end
    end
  end
end
