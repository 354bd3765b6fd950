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
      # A connection that another thread has closed.
      TAKEN = /stream closed in another thread/
      DEEPEST = 5

      module_function

      # Whether an error, or what caused it, passes once a writer is found.
      def passing?(error)
        causes(error).any? { |each| passing_itself?(each) }
      end

      # Whether a statement that ended with `error` (nil: with none) may have done its work all the same.
      def may_have_run?(error)
        return true if error.nil?
        return false if defined?(ActiveRecord::ConnectionNotEstablished) && error.is_a?(ActiveRecord::ConnectionNotEstablished)

        # The server has answered with an error: the statement is undone. Not so when it was told to go, or the line was cut.
        state = causes(error).filter_map { |each| state_of(each) }.first
        state.nil? || state.start_with?("57P", "08", "XX")
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
