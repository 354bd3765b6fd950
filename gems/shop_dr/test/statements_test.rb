# frozen_string_literal: true

require_relative "helper"

# What is known of an attempt by the statements that it sent.
class StatementsTest < Minitest::Test
  include Fresh

  Played = Struct.new(:writer, :open, :shop_dr_wrote, :losses, :shop_dr_listens) do
    def shop_dr_writer? = writer
    def transaction_open? = open
    def shop_dr_lost(error) = losses << error
  end

  TOLD = "PQconsumeInput() FATAL:  terminating connection due to administrator command\nSSL connection has been closed unexpectedly\n"

  # As the server said it, by its SQLSTATE.
  class Said < PG::Error
    def initialize(state) = (super("ERROR:  #{state}\n") && @state = state)
    def result = Struct.new(:state) { def error_field(_) = state }.new(@state)
  end

  def wrapped(state)
    raise Said.new(state)
  rescue PG::Error
    begin
      raise ActiveRecord::StatementInvalid, "x"
    rescue ActiveRecord::StatementInvalid => e
      e
    end
  end

  # Statements in order, each with how it ended; what makes the attempt one that is not run again, and losses.
  def after(*statements, open: false, writer: true)
    connection = Played.new(writer, open, false, [])
    ShopDr::Attempt.watch do |attempt|
      statements.each do |sql, error|
        ShopDr::Database::Connections::Statements.new.finish("sql.active_record", "1", { connection: connection, sql: sql, exception_object: error })
      end
      [!attempt.begun.nil?, connection.losses.size]
    end
  end

  def test_reads_are_run_again
    assert_equal [false, 0], after(["SELECT a FROM b"])
    assert_equal [false, 1], after(["SELECT a FROM b", lost_connection])
    assert_equal [false, 0], after(["BEGIN"], ["SELECT a FROM b"], ["COMMIT"], open: true)
  end

  def test_a_statement_outside_of_a_transaction_that_may_have_written_is_not
    assert_equal [true, 0], after(["INSERT INTO a VALUES (1)"])
    assert_equal [true, 1], after(["INSERT INTO a VALUES (1)", lost_connection])
    assert_equal [true, 1], after(["INSERT INTO a VALUES (1)", wrapped("57P02")]), "crashed: perhaps behind its commit"
  end

  def test_one_that_the_server_has_refused_or_that_was_never_sent_is
    assert_equal [false, 1], after(["INSERT INTO a VALUES (1)", wrapped("25006")])
    assert_equal [false, 0], after(["INSERT INTO a VALUES (1)", wrapped("23505")])
    assert_equal [false, 0], after(["INSERT INTO a VALUES (1)", ActiveRecord::ConnectionNotEstablished.new("x")])
  end

  def test_a_transaction_counts_once_its_commit_was_sent_whatever_came_back
    write = ["INSERT INTO a VALUES (1)"]
    assert_equal [false, 0], after(["BEGIN"], write, open: true)
    assert_equal [true, 0], after(["BEGIN"], write, ["COMMIT"], open: true)
    assert_equal [true, 1], after(["BEGIN"], write, ["COMMIT", lost_connection], open: true)
    assert_equal [false, 0], after(["BEGIN"], write, ["ROLLBACK"], ["BEGIN"], ["SELECT a FROM b"], ["COMMIT"], open: true)
    assert_equal [true, 0], after(["BEGIN"], ["SAVEPOINT x"], write, ["ROLLBACK TO SAVEPOINT x"], ["COMMIT"], open: true)
  end

  def test_a_session_that_was_told_to_go_in_place_of_an_answer_has_committed_nothing
    write = ["INSERT INTO a VALUES (1)"]
    assert_equal [false, 1], after([*write, wrapped("57P01")])
    [wrapped("57P01"), lost_connection(TOLD)].each do |error|
      assert_equal [false, 1], after(["BEGIN"], write, ["COMMIT", error], open: true)
      assert_equal [true, 1], after(["LISTEN orders"], ["BEGIN"], write, ["COMMIT", error], open: true), "it may have read a notice behind its commit"
    end
    assert_equal [true, 1], after(["BEGIN"], write, ["COMMIT", wrapped("57P02")], open: true)
    assert_equal [false, 0], after(["BEGIN"], write, ["COMMIT", wrapped("23505")], open: true), "a constraint that is looked at last"
  end

  def test_a_pool_for_reading_says_nothing_of_the_writer
    assert_equal [false, 0], after(["SELECT a FROM b", lost_connection], writer: false)
  end
end
