# frozen_string_literal: true

module ShopDr
  # Active Storage's S3 services, from AWS_* and S3_BUCKET where the application's storage.yml leaves them open.
  module Storage
    # Other stores than Amazon's refuse the checksums that newer SDKs send unasked.
    CHECKSUMS = { request_checksum_calculation: "when_required", response_checksum_validation: "when_required" }.freeze

    module_function

    # Configurations by name, as storage.yml has them; those of S3 are filled up, the others are as they were.
    def complete(configurations)
      configurations.to_h do |name, told|
        told = told.to_h.transform_keys(&:to_sym)
        [name.to_sym, told[:service].to_s == "S3" ? filled(told) : told]
      end
    end

    def filled(told)
      { bucket: ENV.fetch("S3_BUCKET", nil), **client_options }.compact.merge(told) { |_, ours, theirs| theirs.nil? || theirs == "" ? ours : theirs }
    end

    # For Aws::S3::Client. Without a variable the SDK looks by itself.
    def client_options
      endpoint = ENV.fetch("AWS_ENDPOINT_URL_S3", nil)
      keys = { access_key_id: ENV.fetch("AWS_ACCESS_KEY_ID", nil), secret_access_key: ENV.fetch("AWS_SECRET_ACCESS_KEY", nil),
               region: ENV.fetch("AWS_REGION", nil), endpoint: endpoint }.compact
      keys.merge(endpoint ? { force_path_style: true } : {}, known_checksums)
    end

    def known_checksums
      require "aws-sdk-s3"
      CHECKSUMS.select { |name, _| Aws::S3::Client.new(region: "x", stub_responses: true).config.respond_to?(name) }
    rescue LoadError
      {}
    end
  end
end
