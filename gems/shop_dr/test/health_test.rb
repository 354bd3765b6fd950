# frozen_string_literal: true

require_relative "helper"

class HealthTest < Minitest::Test
  include Fresh

  def setup
    super
    @shop = Rack::MockRequest.new(ShopDr::Web::Health.new(->(_) { [404, {}, ["the application's"]] }))
  end

  def test_a_process_is_well_while_its_writer_is_away
    assert_equal({ "ok" => true, "site" => nil, "role" => nil, "writer" => "there", "away_s" => nil, "held" => 0 }, JSON.parse(@shop.get("/health").body))
    @writer.lose
    answer = @shop.get("/health")
    assert_equal [200, "away", 1.5], [answer.status, *JSON.parse(answer.body).values_at("writer", "away_s")]
    assert_equal "", @shop.head("/health").body
    assert_equal 404, @shop.post("/health").status
  end

  def deep(told) = @shop.get("/health/deep", told).body.include?("counters")

  def test_the_deep_one_is_open_to_this_machine_and_to_who_shows_the_token
    ShopDr::Web::Deep.class_eval { alias_method :asked, :database; def database = nil }
    assert deep("REMOTE_ADDR" => "127.0.0.1")
    assert deep("REMOTE_ADDR" => "::1")
    refute deep("REMOTE_ADDR" => "10.0.0.7")
    refute deep({})
    refute deep("REMOTE_ADDR" => "127.0.0.1", "HTTP_X_FORWARDED_FOR" => "127.0.0.1")
    refute deep("REMOTE_ADDR" => "127.0.0.1", "HTTP_X_REAL_IP" => "203.0.113.9")
    refute deep("REMOTE_ADDR" => "10.0.0.7", "HTTP_AUTHORIZATION" => "Bearer "), "no token is none"
    ShopDr.settings.deep_token = "t0ken"
    assert deep("REMOTE_ADDR" => "10.0.0.7", "HTTP_AUTHORIZATION" => "Bearer t0ken", "HTTP_X_FORWARDED_FOR" => "203.0.113.9")
    refute deep("REMOTE_ADDR" => "10.0.0.7", "HTTP_AUTHORIZATION" => "Bearer other")
  ensure
    ShopDr::Web::Deep.class_eval { alias_method :database, :asked }
  end

  def test_both_can_be_elsewhere_or_nowhere
    ShopDr.settings.health_path = "/up"
    ShopDr.settings.deep_path = nil
    assert_equal [200, 404, 404], ["/up", "/health", "/health/deep"].map { |path| @shop.get(path, "REMOTE_ADDR" => "127.0.0.1").status }
  end
end
