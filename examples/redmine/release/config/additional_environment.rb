# frozen_string_literal: true

# Redmine's place for settings of a team. Mail is sent by jobs, which Sidekiq keeps at REDIS_URL.
config.active_job.queue_adapter = :sidekiq
# Rails' own `production.rb` says so; where it is not said, migrations end with an error on a host, which lets nobody write beside the code.
config.active_record.dump_schema_after_migration = false
