# frozen_string_literal: true

require "timeout"

module ShopDr
  module Database
    # Whether a server takes writes, as far as this process knows. Nobody looks while all is well; once it is lost, one of those who wait looks
    # for all of them. There is no thread of its own, so nothing is to be started again after a fork.
    class Writer
      ASK = "SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean) AS writes"
      # Goes through the log of the server that writes, so that a full disk is seen, and leaves nothing in any table.
      WRITE = "SELECT pg_logical_emit_message(true, 'shop_dr', '')"
      # Seconds for the answers of a server that has let one in: its process may hang. libpq has a limit for the way there alone.
      ANSWER = 2

      # Grows with each loss: a connection that was made before is not used again.
      attr_reader :generation

      def initialize(settings, counters)
        @settings, @counters = settings, counters
        @mutex, @back = Mutex.new, ConditionVariable.new
        @generation = 0
        @away_since = nil
        @looking = nil # the process that looks: one that was forked meanwhile has nobody who does
      end

      def there? = @away_since.nil?

      # Seconds since it was lost; nil while it is there.
      def away_s
        since = @away_since
        since && (ShopDr.now - since)
      end

      # A connection of `generation` (nil: one that could not be made) has ended with an error that passes; `parameters` are libpq's.
      def lost(error, parameters, generation = nil)
        first = @mutex.synchronize do
          next false if generation && generation < @generation

          @parameters = parameters
          @generation += 1
          @away_since.nil?.tap { @away_since ||= ShopDr.now }
        end
        return unless first

        @counters.add(:writer_lost)
        ShopDr.logger.warn("shop_dr: no writer: #{said(error)}")
      end

      # Waits until it is there, at most to `deadline` (and one connect more). Returns whether it is.
      def wait(deadline)
        until there?
          return false if ShopDr.now >= deadline

          looks = @mutex.synchronize do
            # Found by somebody else since the question above.
            return true if there?

            if @looking == Process.pid
              @back.wait(@mutex, [deadline - ShopDr.now, 0.001].max)
              false
            else
              @looking = Process.pid
            end
          end
          sleep(@settings.pause) unless !looks || look
        end
        true
      end

      # A connection of its own to whoever takes writes, with parameters of libpq; closed behind the block. Raises PG::Error.
      def self.open(parameters)
        connection = Hosts.connect(parameters)
        yield connection
      ensure
        connection&.finish
      end

      # Libpq's parameters for a pool of Active Record.
      def self.parameters(pool, settings)
        found = pool.db_config.configuration_hash.compact
        found = found.merge(user: found[:username] || found[:user], dbname: found[:database]).compact
        settings.connection.merge(found.slice(*PG::Connection.conndefaults_hash.keys))
      end

      private

      # Whoever looks may be stopped in the midst of it (a time limit of the server's): somebody else looks then.
      def look
        generation, found = @generation, false
        found = writes?
      ensure
        @mutex.synchronize do
          @looking = nil
          # What was lost again meanwhile is looked for again.
          back if found && generation == @generation
          @back.broadcast
        end
      end

      def back
        ShopDr.logger.warn("shop_dr: the writer is back after #{(ShopDr.now - @away_since).round(2)} s")
        @away_since = nil
      end

      def writes?
        Timeout.timeout(limit) { self.class.open(@parameters) { |connection| connection.exec(ASK).getvalue(0, 0) == "t" } }
      rescue PG::Error, SystemCallError, IOError, Timeout::Error
        false
      end

      # Seconds of one look: each server may be silent.
      def limit
        ([@parameters[:connect_timeout].to_i, 2].max * [@parameters[:host].to_s.split(",").size, 1].max) + ANSWER
      end

      # The server's own words in one line: none of them holds a password.
      def said(error)
        causes = Faults.causes(error)
        (causes.find { |each| each.is_a?(PG::Error) } || error).message.split("\n").map(&:strip).reject(&:empty?).first(4).join("; ")
      end
    end
  end
end
