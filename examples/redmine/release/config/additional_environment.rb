# frozen_string_literal: true

# Redmine's place for settings of a team. Mail is sent by jobs, which Sidekiq keeps at REDIS_URL.
config.active_job.queue_adapter = :sidekiq
