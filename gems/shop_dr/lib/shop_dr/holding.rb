# frozen_string_literal: true

module ShopDr
  # Holds something while no writer is known, and runs it again where that is safe. Inside another one it only runs.
  class Holding
    # Of a writer that comes and goes.
    MOST = 10

    # `bad`: it failed, and says so by its value.
    Outcome = Struct.new(:value, :error, :bad, :attempt) do
      def failed? = bad || !error.nil?
    end

    # Seconds that it was held, how often it ran.
    attr_reader :waited, :runs

    # `again`: whether an attempt that met a lost writer may be run again, by what is known of it. `limit`: of those that wait at once.
    def initialize(name, max_wait:, limit: Float::INFINITY, counter: :jobs_held, again: ->(attempt) { attempt.begun.nil? })
      @name, @max_wait, @limit, @counter, @again = name, max_wait, limit, counter, again
      @waited, @runs = 0.0, 0
    end

    # For jobs and blocks: returns what the block returns, raises what it raises.
    def work
      outcome = run { Outcome.new(yield) }
      raise outcome.error if outcome.failed?

      outcome.value
    end

    # Yields once a writer is known, and again while an attempt fails for want of one. The block returns an Outcome, failed or not by its own
    # measure; what it raises is one that failed. Raises NoWriter or TooManyHeld where it did not begin at all.
    def run(&block)
      return yield if Attempt.current

      @deadline = ShopDr.now + @max_wait
      loop do
        stand unless ShopDr.writer.there?
        outcome = attempt(&block)
        return outcome unless again?(outcome)

        Database::Connections.drop_leased if Database.const_defined?(:Connections)
        forget
      end
    ensure
      tell if @waited.positive? || @runs > 1
    end

    private

    def attempt
      @runs += 1
      Attempt.watch(@deadline) do |attempt|
        outcome =
          begin
            yield
          rescue StandardError => e
            Outcome.new(nil, e)
          end
        attempt.fault!(outcome.error) if outcome.error && Database::Faults.passing?(outcome.error)
        outcome.tap { outcome.attempt = attempt }
      end
    end

    def again?(outcome)
      return false unless outcome.failed? && outcome.attempt.fault
      return ShopDr.counters.add(:not_retried) && false unless @again.call(outcome.attempt)
      return false if @runs >= MOST || ShopDr.now >= @deadline

      # Its own failure stands where nobody comes.
      return false unless stand(raises: false)

      ShopDr.counters.add(:retried)
      true
    end

    def stand(raises: true)
      return true if ShopDr.writer.there?

      unless ShopDr.counters.enter(@limit)
        ShopDr.counters.add(:refused)
        raise TooManyHeld, "#{@limit} are held already" if raises

        return false
      end
      begin
        from = ShopDr.now
        found = ShopDr.writer.wait(@deadline)
      ensure
        ShopDr.counters.add(:held_now, -1)
        @waited += ShopDr.now - from
      end
      return found if found || !raises

      raise NoWriter, "no server took writes within #{@max_wait} s"
    end

    # What Active Record and Active Support remember of the attempt before.
    def forget
      ActiveRecord::Base.clear_query_caches_for_current_thread if Database.const_defined?(:Connections)
      ActiveSupport::CurrentAttributes.reset_all if defined?(ActiveSupport::CurrentAttributes)
    end

    def tell
      ShopDr.counters.add(@counter)
      ShopDr.counters.waited(@waited)
      ShopDr.logger.info("shop_dr: held #{@name} for #{@waited.round(2)} s, ran #{@runs} times")
    end
  end
end
