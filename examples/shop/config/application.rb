# frozen_string_literal: true

# Debian's own packages are loaded as they are: no Bundler, hence nothing to fetch on the day of a failover.
ENV["RAILS_ENV"] ||= "production"

require "logger"
require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "action_view/railtie"

require_relative "../lib/shop_settings"

module Shop
  # A shop small enough to read in a quarter of an hour, with everything that a change of region can break: a database, a cache, a
  # bucket, a worker.
  class Application < Rails::Application
    config.load_defaults 7.2
    config.root = File.expand_path("..", __dir__)
    config.eager_load = true
    config.consider_all_requests_local = false
    # Links are made of the asked name, so a forged one must not come so far, nor one in X-Forwarded-Host. Health is asked by address.
    config.hosts = [Shop::SETTINGS.host]
    config.host_authorization = { exclude: ->(request) { request.path == "/health" } }
    config.secret_key_base = Shop::SETTINGS.secret_key_base
    config.session_store :disabled
    config.api_only = false
    config.log_level = :info
    config.logger = ActiveSupport::TaggedLogging.new(ActiveSupport::Logger.new($stdout))
    config.log_tags = [:request_id]
    config.filter_parameters += %i[passw secret token key]
    config.active_record.dump_schema_after_migration = false
  end
end
