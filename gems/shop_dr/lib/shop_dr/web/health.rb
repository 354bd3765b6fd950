# frozen_string_literal: true

require "json"
require "active_support/security_utils"
require_relative "deep"

module ShopDr
  module Web
    # Rack middleware, before all others: `/health` and `/health/deep`.
    class Health
      LOOPBACK = /\A(?:127\.\d+\.\d+\.\d+|::1)\z/
      # Who has come through a proxy is not this machine, though its proxy is.
      FORWARDED = %w[HTTP_X_FORWARDED_FOR HTTP_FORWARDED HTTP_X_REAL_IP HTTP_X_FORWARDED_HOST].freeze
      METHODS = %w[GET HEAD].freeze

      def initialize(app)
        @app = app
      end

      def call(env)
        path, settings = env["PATH_INFO"], ShopDr.settings
        return @app.call(env) unless METHODS.include?(env["REQUEST_METHOD"])

        case path
        when nil then @app.call(env)
        when settings.health_path then answer(env, 200, shallow)
        when settings.deep_path then let_in?(env) ? deep(env) : @app.call(env)
        else @app.call(env)
        end
      end

      private

      # Opens nothing and asks nobody. A process whose writer is away is well: it holds requests, and would be missed where it is taken out.
      def shallow
        away = ShopDr.writer.away_s
        { ok: true, site: ShopDr.settings.site, role: ShopDr.role.name, writer: away ? "away" : "there", away_s: away&.round(1),
          held: ShopDr.counters.to_h[:held_now] }
      end

      def deep(env)
        found = Deep.new.look
        answer(env, found[:ok] ? 200 : 503, found)
      end

      # This machine itself, or who shows the token.
      def let_in?(env)
        token = ShopDr.settings.deep_token.to_s
        shown = env["HTTP_AUTHORIZATION"].to_s.delete_prefix("Bearer ")
        return true if !token.empty? && ActiveSupport::SecurityUtils.secure_compare(shown, token)

        env["REMOTE_ADDR"].to_s.match?(LOOPBACK) && FORWARDED.none? { |name| env.key?(name) }
      end

      def answer(env, status, document)
        body = JSON.generate(document)
        headers = { "content-type" => "application/json", "cache-control" => "no-store", "content-length" => body.bytesize.to_s }
        [status, headers, env["REQUEST_METHOD"] == "HEAD" ? [] : [body]]
      end
    end
  end
end
