# frozen_string_literal: true

require_relative "helper"
require "json"
require "socket"

class WriterTest < Minitest::Test
  include Fresh

  # Its looks are answered by a block.
  def writer(&answer)
    ShopDr::Database::Writer.new(ShopDr.settings, ShopDr.counters).tap do |made|
      made.define_singleton_method(:writes?, &answer)
      made.lost(lost_connection, {})
    end
  end

  def soon = ShopDr.now + 5

  def test_one_looks_for_all_who_wait
    at_once, most, looks, lock = 0, 0, 0, Mutex.new
    found = writer do
      lock.synchronize { most = [most, at_once += 1].max }
      sleep(0.01)
      lock.synchronize { (at_once -= 1) && (looks += 1) >= 3 }
    end
    assert_equal [true] * 8, Array.new(8) { Thread.new { found.wait(soon) } }.map(&:value)
    assert_equal [1, 3, 1], [most, looks, counters[:writer_lost]]
  end

  def test_who_is_stopped_while_it_looks_keeps_nobody_from_looking
    tries = 0
    found = writer { (tries += 1) > 1 || raise(Interrupt) }
    assert_raises(Interrupt) { found.wait(soon) }
    assert found.wait(soon)
  end

  # Puma's workers, Resque and Solid Queue fork while a thread looks.
  def test_a_process_that_is_forked_while_somebody_looks_looks_by_itself
    first, go = true, Queue.new
    found = writer do
      next true unless first

      first = false
      go << true
      sleep
    end
    looker = Thread.new { found.wait(soon) }
    go.pop
    ShopDr.counters.enter(1)
    told, says = IO.pipe
    child = fork do
      says.write(JSON.generate([found.wait(ShopDr.now + 0.5), ShopDr.counters.enter(1), ShopDr.counters.enter(1)]))
      says.close
      exit!(0)
    end
    says.close
    assert_equal [true, true, false], JSON.parse(told.read)
    Process.wait(child)
  ensure
    looker&.kill
  end

  # It lets one in, and its process hangs.
  def test_a_server_that_says_nothing_holds_up_nobody_for_ever
    server = TCPServer.new("127.0.0.1", 0)
    lets_in = Thread.new do
      loop do
        line = server.accept
        line.readpartial(500)
        line.write(["R", 8, 0].pack("aNN"), ["Z", 5, "I"].pack("aNa"))
      end
    end
    found = ShopDr::Database::Writer.new(ShopDr.settings, ShopDr.counters)
    found.lost(lost_connection, { host: "127.0.0.1", port: server.addr[1], user: "x", dbname: "x", sslmode: "disable", gssencmode: "disable" })
    waiter = Thread.new { found.wait(ShopDr.now + 0.5) }
    assert waiter.join(2 + ShopDr::Database::Writer::ANSWER + 2), "it still waits"
    refute waiter.value
  ensure
    [lets_in, waiter].compact.each(&:kill)
    server&.close
  end

  # Between the question whether it is there and the look, somebody else has found it.
  def test_who_comes_too_late_to_look_does_not_look_and_the_next_loss_is_found
    looks = 0
    found = writer { (looks += 1).positive? }
    asked = 0
    found.define_singleton_method(:there?) { (asked += 1) == 1 ? false : super() }
    found.send(:look)
    assert found.wait(soon)
    assert_equal 1, looks
    found.lost(lost_connection, {})
    assert found.wait(soon)
    assert_equal 2, looks
  end

  def test_it_is_waited_for_so_long_and_no_longer
    begun = ShopDr.now
    refute(writer { false }.wait(begun + 0.2))
    assert_in_delta 0.2, ShopDr.now - begun, 0.3
  end

  def test_what_is_lost_while_somebody_looks_is_looked_for_again
    looks = 0
    found = writer do
      lost(RuntimeError.new("again"), {}) if (looks += 1) == 1
      true
    end
    assert found.wait(soon)
    assert_equal 2, looks
  end

  def test_an_error_of_a_connection_of_before_loses_nothing_again
    found = writer { true }
    before = found.generation - 1
    found.wait(soon)
    found.lost(lost_connection, {}, before)
    assert found.there?
    found.lost(lost_connection, {}, found.generation)
    refute found.there?
  end

  def test_the_log_says_once_what_the_server_said
    found = writer { true }
    found.lost(lost_connection, {})
    assert_equal 1, @log.string.scan("no writer: server closed the connection unexpectedly").size
  end
end
