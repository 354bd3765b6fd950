# frozen_string_literal: true

# Debian's Redmine serves several instances from one folder of code, each with settings, logs and files below `instances`. A release is one: its own
# folder, as it is of Redmine that does not come from Debian.
module Redmine
  class MultiTenancy # the autoloader expects it
  end

  def self.tenant = nil
  def self.tenant? = false
  def self.root = Rails.root
end
