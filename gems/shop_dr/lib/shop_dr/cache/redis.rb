# frozen_string_literal: true

module ShopDr
  module Cache
    # A client of the gem `redis` that leads to the leader.
    class LeaderRedis < ::Redis
      class Client < ::Redis::Client
        prepend Leader::Checked
      end

      def initialize(options = {})
        super({ url: nil, **options })
      end

      private

      def initialize_client(options)
        Cache.config(protocol: 2, client_implementation: Client, **options.except(:url, :reconnect_attempts)).new_client
      end
    end
  end
end
