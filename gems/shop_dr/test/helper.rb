# frozen_string_literal: true

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require "minitest/autorun"
require "logger"
require "stringio"
require "rails"
require "active_record"
require "active_record/connection_adapters/postgresql_adapter"
require "shop_dr"
require "shop_dr/database/connections"
require "shop_dr/web/health"
require "shop_dr/web/hold"
require "rack/mock"

# A writer that is lost and found as the test says: `back_after` looks.
class PlayedWriter
  attr_accessor :generation

  def initialize
    @generation, @left = 0, 0
  end

  def lose(looks = 1)
    @generation += 1
    @left = looks
    @away = true
  end

  def lost(*) = lose
  def there? = !@away
  def away_s = @away ? 1.5 : nil

  def wait(_deadline)
    @away = false if @left.positive?
    there?
  end
end

module Fresh
  def setup
    super
    @log = StringIO.new
    ShopDr.logger = Logger.new(@log)
    @writer = PlayedWriter.new
    { settings: ShopDr::Settings.new({}), counters: ShopDr::Counters.new, writer: @writer, role: nil }.each do |name, value|
      ShopDr.instance_variable_set("@#{name}", value)
    end
  end

  def counters = ShopDr.counters.to_h

  # As Active Record raises it.
  def lost_connection(said = "server closed the connection unexpectedly\n")
    raise PG::ConnectionBad, said
  rescue PG::Error => e
    begin
      raise ActiveRecord::ConnectionFailed, e.message
    rescue ActiveRecord::ConnectionFailed => wrapped
      wrapped
    end
  end
end
