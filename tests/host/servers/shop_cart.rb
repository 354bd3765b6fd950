# frozen_string_literal: true

# The shop's cart without its web server: one command a line on stdin, one JSON answer a line on stdout. A connection is kept from line to line.
#   ruby shop_cart.rb SERVICES_FOLDER CACHES CA_FILE CERTIFICATE KEY < commands      with DR_CACHE_PASSWORD in the environment

require "json"
require "redis"

SERVICES, CACHES, CA, CERT, KEY = ARGV

module Shop
  Cache = Struct.new(:servers, :user, :password, :ca, :cert, :key, keyword_init: true)
  Settings = Struct.new(:cache)
  SETTINGS = Settings.new(Cache.new(servers: CACHES.split(",").map { |it| it.split(":") }, user: "shop", password: ENV.fetch("DR_CACHE_PASSWORD"), ca: CA, cert: CERT, key: KEY))
end

%w[cache_master cart].each { |name| require File.join(SERVICES, name) }

def answer(cart, verb, arguments)
  case verb
  when "put" then { items: cart.put(*arguments.map { |each| Integer(each) }) }
  when "items" then { items: cart.items }
  when "clear" then { cleared: cart.clear }
  when "role" then { role: CacheMaster.role }
  end
rescue StandardError => e
  { error: e.class.name, message: e.message, passing: CacheMaster.passing?(e) }
end

cart = Cart.new("token-of-a-visitor")
$stdout.sync = true
$stdin.each_line do |line|
  verb, *arguments = line.split
  puts answer(cart, verb, arguments).to_json
end
