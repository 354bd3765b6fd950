# frozen_string_literal: true

# A real Sidekiq server, which the suite does without: `ruby test/with_sidekiq.rb`, with the gem sidekiq (7) and a Redis at REDIS_URL that may be emptied.
if ARGV.first == "server"
  $LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
  require "rails"
  require "active_job/railtie"
  require "sidekiq/cli"
  require "shop_dr"
  class Small < Rails::Application
    config.load_defaults 7.1
    config.eager_load = false
    config.secret_key_base = "x" * 128
    config.logger = Logger.new($stderr)
    config.active_job.queue_adapter = :sidekiq
    config.shop_dr.job_wait = 5
  end
  class Own
    include Sidekiq::Job
    def perform(number) = Sidekiq.redis { |it| it.call("RPUSH", "done", "own #{number}") }
  end
  class Rails_ < ActiveJob::Base
    def perform(number) = Sidekiq.redis { |it| it.call("RPUSH", "done", "rails #{number}") }
  end
  Small.initialize!
  # A writer that is away when the server comes up, and back a second later.
  writer = ShopDr.writer
  began = ShopDr.now
  writer.instance_variable_set(:@away_since, began)
  writer.define_singleton_method(:writes?) { ShopDr.now - began > 1.5 }
  cli = Sidekiq::CLI.instance
  cli.parse(["-c", "2", "-e", "production", "-r", __FILE__])
  cli.run(boot_app: false)
else
  require "minitest/autorun"
  require "redis-client"
  require "json"
  require "tmpdir"

  class WithSidekiq < Minitest::Test
    def redis = @redis ||= RedisClient.config(url: ENV.fetch("REDIS_URL")).new_client

    def done(wanted, limit = 30)
      last = Process.clock_gettime(Process::CLOCK_MONOTONIC) + limit
      found = redis.call("LRANGE", "done", 0, -1) until found&.size == wanted || Process.clock_gettime(Process::CLOCK_MONOTONIC) > last
      found.sort
    end

    def push(klass, number, **more)
      job = { "class" => klass, "args" => [number], "jid" => "%024x" % rand(2**90), "retry" => true, "queue" => "default", "created_at" => Time.now.to_f }
      redis.call("LPUSH", "queue:default", JSON.generate(job.merge(more.transform_keys(&:to_s))))
    end

    def active(number)
      told = { "job_class" => "Rails_", "job_id" => number.to_s, "queue_name" => "default", "arguments" => [number], "executions" => 0, "exception_executions" => {}, "locale" => "en" }
      push("ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper", told, wrapped: "Rails_")
    end

    def test_jobs_wait_for_the_writer_run_once_and_stay_where_they_are_on_a_standby
      redis.call("FLUSHALL")
      Dir.mktmpdir do |folder|
        role = File.join(folder, "role.json")
        say = ->(name) { File.write(role, JSON.generate(role: name)) }
        say.call("primary")
        log = File.join(folder, "log")
        pid = spawn({ "DR_ROLE_FILE" => role, "RAILS_ENV" => "production" }, "ruby", __FILE__, "server", out: log, err: log)
        push("Own", 1)
        active(2)
        assert_equal ["own 1", "rails 2"], done(2), File.read(log)
        assert_match(/held Own for [1-9]|held Own for 0\.\d+/, File.read(log))
        say.call("standby")
        sleep(5) # its fetch that is under way ends after two
        push("Own", 3)
        assert_equal 2, done(3, 5).size, "left in its queue"
        assert_equal 1, redis.call("LLEN", "queue:default")
        say.call("primary")
        assert_equal ["own 1", "own 3", "rails 2"], done(3)
      ensure
        Process.kill("TERM", pid)
        Process.wait(pid)
      end
    end
  end
end
