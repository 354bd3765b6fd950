# frozen_string_literal: true

module ShopDr
  # Jobs wait for the writer, and are left in their queues while this host is no primary.
  module Jobs
    # Before ActiveJob::Base. A job runs again by the rules of a request; what has begun goes to the queue's own retries, as without this.
    module Held
      def perform_now
        before = executions
        ShopDr.hold(self.class.name) do
          self.executions = before
          super()
        end
      end
    end

    # Before whatever takes the next job: while quiet it finds none.
    module Sidekiq
      # As long as its own fetch waits for a job.
      PAUSE = 2

      def retrieve_work
        return super unless Jobs.quiet?

        sleep(PAUSE)
        nil
      end
    end

    # Of Sidekiq's jobs that are no Active Jobs: they wait, and what fails goes to Sidekiq's retries.
    class SidekiqWait
      def call(_job, payload, _queue)
        unless ShopDr.writer.there?
          from = ShopDr.now
          found = ShopDr.writer.wait(from + ShopDr.settings.job_wait)
          ShopDr.counters.add(:jobs_held)
          ShopDr.logger.info("shop_dr: held #{payload["wrapped"] || payload["class"]} for #{(ShopDr.now - from).round(2)} s")
          raise NoWriter, "no server took writes within #{ShopDr.settings.job_wait} s" unless found
        end
        yield
      end
    end

    module GoodJob
      def next(...)
        Jobs.quiet? ? nil : super
      end
    end

    module SolidQueue
      def claim(...)
        Jobs.quiet? ? [] : super
      end
    end

    module_function

    def quiet?
      listen
      ShopDr.role.quiet?
    end

    # SIGTSTP: take no more; SIGCONT: go on. Where somebody has a handler of his own (Sidekiq has), or on a terminal, nothing is done.
    def listen
      return if @listens

      @listens = true
      return if $stdin.tty?

      { "TSTP" => :quiesce!, "CONT" => :resume! }.each do |signal, method|
        before = trap(signal) { ShopDr.role.public_send(method) }
        trap(signal, before) unless [nil, "DEFAULT", "SYSTEM_DEFAULT"].include?(before)
      end
    rescue ArgumentError
      nil
    end

    # Each that is there, once; none is needed.
    def install
      sidekiq if defined?(::Sidekiq)
      ::GoodJob::JobPerformer.prepend(GoodJob) if defined?(::GoodJob::JobPerformer)
      ::SolidQueue::ReadyExecution.singleton_class.prepend(SolidQueue) if defined?(::SolidQueue::ReadyExecution)
    end

    def sidekiq
      ::Sidekiq.configure_server do |config|
        (config[:fetch_class] || ::Sidekiq::BasicFetch).prepend(Sidekiq)
        config.server_middleware { |chain| chain.prepend(SidekiqWait) }
      end
    end
  end
end
