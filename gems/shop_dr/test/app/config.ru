# frozen_string_literal: true

# An application of a page, as its team would have written it: it knows nothing of regions. WITHOUT=1 leaves the gem out, too.
ENV["RAILS_ENV"] ||= "production"
$LOAD_PATH.unshift(File.expand_path("../../lib", __dir__))
require "logger"
require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "active_job/railtie"
require "shop_dr" unless ENV["WITHOUT"]

class Small < Rails::Application
  config.load_defaults 7.1
  config.root = __dir__
  config.eager_load = false
  config.secret_key_base = "x" * 128
  config.logger = ActiveSupport::Logger.new($stderr)
  config.log_level = :info
  config.consider_all_requests_local = false
  config.active_job.queue_adapter = :async
  config.action_controller.default_protect_from_forgery = false
  eval(ENV["SETTINGS"]) if ENV["SETTINGS"] && !ENV["WITHOUT"] # rubocop:disable Security/Eval
  routes.append do
    get "/orders", to: "orders#index"
    post "/orders", to: "orders#create"
    post "/jobs", to: "orders#later"
    get "/after", to: "orders#after"
    get "/read-only", to: "orders#read_only"
  end
end

class Order < ActiveRecord::Base; end

class Confirm < ActiveJob::Base
  def perform(key)
    Order.transaction { Order.create!(key: key, kind: "job") }
  end
end

class OrdersController < ActionController::Base
  def index
    render json: { count: Order.count }
  end

  def create
    Order.transaction do
      Order.create!(key: params[:key], kind: "first")
      sleep(Float(params[:slowly])) if params[:slowly]
      Order.create!(key: params[:key], kind: "second")
    end
    render json: { key: params[:key] }, status: :created
  end

  # In two transactions: what the first has written stays when the second one fails.
  def after
    Order.create!(key: params[:key], kind: "kept")
    sleep(Float(params[:slowly]))
    params[:reads] ? Order.count : Order.create!(key: params[:key], kind: "lost")
    render json: {}
  end

  # Its connection is as one to a server that became a standby.
  def read_only
    Order.connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    render json: {}
  end

  def later
    Confirm.perform_later(params[:key])
    render json: {}, status: :accepted
  end
end

Small.initialize!
run Small
