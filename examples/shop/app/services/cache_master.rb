# frozen_string_literal: true

require "redis"

# One connection per thread to whichever of the caches is the master.
module CacheMaster
  # No cache says that it is a master.
  class NoMaster < StandardError; end

  CONNECT_TIMEOUT = 1.0
  IO_TIMEOUT = 2.0
  # A cache that is loading, paused past its limit, cut off from its master, or no longer the master.
  PASSING = /\A(READONLY|MASTERDOWN|LOADING|UNBLOCKED|NOREPLICAS)/

  module_function

  # Yields a client of the master. A connection that failed, or whose server is not the master any more, is dropped.
  def with
    yield current
  rescue StandardError => e
    drop if passing?(e)
    raise
  end

  def passing?(error)
    case error
    when NoMaster, Redis::BaseConnectionError, RedisClient::ConnectionError then true
    when Redis::CommandError then error.message.match?(PASSING)
    else false
    end
  end

  # Results of the commands that the block gives to the transaction, of the master alone. A kept connection may lead to a cache that was the
  # master once: to a read it answers without an error, with whatever it still holds. So the role is asked for in the same transaction.
  def transaction
    with do |redis|
      (role, *), *results = redis.multi do |transaction|
        transaction.call("ROLE")
        yield transaction
      end
      raise NoMaster, "the cache is a #{role} by now" unless role == "master"

      results
    end
  end

  def role
    transaction { |_| nil }
    "master"
  end

  def current
    Thread.current.thread_variable_get(:cache_master) || find.tap { |redis| Thread.current.thread_variable_set(:cache_master, redis) }
  end

  def drop
    redis = Thread.current.thread_variable_get(:cache_master)
    Thread.current.thread_variable_set(:cache_master, nil)
    redis&.close
  end

  def find
    failures = Shop::SETTINGS.cache.servers.map do |host, port|
      redis = connect(host, port)
      role = redis.call("ROLE").first
      return redis if role == "master"

      redis.close
      "#{host}: #{role}"
    rescue Redis::BaseError => e
      redis&.close
      "#{host}: #{e.class}"
    end
    raise NoMaster, "no cache is a master (#{failures.join(", ")})"
  end

  def connect(host, port)
    cache = Shop::SETTINGS.cache
    Redis.new(
      host: host,
      port: Integer(port),
      username: cache.user,
      password: cache.password,
      ssl: true,
      ssl_params: { ca_file: cache.ca, cert: cache.cert, key: cache.key },
      connect_timeout: CONNECT_TIMEOUT,
      read_timeout: IO_TIMEOUT,
      write_timeout: IO_TIMEOUT,
      reconnect_attempts: 0
    )
  end
end
