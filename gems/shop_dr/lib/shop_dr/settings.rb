# frozen_string_literal: true

module ShopDr
  # `config.shop_dr` of an application. Times in seconds. A name that is not here is a NoMethodError at start.
  class Settings
    # Where the application's database.yml or URL says nothing. A server that went silent is given up in three seconds, not in a quarter of an hour
    # (`tcp_user_timeout` in milliseconds, Linux).
    CONNECTION = {
      connect_timeout: 2, tcp_user_timeout: 3000, keepalives: 1, keepalives_idle: 5, keepalives_interval: 2, keepalives_count: 2
    }.freeze

    RETRIES = %i[untouched safe never].freeze

    # Web: how long a request is held, how many at once in this process, which are run again, paths that are not held.
    attr_accessor :max_wait, :max_held, :idempotency_header, :skip
    attr_reader :retry
    # Paths (nil: none), the token that opens the deep one to those who do not ask from this machine.
    attr_accessor :health_path, :deep_path, :deep_token
    # Jobs: how long one waits for the writer before it is handed back to its queue's own retries.
    attr_accessor :job_wait
    # Database: parameters of libpq that are set where the application sets none; between two looks for the writer.
    attr_accessor :connection, :pause
    # Cache: between two looks whether a kept connection still leads to the leader; how long a command looks for it.
    attr_accessor :cache_check, :cache_wait, :cache_timeout, :cache_pool
    attr_accessor :role_file, :site

    def initialize(env = ENV)
      threads = Integer(env.fetch("RAILS_MAX_THREADS", "5"))
      @max_wait, @max_held, @retry, @idempotency_header, @skip = 8.0, threads, :untouched, nil, ["/cable"]
      @health_path, @deep_path, @deep_token = "/health", "/health/deep", env["SHOP_DR_HEALTH_TOKEN"]
      @job_wait, @connection, @pause = 60.0, CONNECTION.dup, 0.05
      @cache_check, @cache_wait, @cache_timeout, @cache_pool = 1.0, 2.0, 1.0, threads
      @role_file, @site = env["DR_ROLE_FILE"], env["DR_SITE"]
    end

    # :untouched, :safe or :never.
    def retry=(value)
      unless RETRIES.include?(value)
        raise ArgumentError, "config.shop_dr.retry: found #{value.inspect}, wanted one of #{RETRIES.map(&:inspect).join(", ")}"
      end

      @retry = value
    end
  end
end
