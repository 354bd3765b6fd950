# frozen_string_literal: true

module ShopDr
  module Cache
    # A configuration of redis-client, as its SentinelConfig is one: it knows some servers and leads to the one that says that it is the master. When that
    # one is gone, or says READONLY or MASTERDOWN, it is looked for again, and the command sent again (redis-client's rule for lost connections).
    class Leader
      include RedisClient::Config::Common

      # Kept connections ask for the role from time to time: a read of a former master is answered without an error, with whatever it still holds.
      module Checked
        private

        def raw_connection
          before = @raw_connection
          connection = super
          now = ShopDr.now
          @shop_dr_checked = now unless connection.equal?(before) && @shop_dr_checked
          return connection if now - @shop_dr_checked < config.check

          config.check_role!(connection.call_pipelined([%w[ROLE]], nil).last.first)
          @shop_dr_checked = now
          connection
        end
      end

      class Client < RedisClient
        prepend Checked
      end

      PAUSE = 0.05

      attr_reader :check

      # `hosts`: [[name, port], ...]; `tls`: {ca_file:, cert:, key:} by paths, nil for none; `wait`, `check`: seconds.
      def initialize(hosts:, tls:, wait:, check:, **client)
        @hosts, @tls, @check = hosts, tls, check
        @client = { client_implementation: Client }.merge(client)
        @mutex = Mutex.new
        @found = nil
        super(**@client, ssl: !tls.nil?, ssl_params: tls, reconnect_attempts: Array.new((wait / PAUSE).ceil) { |index| index.zero? ? 0 : PAUSE })
      end

      def host = found.first
      def port = found.last
      def path = nil
      def sentinel? = true
      def resolved? = !@found.nil?

      # With each connection anew: a new certificate replaces the files.
      def ssl_context
        @driver.ssl_context(@tls) if @tls
      end

      def reset
        lost = @mutex.synchronize { @found.tap { @found = nil } }
        ShopDr.counters.add(:cache_lost) if lost
      end

      def retry_connecting?(attempt, error)
        reset
        super
      end

      def check_role!(role)
        raise RedisClient::FailoverError, "the cache is a #{role} by now" unless role == "master"
      end

      private

      def found
        @mutex.synchronize { @found ||= find }
      end

      def find
        failures = @hosts.map do |host, port|
          role = role_of(host, Integer(port))
          return [host, Integer(port)] if role == "master"

          "#{host}: #{role}"
        rescue RedisClient::Error => e
          "#{host}: #{e.class}"
        end
        raise RedisClient::CannotConnectError, "no cache is a master (#{failures.join(", ")})"
      end

      def role_of(host, port)
        told = @client.except(:client_implementation, :custom)
        client = RedisClient.config(**told, host: host, port: port, ssl: !@tls.nil?, ssl_params: @tls, reconnect_attempts: 0).new_client
        client.call("ROLE").first
      ensure
        client&.close
      end
    end
  end
end
