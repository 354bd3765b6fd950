# frozen_string_literal: true

require "json"

module ShopDr
  # What this host is, by the file that is written when its role changes; and whether jobs are fetched here.
  class Role
    # A file is read again when it has changed, and looked at no more often than this.
    EVERY = 0.5
    LARGEST = 65_536

    def initialize(settings)
      @settings = settings
      @mutex = Mutex.new
      @told = false
      @looked = -EVERY
    end

    # "primary", "standby" or "fenced"; nil where nobody says it.
    def name
      @mutex.synchronize do
        now = ShopDr.now
        if now - @looked >= EVERY
          @looked = now
          @name = read
        end
        @name
      end
    end

    # Whether workers of this process leave jobs where they are.
    def quiet? = @told || %w[standby fenced].include?(name)

    # By a signal. No lock is taken, as a signal's handler must not.
    def quiesce! = @told = true
    def resume! = @told = false

    private

    # A file that cannot be read, or is none of ours, says nothing: jobs then run as without it.
    def read
      path = @settings.role_file
      return if path.nil?

      found = JSON.parse(File.read(path, LARGEST).to_s)
      found["role"] if found.is_a?(Hash) && found["role"].is_a?(String)
    rescue SystemCallError, JSON::ParserError, EncodingError
      nil
    end
  end

  def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end
