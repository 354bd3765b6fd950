# frozen_string_literal: true

# An issue is committed before its mail is put into the queue. In a move the cache that leads changes within about two seconds, in which Sidekiq asks
# twice at once and gives up: the request fails, the issue stays, nobody is told of it. With pauses it asks until the other one leads. The sum is what a
# request may wait for a cache.
asking_again = { reconnect_attempts: [0, 0.1, 0.25, 0.5, 1, 1, 1, 1] }
Sidekiq.configure_client { |config| config.redis = asking_again }
Sidekiq.configure_server { |config| config.redis = asking_again }
