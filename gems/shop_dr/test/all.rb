# frozen_string_literal: true

# The whole suite: `ruby test/all.rb`, or `rake test`.
Dir[File.join(__dir__, "*_test.rb")].sort.each { |file| require file }
