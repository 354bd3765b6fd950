# frozen_string_literal: true

class HealthController < ApplicationController
  # The role and the timeline of whatever database answers as the writer.
  DATABASE = <<~SQL
    SELECT pg_is_in_recovery() AS standby,
           CASE WHEN NOT pg_is_in_recovery()
                THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline
  SQL

  # Touches nothing: says that this process takes requests.
  def show
    render json: { ok: true, site: Shop::SETTINGS.site }
  end

  def deep
    report = { site: Shop::SETTINGS.site, database: database, cache: cache_role, bucket: { ok: AssetStore.reachable? } }
    well = report[:database][:role] == "primary" && report[:cache][:role] == "master" && report[:bucket][:ok]
    render json: report, status: well ? :ok : :service_unavailable
  end

  private

  # One try more, because the first one may only find out that the connection is stale.
  def database
    Handover.hold(limit: 0.1) do
      row = ActiveRecord::Base.connection.select_one(DATABASE)
      { role: row["standby"] ? "standby" : "primary", timeline: row["timeline"] }
    end
  rescue StandardError => e
    raise unless Handover.database?(e)

    Handover.forget_connection
    { role: nil, timeline: nil }
  end

  def cache_role
    { role: Handover.hold(limit: 0.1) { CacheMaster.role } }
  rescue StandardError => e
    raise unless CacheMaster.passing?(e)

    { role: nil }
  end
end
