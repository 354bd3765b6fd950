# frozen_string_literal: true

module ShopDr
  # What happened in this process since its start: whole numbers, and the longest wait in seconds.
  class Counters
    NAMES = %i[held held_now held_behind refused gave_up retried not_retried writer_lost connections_dropped jobs_held cache_lost].freeze

    def initialize
      @mutex, @of = Mutex.new, Process.pid
      @values = NAMES.to_h { |name| [name, 0] }
      @longest = 0.0
    end

    def add(name, by = 1)
      @mutex.synchronize { @values[name] = @values.fetch(name) + by }
    end

    # Counts one more of those that wait, unless there are `limit` already.
    def enter(limit)
      @mutex.synchronize do
        # Whoever waited in the process that this one was forked from waits there.
        @of, @values[:held_now] = Process.pid, 0 if @of != Process.pid
        next false if @values[:held_now] >= limit

        @values[:held_now] += 1
        true
      end
    end

    def waited(seconds)
      @mutex.synchronize { @longest = [@longest, seconds].max }
    end

    def to_h
      @mutex.synchronize { @values.merge(longest_wait_s: @longest.round(3)) }
    end
  end
end
