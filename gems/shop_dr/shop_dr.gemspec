# frozen_string_literal: true

require_relative "lib/shop_dr/version"

Gem::Specification.new do |spec|
  spec.name = "shop_dr"
  spec.version = ShopDr::VERSION
  spec.summary = "A Rails application that lives through the move of its database to another region"
  spec.authors = ["shop-dr"]
  spec.files = Dir.chdir(__dir__) { Dir["lib/**/*.rb", "README.md", "CHANGELOG.md", "VERSION"] }
  spec.required_ruby_version = ">= 3.1"
  spec.add_dependency "activesupport", ">= 7.1", "< 8.1"
  spec.add_dependency "railties", ">= 7.1", "< 8.1"
end
