# frozen_string_literal: true

module ShopDr
  module Web
    # Rack middleware: holds requests while the writer moves. It stands inside of what turns errors into pages.
    class Hold
      SAFE = %w[GET HEAD OPTIONS TRACE].freeze
      BEGUN = "shop_dr.begun"
      # What a client gets that was held in vain, or came when too many were.
      SORRY = "The shop takes no orders at this moment. Nothing was done; try again in a moment.\n"

      def initialize(app)
        @app = app
      end

      def call(env)
        return @app.call(env) if passed?(env)

        outcome =
          begin
            run(env)
          rescue NoWriter, TooManyHeld => e
            return sorry(env, e)
          end
        settle(env, outcome)
      end

      private

      def holding(env)
        settings = ShopDr.settings
        Holding.new(name(env), max_wait: settings.max_wait, limit: settings.max_held, counter: :held, again: ->(attempt) { again?(env, attempt) })
      end

      def run(env)
        before, answer = env.dup, nil
        holding(env).run do
          restore(env, before, answer) if env.key?(BEGUN)
          env[BEGUN] = true
          answer = nil
          answer = @app.call(env)
          Holding::Outcome.new(answer, nil, answer[0].to_i >= 500)
        end
      end

      # What an answer was made of is given back by whoever drops it.
      def restore(env, before, answer)
        answer[2].close if answer && answer[2].respond_to?(:close)
        env.replace(before)
        env["rack.input"]&.rewind
      end

      def passed?(env)
        # A connection that becomes something else cannot be run again.
        return true if env["HTTP_UPGRADE"]

        path = env["PATH_INFO"].to_s
        skip = ShopDr.settings.skip
        skip.respond_to?(:call) ? skip.call(env) : Array(skip).any? { |each| path == each || path.start_with?("#{each}/") }
      end

      def again?(env, attempt)
        settings = ShopDr.settings
        input = env["rack.input"]
        return false if settings.retry == :never || env["rack.hijack_io"] || !(input.nil? || input.respond_to?(:rewind))
        return true if promised?(env, settings.idempotency_header)
        return false unless attempt.begun.nil?

        settings.retry == :untouched || SAFE.include?(env["REQUEST_METHOD"])
      end

      # The application has said that it does once what comes with the same key, however often it is asked.
      def promised?(env, header)
        header && !env["HTTP_#{header.upcase.tr("-", "_")}"].to_s.empty?
      end

      # Its own error stands, unless it is that nobody took writes and nothing was done.
      def settle(env, outcome)
        return outcome.value if outcome.error.nil?
        raise outcome.error unless outcome.attempt&.fault && outcome.attempt.begun.nil? && Database::Faults.passing?(outcome.error)

        sorry(env, outcome.error)
      end

      def sorry(env, error)
        ShopDr.counters.add(:gave_up) unless error.is_a?(TooManyHeld)
        ShopDr.logger.warn("shop_dr: #{name(env)} was not done: #{error.class}: #{error.message.lines.first&.strip}")
        [503, { "content-type" => "text/plain; charset=utf-8", "retry-after" => "1", "cache-control" => "no-store" }, [SORRY]]
      end

      def name(env) = "#{env["REQUEST_METHOD"]} #{env["PATH_INFO"].to_s.dump[1..-2]}"
    end
  end
end
