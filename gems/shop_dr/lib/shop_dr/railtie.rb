# frozen_string_literal: true

require "rails/railtie"
require_relative "effects"
require_relative "key_base"
require_relative "web/health"
require_relative "web/hold"

module ShopDr
  # All of it, without code in the application.
  class Railtie < Rails::Railtie
    config.shop_dr = ShopDr.settings

    # Before Rails makes Rails.cache, which it does first of all.
    initializer "shop_dr.cache", before: :initialize_cache, group: :all do |app|
      told = Array(app.config.cache_store)
      app.config.cache_store = Cache.store(told) if told.first == :redis_cache_store && ENV.key?("DR_CACHES")
    end

    initializer "shop_dr.database" do
      ActiveSupport.on_load(:active_record_postgresqladapter) do
        require_relative "database/connections"
        Database::Connections.install
      end
    end

    # Health is asked by address, which an application may refuse; what is held is held before its errors become pages.
    initializer "shop_dr.web" do |app|
      app.middleware.insert_before(0, Web::Health)
      app.middleware.insert_after(ActionDispatch::DebugExceptions, Web::Hold) if defined?(ActionDispatch::DebugExceptions)
    end

    initializer "shop_dr.jobs" do
      ActiveSupport.on_load(:active_job) { prepend Jobs::Held }
    end

    initializer "shop_dr.storage", before: "active_storage.services" do |app|
      if defined?(ActiveStorage::Engine)
        file = [app.root.join("config/storage/#{Rails.env}.yml"), app.root.join("config/storage.yml")].find(&:exist?)
        told = app.config.active_storage.service_configurations || (file && ActiveSupport::ConfigurationFile.parse(file))
        app.config.active_storage.service_configurations = Storage.complete(told) if told
      end
    end

    config.before_initialize do |app|
      other = KeyBase.beside
      KeyBase.verifiers(app, other) if other
    end

    # Behind Rails' own of that time, which were asked for by initializers before this one.
    initializer "shop_dr.key_base", after: :load_config_initializers do |app|
      other = KeyBase.beside
      config.after_initialize { KeyBase.rest(app, other) } if other
    end

    config.after_initialize do
      Effects.install
      Jobs.install
      Cache if defined?(RedisClient)
    end
  end
end
