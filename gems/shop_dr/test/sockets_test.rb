# frozen_string_literal: true

require_relative "helper"
require "socket"
require "io/wait"

# Who gets the number of a socket that libpq has given up, as a web server that takes a customer at that moment, and waits for the request.
class SocketsTest < Minitest::Test
  # Ends each connection behind its first words.
  def setup
    @server = TCPServer.new("127.0.0.1", 0)
    @ends = Thread.new { loop { @server.accept.tap { |it| it.readpartial(200) }.close } }
    ShopDr::Database::Connections.install unless PG::Connection.include?(ShopDr::Database::Sockets)
  end

  def teardown
    @ends.kill
    @server.close
  end

  def given_up(connection)
    state = connection.connect_poll
    until state == PG::PGRES_POLLING_READING
      connection.socket_io.wait_writable(5)
      state = connection.connect_poll
    end
    connection.socket_io.wait_readable(5)
    go = Queue.new
    customer = Thread.new(connection.socket) { |number| (go.pop && of_number(number)).then { |it| said(it) } }
    Thread.pass until customer.stop?
    go << true # runs as soon as this thread gives Ruby's lock away, which it does while libpq is asked
    connection.connect_poll
    customer.value
  end

  # One of a pair that has that number, which becomes free while this looks for it. Nothing here gives Ruby's lock away.
  def of_number(number)
    @kept = []
    200.times do
      @kept << pair = UNIXSocket.pair
      found = pair.find { |it| it.fileno == number }
      return found if found

      1000.times { |it| it * it }
    end
    nil
  end

  def said(socket)
    return :never_free if socket.nil?

    socket.wait_readable(0.3)
    :waited
  rescue IOError => e
    e.message
  end

  def test_a_customer_who_gets_the_number_of_a_server_that_was_given_up_is_not_disturbed
    to = { host: "127.0.0.1", port: @server.addr[1], user: "x", dbname: "x", sslmode: "disable", gssencmode: "disable" }
    connection = PG::Connection.connect_start(**to)
    assert_equal :waited, given_up(connection)
  ensure
    connection&.finish
    @kept&.flatten&.each(&:close)
  end
end
