# frozen_string_literal: true

module Shop
  # What the environment says beside what Rails itself reads there, read once at start. A missing variable stops the process with its name.
  class Settings
    Cache = Struct.new(:servers, :user, :password, :ca, :cert, :key, keyword_init: true)
    Assets = Struct.new(:endpoint, :region, :bucket, :access_key, :secret_key, keyword_init: true)

    attr_reader :site, :host, :secret_key_base, :cache, :assets

    def initialize(env)
      @env = env
      @site = need("DR_SITE")
      @host = need("APP_HOST")
      @secret_key_base = need("SECRET_KEY_BASE")
      need("DATABASE_URL")
      @cache = read_cache
      @assets = Assets.new(
        endpoint: need("AWS_ENDPOINT_URL_S3"),
        region: need("AWS_REGION"),
        bucket: need("S3_BUCKET"),
        access_key: need("AWS_ACCESS_KEY_ID"),
        secret_key: need("AWS_SECRET_ACCESS_KEY")
      )
    end

    private

    def need(name)
      @env.fetch(name) { abort "shop: environment variable #{name} is not set; it is written to /etc/shop by `dr-host app converge`" }
    end

    def read_cache
      Cache.new(
        servers: need("DR_CACHES").split(",").map { |server| server.split(":") },
        user: need("DR_CACHE_USER"),
        password: need("DR_CACHE_PASSWORD"),
        ca: need("DR_CACHE_CA"),
        cert: need("DR_CACHE_CERT"),
        key: need("DR_CACHE_KEY")
      )
    end
  end

  SETTINGS = Settings.new(ENV)
end
