# frozen_string_literal: true

require_relative "helper"
require "action_controller/railtie"
require "active_storage/engine"
require "tmpdir"

class SettingsTest < Minitest::Test
  include Fresh

  AWS_ENV = { "AWS_ACCESS_KEY_ID" => "AK", "AWS_SECRET_ACCESS_KEY" => "secret", "AWS_REGION" => "gra", "AWS_ENDPOINT_URL_S3" => "https://s3.gra.example",
              "S3_BUCKET" => "assets-a" }.freeze

  def with(env)
    before = ENV.to_h
    ENV.update(env)
    yield
  ensure
    ENV.replace(before)
  end

  def test_a_setting_that_is_none_stops_the_start
    assert_raises(NoMethodError) { ShopDr.settings.max_weight = 3 }
  end

  def test_storage_is_filled_up_from_the_environment_and_nothing_is_replaced
    told = { "local" => { "service" => "Disk", "root" => "x" }, "assets" => { "service" => "S3" },
             "own" => { "service" => "S3", "bucket" => "ours", "endpoint" => "https://other", "region" => "" } }
    with(AWS_ENV) do
      found = ShopDr::Storage.complete(told)
      assert_equal({ service: "Disk", root: "x" }, found[:local])
      assert_equal ["assets-a", "gra", "https://s3.gra.example", true, "AK"], found[:assets].values_at(:bucket, :region, :endpoint, :force_path_style, :access_key_id)
      assert_equal %w[ours https://other gra], found[:own].values_at(:bucket, :endpoint, :region)
      registry = ActiveStorage::Service::Registry.new(found)
      assert_equal "assets-a", registry.fetch(:assets).bucket.name
      assert_equal "https://s3.gra.example", registry.fetch(:assets).client.client.config.endpoint.to_s
    end
    assert_equal({ own: { service: "S3", bucket: "ours" } }, ShopDr::Storage.complete("own" => { "service" => "S3", "bucket" => "ours" }).transform_values { |it| it.slice(:service, :bucket) })
  end

  def test_a_cache_store_that_names_a_server_of_its_own_stays
    env = { "DR_CACHES" => "a:1,b:1", "REDIS_URL" => "redis://127.0.0.1/0" }
    ours = ->(*told) { ShopDr::Cache.store(told, env)[1]&.key?(:redis) }
    assert_equal [true, true, true], [ours.call(:redis_cache_store), ours.call(:redis_cache_store, {}), ours.call(:redis_cache_store, { url: env["REDIS_URL"] })]
    assert_equal [false, true], [ours.call(:redis_cache_store, { url: "redis://other/0" }), ours.call(:redis_cache_store, { redis: 7 })]
    assert_nil ours.call(:memory_store)
  end

  def test_connections_get_what_the_application_leaves_open
    made = ->(**config) { ActiveRecord::ConnectionAdapters::PostgreSQLAdapter.new(config).instance_variable_get(:@connection_parameters) }
    ShopDr::Database::Connections.install unless ActiveRecord::ConnectionAdapters::PostgreSQLAdapter.include?(ShopDr::Database::Connections::Adapter)
    assert_equal ["read-write", 2, 3000], made.call(host: "a,b", database: "x").values_at(:target_session_attrs, :connect_timeout, :tcp_user_timeout)
    assert_equal ["any", "9"], made.call(host: "a,b", target_session_attrs: "any", connect_timeout: "9").values_at(:target_session_attrs, :connect_timeout)
    assert_nil made.call(host: "a")[:target_session_attrs]
    assert_nil made.call(host: "a,b", replica: true)[:target_session_attrs]
  end

  def test_the_railtie_puts_all_in_its_place
    code = <<~RUBY
      require "rails"; require "active_record/railtie"; require "action_controller/railtie"; require "active_job/railtie"; require "active_storage/engine"
      require "shop_dr"
      class Small < Rails::Application
        config.load_defaults 7.1; config.eager_load = false; config.secret_key_base = "x" * 128; config.logger = Logger.new(nil)
        config.shop_dr.max_wait = 3; config.shop_dr.health_path = "/up"
        config.active_storage.service_configurations = { "assets" => { "service" => "S3" } }
        config.active_storage.service = :assets
      end
      Small.initialize!
      names = Small.middleware.map(&:name)
      ActiveRecord::ConnectionAdapters::PostgreSQLAdapter rescue require "active_record/connection_adapters/postgresql_adapter"
      puts [names.first, names[names.index("ActionDispatch::DebugExceptions") + 1], ShopDr.settings.max_wait, ShopDr.settings.health_path,
            ActiveJob::Base.include?(ShopDr::Jobs::Held), ActiveRecord::ConnectionAdapters::PostgreSQLAdapter.include?(ShopDr::Database::Connections::Adapter),
            ActiveStorage::Blob.service.bucket.name].inspect
    RUBY
    Dir.mktmpdir do |folder|
      command = ["ruby", "-I", File.expand_path("../lib", __dir__), "-e", code]
      told = IO.popen([AWS_ENV.merge("RAILS_ENV" => "production", "DATABASE_URL" => "postgresql:///x"), *command, { chdir: folder, err: %i[child out] }], &:read)
      assert_equal '["ShopDr::Web::Health", "ShopDr::Web::Hold", 3, "/up", true, true, "assets-a"]', told.lines.last&.strip, told
    end
  end
end
