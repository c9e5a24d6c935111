# Rails Action Mailbox, as its guide has it installed, with one mailbox for everything. Prints, for each request, its status
# and what the mailbox got.
#
#     FOLDER=/tmp/new INGRESS=relay PORT=0 RAILS_INBOUND_EMAIL_PASSWORD=... ruby action_mailbox.rb

require "action_controller/railtie"
require "active_record/railtie"
require "active_job/railtie"
require "active_storage/engine"
require "action_mailbox/engine"
require "active_record/connection_adapters/sqlite3_adapter"
require "puma"

FOLDER = ENV.fetch("FOLDER")
ENV["DATABASE_URL"] = "sqlite3:#{FOLDER}/mail.sqlite3"

class Application < Rails::Application
  config.load_defaults 6.1
  config.root = FOLDER
  config.eager_load = false
  config.secret_key_base = "of no use here"
  # Shows why an answer is 500.
  config.logger = Logger.new($stderr)
  config.log_level = :fatal
  config.consider_all_requests_local = false
  config.hosts.clear
  config.active_job.queue_adapter = :inline
  config.active_storage.service = :local
  config.active_storage.service_configurations = { local: { service: "Disk", root: "#{FOLDER}/storage" } }
  # Rails puts that off by a month, which jobs that run at once cannot be.
  config.action_mailbox.incinerate = false
  config.action_mailbox.ingress = ENV.fetch("INGRESS").to_sym
end

Rails.application.initialize!

# What it keeps need not outlive it, and disks are slow.
ActiveRecord::ConnectionAdapters::SQLite3Adapter.prepend(Module.new do
  def configure_connection
    super
    execute("PRAGMA synchronous = OFF")
  end
end)
ActiveRecord::Migration.verbose = false
migrations = [ActiveStorage, ActionMailbox].map { |part| part::Engine.root.join("db/migrate").to_s }
ActiveRecord::MigrationContext.new(migrations, ActiveRecord::SchemaMigration).migrate

class ApplicationMailbox < ActionMailbox::Base
  routing all: :everything
end

class EverythingMailbox < ApplicationMailbox
  def process
    Thread.current[:mails] << {
      from: mail.from,
      recipients: mail.recipients,
      subject: mail.subject,
      text: text,
      attachments: mail.attachments.map { |part| { name: part.filename, sha256: Digest::SHA256.hexdigest(part.decoded) } },
    }
  end

  # What is not multipart has no text part, but may be one.
  def text
    part = mail.multipart? ? mail.text_part : mail
    part.decoded if part && [nil, "text/plain"].include?(part.mime_type)
  end
end

# JSON is UTF-8, and mail need not be.
def scrubbed(value)
  case value
  when String then value.encode("UTF-8", invalid: :replace, undef: :replace).scrub
  when Array then value.map { |each| scrubbed(each) }
  when Hash then value.transform_values { |each| scrubbed(each) }
  else value
  end
end

# Prints what came of a request, so that one that failed is seen, too.
class Printing
  def initialize(application)
    @application = application
  end

  def call(env)
    Thread.current[:mails] = []
    status, headers, body = @application.call(env)
    puts JSON.generate(scrubbed({ status: status, mails: Thread.current[:mails] }))
    $stdout.flush
    [status, headers, body]
  end
end

server = Puma::Server.new(Printing.new(Rails.application), Puma::Events.null)
port = server.add_tcp_listener("127.0.0.1", ENV.fetch("PORT").to_i).addr[1]
thread = server.run
puts "listening on http://127.0.0.1:#{port}/"
$stdout.flush
thread.join
