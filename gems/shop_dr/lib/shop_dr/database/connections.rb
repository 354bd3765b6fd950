# frozen_string_literal: true

require_relative "hosts"
require_relative "sockets"

module ShopDr
  module Database
    # What Active Record's PostgreSQL connections do besides: they look for the writer, tell when it is lost, and are not used again after that.
    module Connections
      # Of a connection that is meant for a server that does not write.
      READERS = %w[any read-only standby prefer-standby].freeze

      module_function

      # Once, when Active Record's adapter is there.
      def install
        ActiveRecord::ConnectionAdapters::PostgreSQLAdapter.prepend(Adapter)
        ActiveRecord::ConnectionAdapters::ConnectionPool.prepend(Pool)
        ActiveRecord::ConnectionAdapters::PostgreSQLAdapter.singleton_class.prepend(Hosts::Client)
        PG::Connection.prepend(Sockets)
        ActiveSupport::Notifications.subscribe("sql.active_record", Statements.new)
      end

      # Connections that this thread holds from before the last loss.
      def drop_leased
        ActiveRecord::Base.connection_handler.connection_pool_list(:writing).each do |pool|
          connection = pool.active_connection?
          discard(connection) if connection && stale?(connection)
        end
      end

      def stale?(connection)
        connection.respond_to?(:shop_dr_stale?) && connection.shop_dr_stale?
      end

      def discard(connection)
        ShopDr.counters.add(:connections_dropped)
        connection.throw_away!
      end

      # Before PostgreSQLAdapter.
      module Adapter
        # Whether a statement of the open transaction may have written; whether one has said LISTEN.
        attr_accessor :shop_dr_wrote, :shop_dr_listens

        def initialize(...)
          super
          return if @connection_parameters.nil?

          @connection_parameters = ShopDr.settings.connection.merge(@connection_parameters)
          @connection_parameters[:target_session_attrs] ||= "read-write" if shop_dr_writer? && @connection_parameters[:host].to_s.include?(",")
        end

        # Of the writer's: a pool for reading has its own ways.
        def shop_dr_writer?
          !@config[:replica] && !READERS.include?(@config[:target_session_attrs].to_s)
        end

        def shop_dr_stale?
          shop_dr_writer? && !@shop_dr_generation.nil? && @shop_dr_generation < ShopDr.writer.generation
        end

        def shop_dr_lost(error)
          Attempt.current&.fault!(error)
          ShopDr.writer.lost(error, @connection_parameters, @raw_connection && @shop_dr_generation)
        end

        def active?
          !shop_dr_stale? && super
        end

        private

        # A generation is that of the moment before: who is lost while one connects is known to it.
        def connect
          generation = ShopDr.writer.generation
          super
          @shop_dr_generation = generation
        rescue ActiveRecord::ConnectionNotEstablished, ActiveRecord::NoDatabaseError => e
          @raw_connection = nil
          shop_dr_lost(e) if shop_dr_writer? && Faults.passing?(e)
          raise
        end

        # A reset would keep what a connection had of its server before; one whose server is gone never comes back by it.
        def reconnect
          shop_dr_drop if shop_dr_stale?
          super
        rescue ActiveRecord::ConnectionNotEstablished, ActiveRecord::NoDatabaseError => e
          shop_dr_awaited?(e) ? retry : raise
        end

        def shop_dr_drop
          begin
            @raw_connection&.close
          rescue PG::Error
            nil
          end
          @raw_connection = nil
          ShopDr.counters.add(:connections_dropped)
        end

        # Behind a commit a request is not run again. What Active Record sends anew by itself there, as it does with what only reads, or has not sent yet,
        # waits for the writer in its place, as long as the request may.
        def shop_dr_awaited?(error)
          attempt, from = Attempt.current, ShopDr.now
          return false unless attempt&.begun && attempt.deadline && from < attempt.deadline && shop_dr_writer? && Faults.passing?(error)

          found = ShopDr.writer.wait(attempt.deadline)
          ShopDr.counters.add(:held_behind)
          ShopDr.logger.info("shop_dr: held a statement behind #{attempt.begun} for #{(ShopDr.now - from).round(2)} s")
          found
        end

        # An order to go is the end of the connection, with whichever error it comes: Active Record sends anew what it may.
        def translate_exception(exception, message:, sql:, binds:)
          return super unless Faults.told_to_go?(exception)

          ActiveRecord::ConnectionFailed.new(message, sql: sql, binds: binds, connection_pool: @pool)
        end
      end

      # Before ConnectionPool.
      module Pool
        def checkin(connection)
          return super unless Connections.stale?(connection)

          Connections.discard(connection)
        end
      end

      # Each statement, once it has ended.
      class Statements
        LISTEN = /\A\s*LISTEN\b/i

        def start(*); end

        def finish(_name, _id, payload)
          connection = payload[:connection]
          return unless connection.respond_to?(:shop_dr_writer?) && connection.shop_dr_writer?

          error = payload[:exception_object]
          connection.shop_dr_lost(error) if error && Faults.passing?(error)
          connection.shop_dr_listens = true if payload[:sql].to_s.match?(LISTEN)
          note(connection, payload[:sql], error) if (attempt = Attempt.current) && attempt.begun.nil?
        end

        private

        def note(connection, sql, error)
          case Sql.kind(sql)
          when :begin, :rollback then connection.shop_dr_wrote = false
          when :commit
            return unless connection.shop_dr_wrote && may_have_run?(connection, error)

            Attempt.current.committed!("a transaction that wrote was committed, or may be")
          when :write
            if connection.transaction_open?
              connection.shop_dr_wrote = true
            elsif may_have_run?(connection, error)
              Attempt.current.committed!("a statement outside of a transaction may have written")
            end
          end
        end

        def may_have_run?(connection, error) = Faults.may_have_run?(error, listens: connection.shop_dr_listens)
      end
    end
  end
end
