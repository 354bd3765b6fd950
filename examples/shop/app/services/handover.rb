# frozen_string_literal: true

require "pg"

# Holds a request while the writer moves. The block is run again, whole, until it succeeds or the time is up; it must therefore be
# safe to repeat: an order is known by its key, a cart item is set and not added.
module Handover
  LIMIT = 8.0
  PAUSE = 0.05

  DATABASE_ERRORS = [
    ActiveRecord::ConnectionFailed,
    ActiveRecord::ConnectionNotEstablished,
    ActiveRecord::ConnectionTimeoutError,
    PG::ConnectionBad,
    PG::UnableToSend
  ].freeze

  # SQLSTATE classes of a server that is going away, not yet there, or no longer the writer.
  DATABASE_CAUSES = [
    PG::ReadOnlySqlTransaction,
    PG::AdminShutdown,
    PG::CrashShutdown,
    PG::CannotConnectNow,
    PG::ConnectionBad,
    PG::UnableToSend
  ].freeze

  # Another thread has thrown idle connections away, one that this thread was just taking among them.
  TAKEN = /stream closed in another thread/

  module_function

  # Returns what the block returns; raises its last error when `limit` seconds are over.
  def hold(limit: LIMIT)
    deadline = now + limit
    begin
      yield
    rescue StandardError => e
      raise unless passing?(e) && now + PAUSE < deadline

      forget_connection if database?(e)
      Kernel.sleep(PAUSE)
      retry
    end
  end

  def passing?(error)
    database?(error) || CacheMaster.passing?(error)
  end

  def database?(error)
    case error
    when *DATABASE_ERRORS then true
    when IOError then error.message.match?(TAKEN)
    when ActiveRecord::StatementInvalid, PG::Error then DATABASE_CAUSES.any? { |kind| error.is_a?(kind) || error.cause.is_a?(kind) }
    else false
    end
  end

  # The next query opens a new connection, which looks for the writer among both hosts. Idle ones go too: a connection that was broken while
  # nobody held it (its reset found no writer) fails on every later use, and would be handed out again and again.
  def forget_connection
    pool = ActiveRecord::Base.connection_pool
    pool.active_connection?&.throw_away!
    pool.flush!
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
