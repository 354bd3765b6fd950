# frozen_string_literal: true

# Assets were compiled when the release was made, and nobody can write to `public` where it runs. Redmine looks at the files' times, which a release
# does not keep, and would compile anew.
Rails.application.config.assets.redmine_detect_update = false
