# frozen_string_literal: true

module ShopDr
  module Database
    # Before PG::Connection. While a connection is made, Ruby's object for its socket is let go before libpq is asked to go on.
    #
    # libpq closes the socket of a server that it gives up, without Ruby's lock, and pg closes Ruby's object for it only behind that. A customer who comes
    # meanwhile gets the number that has become free; Ruby wakes whoever waits on a number when an object of it is closed, and so the web server's thread
    # that reads this customer's request fails with "stream closed in another thread". An application that looks for its writer gives up servers all the
    # time. Where the object was closed before, the number was still its own, and what pg does later is nothing.
    module Sockets
      def connect_poll
        shop_dr_let_go
        super
      end

      def reset_poll
        shop_dr_let_go
        super
      end

      private

      # The socket itself stays open: it is libpq's, and the object made of it does not close it. The next wait makes another one.
      def shop_dr_let_go
        socket_io.close
      rescue PG::Error, IOError
        nil # there is none
      end
    end
  end
end
