# frozen_string_literal: true

require "minitest/autorun"
require "json"
require "open3"
require "tmpdir"

# An application that is started with one word, and anew with another: what it gave away comes back.
class KeyBaseTest < Minitest::Test
  OLD, NEW, FOREIGN = "1" * 128, "2" * 128, "3" * 128

  APP = <<~'RUBY'
    require "json"
    require "rails"; require "active_record/railtie"; require "action_controller/railtie"; require "active_job/railtie"; require "active_storage/engine"
    require "shop_dr"
    class Small < Rails::Application
      config.load_defaults(Float(ENV.fetch("DEFAULTS"))); config.eager_load = false; config.logger = Logger.new(nil)
      config.session_store :cookie_store, key: "_small"
      config.hosts.clear
      config.active_storage.service_configurations = { "local" => { "service" => "Disk", "root" => Dir.pwd } }
      config.active_storage.service = :local
      routes.append { get "/in", to: "doors#come"; get "/who", to: "doors#who" }
    end
    class DoorsController < ActionController::Base
      def come
        session[:who] = "eve"
        cookies.signed[:basket] = { value: "7", httponly: true }
        render plain: "in"
      end

      def who = render(json: [session[:who], cookies.signed[:basket]])
    end
    Item = Struct.new(:id) do
      include GlobalID::Identification
      def self.find(id) = new(id)
    end
    Small.initialize!
    app = Rack::MockRequest.new(Small)
    ActiveRecord::Base # loads it
    if ARGV.empty?
      told = app.get("/in", "HTTPS" => "on")
      cookies = Array(told["set-cookie"] || told["Set-Cookie"]).flat_map { _1.split("\n") }.map { _1.split(";").first }.join("; ")
      puts JSON.dump(cookies: cookies, word: Small.message_verifier("links").generate("x"), blob: ActiveStorage.verifier.generate(5, purpose: :blob_id),
                     signed: ActiveRecord::Base.signed_id_verifier.generate(9, purpose: "item"), global: Item.new("4").to_sgid.to_s)
    else
      old = JSON.parse(ARGV.first)
      puts JSON.dump([*JSON.parse(app.get("/who", "HTTPS" => "on", "HTTP_COOKIE" => old["cookies"]).body), Small.message_verifier("links").verified(old["word"]),
                      ActiveStorage.verifier.verified(old["blob"], purpose: :blob_id), ActiveRecord::Base.signed_id_verifier.verified(old["signed"], purpose: "item"),
                      GlobalID::Locator.locate_signed(old["global"])&.id])
    end
  RUBY
  ALL, NONE = ["eve", "7", "x", 5, 9, "4"].freeze, [nil] * 6

  def started(word, *arguments, beside: nil, defaults: "7.1")
    env = { "SECRET_KEY_BASE" => word, "DR_SECRET_KEY_BASE_BESIDE" => beside, "RAILS_ENV" => "production", "DATABASE_URL" => "postgresql:///x", "DEFAULTS" => defaults }
    Dir.mktmpdir do |folder|
      out, err, status = Open3.capture3(env, "ruby", "-I", File.expand_path("../lib", __dir__), "-e", APP, "--", *arguments, chdir: folder)
      assert status.success?, err
      JSON.parse(out.lines.last)
    end
  end

  def read(given, *told, **more) = started(*told, JSON.dump(given), **more)

  def test_what_was_given_away_is_read_at_each_stage_by_each_side
    given = started(OLD)
    assert_equal ALL, read(given, OLD)
    assert_equal ALL, read(given, OLD, beside: NEW), "the new one lies beside"
    assert_equal ALL, read(given, NEW, beside: OLD), "the new one is in use"
    assert_equal NONE, read(given, NEW), "the old one opens nothing any more"
    assert_equal NONE, read(given, NEW, beside: FOREIGN)
  end

  def test_what_is_made_is_made_with_the_own_word
    given = started(NEW, beside: OLD)
    assert_equal ALL, read(given, NEW)
    assert_equal ALL, read(given, OLD, beside: NEW), "a region that has not turned yet"
    assert_equal NONE, read(given, OLD)
  end

  def test_keys_that_are_derived_as_of_an_older_rails
    given = started(OLD, defaults: "6.1")
    assert_equal ALL, read(given, NEW, beside: OLD, defaults: "6.1")
  end

  def test_an_empty_word_is_none
    assert_equal ALL, read(started(OLD), OLD, beside: "")
  end
end
