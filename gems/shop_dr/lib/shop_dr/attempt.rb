# frozen_string_literal: true

require "active_support"
require "active_support/isolated_execution_state"

module ShopDr
  # One run of a request or a job: whether the writer went away under it, and whether anything of it may be there although it failed.
  class Attempt
    KEY = :shop_dr_attempt

    # `fault`: the first error of a writer that went away; `begun`: what makes it one that is not run again, in words; `deadline`: until when it may wait.
    attr_reader :fault, :begun, :deadline

    def self.current = ActiveSupport::IsolatedExecutionState[KEY]

    def self.watch(deadline = nil)
      before = current
      ActiveSupport::IsolatedExecutionState[KEY] = attempt = new(deadline)
      yield attempt
    ensure
      ActiveSupport::IsolatedExecutionState[KEY] = before
    end

    def initialize(deadline) = @deadline = deadline

    def fault!(error) = @fault ||= error

    # Something is written in the database, or may be.
    def committed!(what) = @begun ||= what

    # Something has left the process: a job, a mail, a request to somebody else.
    alias left! committed!
  end
end
