# frozen_string_literal: true

# The whole shop without a server before it: one request a line on stdin as JSON, one JSON answer a line on stdout.
#   ruby shop_requests.rb SHOP_FOLDER < requests      with the shop's own environment

require "json"
# The shop logs to stdout: what answers is kept apart.
answers = $stdout.dup
$stdout.reopen($stderr)
require File.join(ARGV.fetch(0), "config/environment")
require "rack/mock"

shop = Rack::MockRequest.new(Rails.application)
answers.sync = true
$stdin.each_line do |line|
  wanted = JSON.parse(line)
  headers = wanted.fetch("headers", {}).to_h { |name, value| ["HTTP_#{name.upcase.tr("-", "_")}", value] }
  sent = { input: JSON.generate(wanted["body"]), "CONTENT_TYPE" => "application/json", "HTTP_HOST" => "www.shop.example" }
  answer = shop.request(wanted["method"], wanted["path"], sent.merge(headers))
  answers.puts JSON.generate(status: answer.status, body: answer.body)
end
