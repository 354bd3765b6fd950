# frozen_string_literal: true

threads_count = Integer(ENV.fetch("RAILS_MAX_THREADS", "5"))
processes = Integer(ENV.fetch("WEB_CONCURRENCY", "1"))

threads threads_count, threads_count
# One process needs no master above it.
workers processes > 1 ? processes : 0
preload_app! if processes > 1

environment "production"
bind "tcp://127.0.0.1:#{ENV.fetch("PORT", "9292")}"
# nginx keeps its connections open across a whole handover.
persistent_timeout 75
# A request may be held for eight seconds by the application, and must not be cut while it is.
worker_shutdown_timeout 15 if processes > 1
force_shutdown_after 15
