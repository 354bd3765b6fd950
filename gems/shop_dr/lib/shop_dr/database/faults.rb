# frozen_string_literal: true

module ShopDr
  module Database
    # Which errors say that the writer has gone or is not there yet, and which say for certain that a statement did nothing.
    module Faults
      # Read-only; going down; crashed; not yet up. Class 08 besides: the connection itself.
      STATES = %w[25006 57P01 57P02 57P03].freeze
      # The server is there and says no: nobody comes back from these by waiting for another.
      HOPELESS = Regexp.union(
        /password authentication failed|no password supplied|invalid connection option/, /(?:database|role) ".*" does not exist/,
        /too many (?:clients already|connections for)|remaining connection slots/
      )
      # As libpq words it where the line is closed behind it, so that no SQLSTATE comes with it; in another language nothing is known.
      TOLD_TO_GO = /FATAL:\s+terminating connection due to administrator command/
      # A connection that another thread has closed.
      TAKEN = /stream closed in another thread/
      DEEPEST = 5

      module_function

      # Whether an error, or what caused it, passes once a writer is found.
      def passing?(error)
        causes(error).any? { |each| passing_itself?(each) }
      end

      # Whether a statement, or the transaction that a COMMIT was to end, may have done its work although it ended with `error` (nil: with none).
      # `listens`: its session has said LISTEN, and may be told to go while it reads notices behind a commit.
      def may_have_run?(error, listens: false)
        return true if error.nil?
        return false if defined?(ActiveRecord::ConnectionNotEstablished) && error.is_a?(ActiveRecord::ConnectionNotEstablished)
        return listens if told_to_go?(error)

        # The server has answered with an error: the statement is undone. Not so when it crashed, or the line was cut.
        state = causes(error).filter_map { |each| state_of(each) }.first
        state.nil? || state.start_with?("57P", "08", "XX")
      end

      # PostgreSQL's session looks whether it was told to go (a planned stop) before it commits and after it has answered, never between: who gets
      # this in place of an answer has nothing there. One that has committed and waits for its synchronous standby ends without it.
      # tests/host/servers/test_told_to_go.py counts it.
      def told_to_go?(error)
        causes(error).any? { |each| state_of(each) == "57P01" || (defined?(PG::Error) && each.is_a?(PG::Error) && each.message.match?(TOLD_TO_GO)) }
      end

      def state_of(error)
        return unless defined?(PG::Error) && error.is_a?(PG::Error)

        error.result&.error_field(PG::PG_DIAG_SQLSTATE)
      end

      def causes(error)
        found = []
        while error && found.size < DEEPEST
          found << error
          error = error.cause
        end
        found
      end

      def passing_itself?(error)
        return error.message.match?(TAKEN) if error.is_a?(IOError)
        return false unless defined?(PG::Error) && error.is_a?(PG::Error)

        state = state_of(error)
        return STATES.include?(state) || state.start_with?("08") if state

        (error.is_a?(PG::ConnectionBad) || error.is_a?(PG::UnableToSend)) && !error.message.match?(HOPELESS)
      end
    end
  end
end
