# frozen_string_literal: true

require "logger"
require_relative "shop_dr/version"
require_relative "shop_dr/settings"
require_relative "shop_dr/counters"
require_relative "shop_dr/role"
require_relative "shop_dr/attempt"
require_relative "shop_dr/database/sql"
require_relative "shop_dr/database/faults"
require_relative "shop_dr/database/hosts"
require_relative "shop_dr/database/writer"
require_relative "shop_dr/holding"

# What a Rails application needs to live through the move of its writer to another region. `require "shop_dr"` after Rails is all; see README.md.
module ShopDr
  autoload :Cache, File.expand_path("shop_dr/cache", __dir__)
  autoload :Jobs, File.expand_path("shop_dr/jobs", __dir__)
  autoload :Storage, File.expand_path("shop_dr/storage", __dir__)

  class Error < StandardError; end

  # No server took writes within the time that a request or a job is held.
  class NoWriter < Error; end

  # More are held already than `max_held`.
  class TooManyHeld < Error; end

  class << self
    attr_writer :logger

    def settings = @settings ||= Settings.new
    def counters = @counters ||= Counters.new
    def role = @role ||= Role.new(settings)
    def writer = @writer ||= Database::Writer.new(settings, counters)
    def logger = @logger || (defined?(Rails) && Rails.respond_to?(:logger) && Rails.logger) || (@stderr ||= Logger.new($stderr))

    # A client of the leading cache, for all threads: `ShopDr.redis.call("GET", key)`. Raises KeyError where DR_CACHES is not set.
    def redis = @redis ||= Cache.pool

    # Runs the block once a writer is known, and again by the rules of a request. For code that is neither a request nor an Active Job.
    # Raises NoWriter when nobody takes writes for `job_wait` seconds, else what the block raises.
    def hold(name = "block", max_wait: settings.job_wait, &)
      Holding.new(name, max_wait: max_wait).work(&)
    end

    # Says that what runs now has reached outside in a way that nobody sees: it is not run again.
    def began!(what = "said so")
      Attempt.current&.left!(what)
    end
  end
end

require_relative "shop_dr/railtie" if defined?(Rails::Railtie)
