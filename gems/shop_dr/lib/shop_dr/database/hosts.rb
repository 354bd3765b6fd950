# frozen_string_literal: true

module ShopDr
  module Database
    # Connections to whoever of several servers takes writes. libpq asks the next one where a server refuses or does not write; where one says nothing at
    # all, as a region that is lost, pg gives up at its time limit, and those behind it would never be asked.
    module Hosts
      SILENT = /timeout expired/

      # Before Active Record's adapter, its class.
      module Client
        def new_client(parameters)
          super
        rescue ActiveRecord::ActiveRecordError => e
          rest = Hosts.behind(parameters, e.cause)
          raise if rest.nil?

          new_client(rest)
        end
      end

      module_function

      # With parameters of libpq. Raises PG::Error.
      def connect(parameters)
        PG.connect(**parameters)
      rescue PG::ConnectionBad => e
        rest = behind(parameters, e)
        raise if rest.nil?

        connect(rest)
      end

      # The same parameters with the servers alone that stand behind the silent one; nil where there is none, or where it was no silence.
      def behind(parameters, error)
        return unless parameters && error.is_a?(PG::ConnectionBad) && error.message.match?(SILENT)

        connection = error.connection
        names, ports = parameters[:host].to_s.split(","), parameters[:port].to_s.split(",")
        return if connection.nil? || connection.finished? || names.size < 2 || parameters[:hostaddr]

        ports *= names.size if ports.size == 1
        at = names.each_index.find { |index| names[index] == connection.host && (ports.empty? || ports[index].to_i == connection.port) }
        connection.finish
        return if at.nil? || at == names.size - 1

        parameters.merge(host: names.drop(at + 1).join(","), **(ports.empty? ? {} : { port: ports.drop(at + 1).join(",") }))
      end
    end
  end
end
