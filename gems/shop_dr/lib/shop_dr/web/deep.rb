# frozen_string_literal: true

module ShopDr
  module Web
    # What a deep look asks: database, cache and bucket, each by a connection of its own and in bounded time. Null: there is none to ask.
    class Deep
      DATABASE = "SELECT NOT pg_is_in_recovery() AS writer, " \
                 "CASE WHEN NOT pg_is_in_recovery() THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline"
      LIMIT_MS = 3000

      def look
        parts = { database: database, cache: cache, bucket: bucket }
        { ok: parts.values.compact.all? { |part| part[:ok] }, site: ShopDr.settings.site, role: ShopDr.role.name }
          .merge(parts, counters: ShopDr.counters.to_h)
      end

      private

      def database
        return unless Database.const_defined?(:Connections)

        parameters = Database::Writer.parameters(ActiveRecord::Base.connection_pool, ShopDr.settings)
        Database::Writer.open(parameters) do |connection|
          connection.exec("SET statement_timeout = #{LIMIT_MS}")
          row = connection.exec(DATABASE)[0]
          written = row["writer"] == "t" && connection.exec(Database::Writer::WRITE).ntuples == 1
          { ok: written, role: row["writer"] == "t" ? "primary" : "standby", timeline: row["timeline"]&.to_i }
        end
      rescue PG::Error => e
        { ok: false, role: nil, timeline: nil, error: e.message.lines.first.to_s.strip }
      end

      def cache
        return unless ENV.key?("DR_CACHES")

        { ok: ShopDr.redis.call("ROLE").first == "master", role: "master" }
      rescue RedisClient::Error => e
        { ok: false, role: nil, error: e.class.name }
      end

      def bucket
        name = ENV.fetch("S3_BUCKET", nil)
        return if name.nil?

        require "aws-sdk-s3"
        Aws::S3::Client.new(**Storage.client_options, http_open_timeout: 2, http_read_timeout: 3, retry_limit: 0).head_bucket(bucket: name)
        { ok: true }
      rescue LoadError
        nil
      rescue Aws::Errors::ServiceError, Aws::Errors::MissingCredentialsError, Seahorse::Client::NetworkingError => e
        { ok: false, error: e.class.name }
      end
    end
  end
end
