# frozen_string_literal: true

require "net/http"

module ShopDr
  # What leaves the process while a request or a job runs, as far as it is seen: it is not run again then.
  module Effects
    READS = %w[GET HEAD OPTIONS TRACE].freeze
    # These keep their jobs in the database, whose statements are seen anyway.
    IN_DATABASE = /GoodJob|SolidQueue|DelayedJob|Que/

    module Http
      def request(asked, *)
        Attempt.current&.left!("#{asked.method} was sent to #{address}") unless READS.include?(asked.method)
        super
      end
    end

    module_function

    def install
      Net::HTTP.prepend(Http)
      ActiveSupport::Notifications.subscribe("deliver.action_mailer") { Attempt.current&.left!("a mail was sent") }
      %w[enqueue enqueue_at enqueue_all].each do |name|
        ActiveSupport::Notifications.subscribe("#{name}.active_job") { |*, payload| enqueued(payload) }
      end
    end

    def enqueued(payload)
      Attempt.current&.left!("a job was enqueued") unless payload[:adapter].class.name.to_s.match?(IN_DATABASE)
    end
  end
end
