# frozen_string_literal: true

require_relative "helper"
require "active_job"
require "tmpdir"

# As good_job 4 and solid_queue 1 have them, as far as it is met here: neither is a package of Debian.
module GoodJob
  class JobPerformer
    def next(**) = :a_job
  end
end

module SolidQueue
  class ReadyExecution
    def self.claim(_queues, limit, _process) = [:a_job] * limit
  end
end

class PlayedFetch
  def retrieve_work = :a_job
end

class Confirm < ActiveJob::Base
  prepend ShopDr::Jobs::Held

  class << self
    attr_accessor :tries, :seen
  end

  def perform(number)
    self.class.seen << [number, executions]
    self.class.tries.shift&.call
  end
end

class JobsTest < Minitest::Test
  include Fresh

  def setup
    super
    @folder = Dir.mktmpdir
    ShopDr.settings.role_file = File.join(@folder, "role.json")
    Confirm.seen, Confirm.tries = [], []
    ActiveJob::Base.logger = Logger.new(nil)
  end

  def teardown
    FileUtils.rm_rf(@folder)
    super
  end

  def role(name)
    File.write(ShopDr.settings.role_file, JSON.generate(site: "a", role: name, epoch: 1))
    ShopDr.instance_variable_set(:@role, nil)
  end

  def test_a_job_waits_and_runs_once
    @writer.lose
    Confirm.perform_now(7)
    assert_equal [[[7, 1]], 1], [Confirm.seen, counters[:jobs_held]]
  end

  def test_one_that_has_written_nothing_runs_again_and_counts_as_one_execution
    Confirm.tries << -> { @writer.lose && raise(lost_connection) }
    Confirm.perform_now(7)
    assert_equal [[7, 1], [7, 1]], Confirm.seen
  end

  def test_one_that_may_have_written_goes_to_the_queues_own_retries
    Confirm.tries << -> { ShopDr.began! && @writer.lose && raise(lost_connection) }
    assert_raises(ActiveRecord::ConnectionFailed) { Confirm.perform_now(7) }
    assert_equal 1, Confirm.seen.size
  end

  def test_without_a_writer_it_is_handed_back
    @writer.lose(0)
    assert_raises(ShopDr::NoWriter) { Confirm.perform_now(7) }
    assert_empty Confirm.seen
  end

  def test_queues_are_left_alone_on_a_host_that_is_no_primary
    ShopDr::Jobs.install
    fetch = Class.new(PlayedFetch) { prepend ShopDr::Jobs::Sidekiq; define_method(:sleep) { |_| nil } }
    take = -> { [GoodJob::JobPerformer.new.next, SolidQueue::ReadyExecution.claim("*", 1, 7), fetch.new.retrieve_work] }
    assert_equal [:a_job, [:a_job], :a_job], take.call, "without a role file"
    { "primary" => [:a_job, [:a_job], :a_job], "standby" => [nil, [], nil], "fenced" => [nil, [], nil] }.each do |name, found|
      role(name)
      assert_equal found, take.call, name
    end
  end

  def test_a_role_file_that_is_none_says_nothing
    ["", "{", "[]", "null", '{"role": 5}', "\xff"].each do |text|
      role("standby")
      File.binwrite(ShopDr.settings.role_file, text)
      refute ShopDr.role.quiet?, text.inspect
    end
  end

  def test_a_role_that_changes_is_seen_without_a_restart
    role("primary")
    refute ShopDr.role.quiet?
    File.write(ShopDr.settings.role_file, '{"role": "standby"}')
    deadline = ShopDr.now + 5
    Thread.pass until ShopDr.role.quiet? || ShopDr.now > deadline
    assert ShopDr.role.quiet?
  end

  def test_a_signal_stops_the_fetching_and_another_goes_on
    code = <<~RUBY
      ShopDr::Jobs.quiet?
      $stdout.sync = true
      $stdin.each_line { puts ShopDr::Jobs.quiet? }
    RUBY
    command = ["ruby", "-I", File.expand_path("../lib", __dir__), "-r", "shop_dr", "-e", code]
    IO.popen(command, "r+") do |process|
      ask = -> { process.puts("?").then { process.gets.strip } }
      told = [ask.call]
      { "TSTP" => "true", "CONT" => "false" }.each do |signal, wanted|
        Process.kill(signal, process.pid)
        deadline = ShopDr.now + 5
        found = ask.call until found == wanted || ShopDr.now > deadline
        told << found
      end
      assert_equal %w[false true false], told
      process.close_write
    end
  end

  def test_jobs_of_sidekiqs_own_wait
    @writer.lose
    assert_equal :done, ShopDr::Jobs::SidekiqWait.new.call(nil, { "class" => "Mail" }, "default") { :done }
    assert_match(/held Mail for/, @log.string)
    @writer.lose(0)
    assert_raises(ShopDr::NoWriter) { ShopDr::Jobs::SidekiqWait.new.call(nil, {}, "default") { flunk } }
  end
end
