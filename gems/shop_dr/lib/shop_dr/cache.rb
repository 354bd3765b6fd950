# frozen_string_literal: true

require "redis-client"
require_relative "cache/leader"
require_relative "cache/effects"

module ShopDr
  # The leading cache, for `ShopDr.redis`, Rails.cache and whoever wants a client of it.
  module Cache
    module_function

    # A configuration of redis-client that leads to whoever of DR_CACHES is the master. Raises KeyError for a variable that is not set.
    def config(env = ENV, **more)
      settings = ShopDr.settings
      hosts = env.fetch("DR_CACHES").split(",").map { |each| each.strip.rpartition(":").values_at(0, 2) }
      tls = env.key?("DR_CACHE_CA") ? { ca_file: env["DR_CACHE_CA"], cert: env["DR_CACHE_CERT"], key: env["DR_CACHE_KEY"] }.compact : nil
      Leader.new(hosts: hosts, tls: tls, username: env["DR_CACHE_USER"], password: env["DR_CACHE_PASSWORD"], wait: settings.cache_wait,
                 check: settings.cache_check, timeout: settings.cache_timeout, **more)
    end

    def pool
      config.new_pool(size: ShopDr.settings.cache_pool)
    end

    # An object of the gem `redis` (5), as ActiveSupport's redis_cache_store wants one.
    def redis(**more)
      require "redis"
      require_relative "cache/redis"
      LeaderRedis.new(more)
    end

    # What `config.cache_store` becomes: a redis_cache_store that names no server of its own finds the leader. Others stay as they are.
    def store(told, env = ENV)
      name, options = told
      options ||= {}
      return told if name != :redis_cache_store || options.key?(:redis)
      return told unless [nil, env["REDIS_URL"]].include?(options[:url])

      [name, options.except(:url).merge(redis: -> { redis(custom: { shop_dr_cache: true }) })]
    end
  end
end

RedisClient.register(ShopDr::Cache::Effects)
