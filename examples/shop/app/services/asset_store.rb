# frozen_string_literal: true

require "aws-sdk-s3"

# The asset bucket of this site.
module AssetStore
  Image = Struct.new(:body, :type, keyword_init: true)

  # The bucket has no such object.
  class Missing < StandardError; end

  module_function

  def fetch(key)
    found = client.get_object(bucket: bucket, key: key)
    Image.new(body: found.body.read, type: found.content_type)
  rescue Aws::S3::Errors::NoSuchKey
    raise Missing, key
  end

  # Returns true when the object was not there before.
  def put_once(key, body, type)
    client.head_object(bucket: bucket, key: key)
    false
  rescue Aws::S3::Errors::NotFound
    client.put_object(bucket: bucket, key: key, body: body, content_type: type)
    true
  end

  def reachable?
    client.head_bucket(bucket: bucket)
    true
  rescue Aws::Errors::ServiceError, Seahorse::Client::NetworkingError
    false
  end

  def bucket
    Shop::SETTINGS.assets.bucket
  end

  def client
    @client ||= Aws::S3::Client.new(**options)
  end

  def options
    assets = Shop::SETTINGS.assets
    {
      endpoint: assets.endpoint,
      region: assets.region,
      access_key_id: assets.access_key,
      secret_access_key: assets.secret_key,
      force_path_style: true,
      http_open_timeout: 2,
      http_read_timeout: 5,
      retry_limit: 1
    }
  end
end
