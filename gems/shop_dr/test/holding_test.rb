# frozen_string_literal: true

require_relative "helper"

class HoldingTest < Minitest::Test
  include Fresh

  def test_what_needs_no_writer_back_runs_once_and_leaves_no_trace
    assert_equal 7, ShopDr.hold { 7 }
    assert_equal [0, ""], [counters[:jobs_held], @log.string]
  end

  def test_nothing_begins_while_no_writer_is_known
    @writer.lose
    assert_equal [0, true], ShopDr.hold { [counters[:held_now], @writer.there?] }
    assert_equal 1, counters[:jobs_held]
    assert_match(/held block for 0\.\d+ s, ran 1 times/, @log.string)
  end

  def test_what_has_written_nothing_runs_again
    runs = 0
    found = ShopDr.hold do
      runs += 1
      (@writer.lose && raise(lost_connection)) if runs == 1
      runs
    end
    assert_equal [2, 1], [found, counters[:retried]]
  end

  def test_what_may_have_written_never_runs_again
    runs = 0
    assert_raises(ActiveRecord::ConnectionFailed) do
      ShopDr.hold do
        runs += 1
        ShopDr::Attempt.current.committed!("a commit was sent")
        @writer.lose
        raise lost_connection
      end
    end
    assert_equal [1, 1, 0], [runs, counters[:not_retried], counters[:retried]]
  end

  def test_what_says_that_it_has_begun_never_runs_again
    runs = 0
    assert_raises(ActiveRecord::ConnectionFailed) { ShopDr.hold { (runs += 1) && ShopDr.began! && raise(lost_connection) } }
    assert_equal 1, runs
  end

  def test_an_error_of_the_application_is_its_own
    runs = 0
    assert_raises(KeyError) { ShopDr.hold { (runs += 1) && raise(KeyError, "x") } }
    assert_equal [1, 0], [runs, counters[:not_retried]]
  end

  def test_a_writer_that_never_comes_is_waited_for_so_long_and_no_longer
    @writer.lose(0)
    assert_raises(ShopDr::NoWriter) { ShopDr.hold { flunk } }
  end

  def test_a_writer_that_comes_and_goes_ends
    runs = 0
    assert_raises(ActiveRecord::ConnectionFailed) { ShopDr.hold { (runs += 1) && @writer.lose && raise(lost_connection) } }
    assert_equal ShopDr::Holding::MOST, runs
  end

  def test_one_inside_of_another_leaves_it_to_that
    runs = []
    ShopDr.hold do
      runs << :outer
      ShopDr.hold { runs << :inner && runs.size < 3 && raise(lost_connection) }
    end
    assert_equal %i[outer inner outer inner], runs
  end

  def test_a_read_only_server_passes_and_a_wrong_password_does_not
    assert ShopDr::Database::Faults.passing?(lost_connection)
    ['password authentication failed for user "shop"', "sorry, too many clients already", 'database "shop" does not exist'].each do |said|
      refute ShopDr::Database::Faults.passing?(PG::ConnectionBad.new("FATAL:  #{said}")), said
    end
    refute ShopDr::Database::Faults.passing?(KeyError.new("x"))
    assert ShopDr::Database::Faults.passing?(IOError.new("stream closed in another thread"))
    refute ShopDr::Database::Faults.passing?(IOError.new("closed stream"))
  end
end
