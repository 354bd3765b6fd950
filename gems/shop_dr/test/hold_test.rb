# frozen_string_literal: true

require_relative "helper"

class HoldTest < Minitest::Test
  include Fresh

  # One try of the application after another; the last one stays.
  def shop(*tries, &seen)
    app = lambda do |env|
      seen&.call(env)
      tries.size > 1 ? tries.shift.call(env) : tries.first.call(env)
    end
    Rack::MockRequest.new(ShopDr::Web::Hold.new(app))
  end

  def well(env) = [200, {}, [env["rack.input"]&.read.to_s]]

  def lost(_env = nil)
    @writer.lose
    raise lost_connection
  end

  def test_a_request_that_met_a_lost_writer_is_run_again_with_its_body_and_a_clean_environment
    seen = []
    answer = shop(->(env) { env["rack.input"].read && lost }, method(:well)) { |env| seen << env["of"] && env["of"] = "before" }.post("/orders", input: "two mugs")
    assert_equal [200, "two mugs"], [answer.status, answer.body]
    assert_equal [nil, nil], seen
    assert_match(%r{held POST /orders for 0\.\d+ s, ran 2 times}, @log.string)
  end

  def test_an_answer_of_500_over_a_lost_writer_is_run_again_and_its_body_closed
    closed = []
    body = Struct.new(:closed) { def each = yield("no"); def close = closed << true }.new(closed)
    hidden = lambda do |_|
      @writer.lose
      ShopDr::Attempt.current.fault!(lost_connection)
      [503, {}, body]
    end
    assert_equal 200, shop(hidden, method(:well)).post("/orders").status
    assert_equal [true], closed
  end

  def test_an_answer_of_500_of_the_applications_own_is_not
    runs = 0
    answer = shop(->(_) { [500, {}, ["no"]] }) { runs += 1 }.get("/")
    assert_equal [500, 1], [answer.status, runs]
  end

  def test_one_that_may_have_committed_is_never_run_again
    runs = 0
    begun = ->(env) { ShopDr::Attempt.current.committed!("a commit") && lost(env) }
    %i[get post put delete].each do |verb|
      assert_raises(ActiveRecord::ConnectionFailed) { shop(begun) { runs += 1 }.public_send(verb, "/") }
      @writer.wait(0)
    end
    assert_equal 4, runs
  end

  def test_one_that_promises_to_happen_once_is_run_again_where_the_application_says_so
    begun = ->(env) { ShopDr::Attempt.current.committed!("a commit") && lost(env) }
    told = { "HTTP_IDEMPOTENCY_KEY" => "7" }
    assert_raises(ActiveRecord::ConnectionFailed) { shop(begun, method(:well)).post("/", told) }
    ShopDr.settings.idempotency_header = "Idempotency-Key"
    @writer.wait(0)
    assert_equal 200, shop(begun, method(:well)).post("/", told).status
    assert_raises(ActiveRecord::ConnectionFailed) { shop(begun, method(:well)).post("/") }
  end

  def test_the_ways_to_retry
    { untouched: [200, 200], safe: [200, 503], never: [503, 503] }.each do |way, wanted|
      ShopDr.settings.retry = way
      assert_equal(wanted, %i[get post].map { |verb| @writer.wait(0) && shop(method(:lost), method(:well)).public_send(verb, "/").status }, way)
    end
    assert_raises(ArgumentError) { ShopDr.settings.retry = :always }
  end

  def test_who_waits_in_vain_is_told_that_nothing_was_done
    @writer.lose(0)
    answer = shop(method(:well)) { flunk }.post("/orders")
    assert_equal [503, "1", 1], [answer.status, answer["retry-after"], counters[:gave_up]]
    assert_match(/Nothing was done/, answer.body)
  end

  def test_more_than_may_wait_are_sent_away_at_once
    ShopDr.settings.max_held = 0
    @writer.lose
    assert_equal [503, 1], [shop(method(:well)) { flunk }.get("/").status, counters[:refused]]
  end

  def test_an_error_of_the_applications_own_over_no_writer_says_nothing_of_nothing
    assert_raises(ShopDr::NoWriter) { shop(->(_) { raise ShopDr::NoWriter, "of a block inside" }).get("/") }
  end

  def test_what_becomes_a_websocket_or_is_named_is_not_held
    @writer.lose(0)
    assert_equal 200, shop(method(:well)).get("/live", "HTTP_UPGRADE" => "websocket").status
    assert_equal 200, shop(method(:well)).get("/cable").status
    ShopDr.settings.skip = ->(env) { env["PATH_INFO"] == "/static" }
    assert_equal [200, 503], [shop(method(:well)).get("/static").status, shop(method(:well)).get("/cable").status]
  end

  def test_a_body_that_cannot_be_read_again_is_not_run_again
    input = Object.new
    def input.read(*) = "x"
    middleware = ShopDr::Web::Hold.new(->(_) { lost })
    assert_equal 503, middleware.call(Rack::MockRequest.env_for("/", method: "POST").merge("rack.input" => input)).first
  end

  # All of the request is read: what is closed before is cut.
  def pay(client)
    read = +""
    read << client.readpartial(4096) until read.end_with?("\r\n\r\n") && !read.start_with?("POST") || read.end_with?("\r\n\r\nx")
    client.write("HTTP/1.0 200 OK\r\n\r\n")
    client.close
  end

  def test_what_left_the_process_is_not_run_again
    require "shop_dr/effects"
    ShopDr::Effects.install
    TCPServer.open("127.0.0.1", 0) do |payments|
      thread = Thread.new { loop { pay(payments.accept) } }
      ask = ->(verb) { ->(env) { Net::HTTP.start("127.0.0.1", payments.addr[1]) { |http| http.public_send(verb, "/", *("x" if verb == :post)) } && lost(env) } }
      assert_equal 200, shop(ask.call(:get), method(:well)).post("/").status
      @writer.wait(0)
      assert_raises(ActiveRecord::ConnectionFailed) { shop(ask.call(:post), method(:well)).post("/") }
    ensure
      thread.kill
    end
  end
end
