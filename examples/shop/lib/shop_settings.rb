# frozen_string_literal: true

require "json"

module Shop
  # Everything the environment says, read once at start. A missing variable stops the process with its name.
  class Settings
    Database = Struct.new(:hosts, :port, :name, :user, :password, :ca, :pool, keyword_init: true)
    Cache = Struct.new(:hosts, :port, :user, :password, :ca, :cert, :key, keyword_init: true)
    Assets = Struct.new(:endpoint, :region, :bucket, :access_key, :secret_key, keyword_init: true)

    attr_reader :site, :host, :secret_key_base, :database, :cache, :assets

    def initialize(env)
      @env = env
      @site = need("SHOP_SITE")
      @host = need("SHOP_HOST")
      @secret_key_base = need("SECRET_KEY_BASE")
      @database = read_database
      @cache = read_cache
      @assets = Assets.new(
        endpoint: need("SHOP_ASSETS_ENDPOINT"),
        region: need("SHOP_ASSETS_REGION"),
        bucket: need("SHOP_ASSETS_BUCKET"),
        access_key: need("SHOP_ASSETS_ACCESS_KEY"),
        secret_key: need("SHOP_ASSETS_SECRET_KEY")
      )
    end

    private

    def need(name)
      @env.fetch(name) { abort "shop: environment variable #{name} is not set; it is written to /etc/shop/env by `dr-host app converge`" }
    end

    def ca
      @env.fetch("SHOP_CA", "/etc/dr/ca.pem")
    end

    def read_database
      Database.new(
        hosts: need("SHOP_DATABASE_HOSTS").split(","),
        port: Integer(@env.fetch("SHOP_DATABASE_PORT", "5432")),
        name: need("SHOP_DATABASE_NAME"),
        user: need("SHOP_DATABASE_USER"),
        password: need("SHOP_DATABASE_PASSWORD"),
        ca: ca,
        pool: Integer(@env.fetch("SHOP_THREADS", "5"))
      )
    end

    def read_cache
      Cache.new(
        hosts: need("SHOP_CACHES").split(","),
        port: Integer(@env.fetch("SHOP_CACHE_PORT", "6379")),
        user: @env.fetch("SHOP_CACHE_USER", "shop"),
        password: need("SHOP_CACHE_PASSWORD"),
        ca: need("SHOP_CACHE_CA"),
        cert: need("SHOP_CACHE_CERT"),
        key: need("SHOP_CACHE_KEY")
      )
    end
  end

  SETTINGS = Settings.new(ENV)
end
