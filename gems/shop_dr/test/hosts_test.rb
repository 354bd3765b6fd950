# frozen_string_literal: true

require_relative "helper"
require "socket"

# A server that takes connections and says nothing, before one that lets everybody in.
class HostsTest < Minitest::Test
  def setup
    @silent, @good = Array.new(2) { TCPServer.new("127.0.0.1", 0) }
    @lets_in = Thread.new { loop { lets_in(@good.accept) } }
  end

  def teardown
    @lets_in.kill
    [@silent, @good].each(&:close)
  end

  # Whatever it is asked is done.
  def lets_in(line)
    line.readpartial(500)
    line.write(["R", 8, 0].pack("aNN"))
    loop do
      line.write(["Z", 5, "I"].pack("aNa"))
      break if line.readpartial(500).start_with?("X")

      line.write(["C", 8, "SET\0"].pack("aNa*"))
    end
  rescue EOFError
    nil
  end

  def to(*servers)
    { host: (["127.0.0.1"] * servers.size).join(","), port: servers.map { |it| it.addr[1] }.join(","), user: "x", dbname: "x", sslmode: "disable",
      gssencmode: "disable", connect_timeout: 2 }
  end

  def test_who_stands_behind_a_silent_one_is_asked
    connection = ShopDr::Database::Hosts.connect(to(@silent, @good))
    assert_equal @good.addr[1], connection.port
    connection.finish
  end

  # As Active Record makes one.
  def test_so_does_active_record
    made = Class.new(ActiveRecord::ConnectionAdapters::PostgreSQLAdapter) { singleton_class.prepend(ShopDr::Database::Hosts::Client) }
    connection = made.new_client(to(@silent, @good))
    assert_equal @good.addr[1], connection.port
    connection.finish
  end

  def test_where_nobody_says_anything_it_ends_as_ever
    begun = ShopDr.now
    error = assert_raises(PG::ConnectionBad) { ShopDr::Database::Hosts.connect(to(@silent, @silent)) }
    assert_match "timeout expired", error.message
    assert_operator ShopDr.now - begun, :<, 6
  end
end
