# frozen_string_literal: true

# The gem's ways to the leading cache: one command a line on stdin, one JSON answer a line on stdout. Connections are kept from line to line.
#   ruby gem_cache.rb GEM_FOLDER < commands      with DR_CACHES and the like in the environment

require "json"
require "logger"
$LOAD_PATH.unshift(File.join(ARGV.fetch(0), "lib"))
answers = $stdout.dup
$stdout.reopen($stderr)
require "rails"
require "action_controller/railtie"
require "shop_dr"

class Small < Rails::Application
  config.load_defaults 7.1
  config.eager_load = false
  config.secret_key_base = "x" * 128
  config.logger = Logger.new($stderr)
  # As a team writes it.
  config.cache_store = :redis_cache_store, { url: ENV.fetch("REDIS_URL"), namespace: "small", error_handler: ->(exception:, **) { $failed = exception.class.name } }
end
Small.initialize!

def answer(verb, arguments)
  case verb
  when "redis" then { told: ShopDr.redis.call(*arguments) }
  when "write" then { told: Rails.cache.write(*arguments), failed: $failed }
  when "read" then { told: Rails.cache.read(*arguments), failed: $failed }
  when "lost" then { told: ShopDr.counters.to_h[:cache_lost] }
  when "begun"
    ShopDr::Attempt.watch { |attempt| answer(*arguments.first, arguments.drop(1)) && { told: attempt.begun } }
  end
rescue StandardError => e
  { error: e.class.name, message: e.message }
end

answers.sync = true
$stdin.each_line do |line|
  $failed = nil
  verb, *arguments = line.split
  answers.puts JSON.generate(answer(verb, arguments))
end
