# frozen_string_literal: true

# Redmine keeps an attachment in a folder of the host that took it, where no other host sees it. Here each goes into the asset bucket as well, and a host
# that lacks one fetches it from there: the folder is a cache. Plugins for Redmine do as much; this one is small enough to read.
module AttachmentsInBucket
  PREFIX = "uploads/redmine/"

  class << self
    def client
      @client ||= Aws::S3::Client.new(force_path_style: true, http_open_timeout: 2, http_read_timeout: 10, retry_limit: 1)
    end

    def place(attachment)
      { bucket: ENV.fetch("S3_BUCKET"), key: File.join(PREFIX, attachment.disk_directory.to_s, attachment.disk_filename) }
    end
  end

  # Before the row: what a row names is in the bucket.
  def files_to_final_location
    fresh = @temp_file
    super.tap do
      File.open(diskfile, "rb") { |file| AttachmentsInBucket.client.put_object(**AttachmentsInBucket.place(self), body: file) } if fresh
    end
  end

  def readable?
    super || (disk_filename.present? && fetched && super)
  end

  private

  def fetched
    FileUtils.mkdir_p(File.dirname(diskfile))
    partial = "#{diskfile}.#{SecureRandom.hex(4)}"
    AttachmentsInBucket.client.get_object(**AttachmentsInBucket.place(self), response_target: partial)
    File.rename(partial, diskfile)
    true
  rescue Aws::Errors::ServiceError, Seahorse::Client::NetworkingError => e
    logger.error("attachment #{id}: not in the bucket, or not to be had (#{e.class})")
    false
  ensure
    FileUtils.rm_f(partial) if partial
  end

  def delete_from_disk!
    super
    AttachmentsInBucket.client.delete_object(**AttachmentsInBucket.place(self)) if disk_filename.present?
  end
end

if ENV.key?("S3_BUCKET")
  require "aws-sdk-s3"
  Rails.application.config.to_prepare { Attachment.prepend(AttachmentsInBucket) }
end
