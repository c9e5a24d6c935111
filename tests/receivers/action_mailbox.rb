# Rails Action Mailbox, as its guide has it installed, with one mailbox for everything. Prints, for each request, its status
# and what the mailbox got.
#
#     INGRESS=relay PORT=0 RAILS_INBOUND_EMAIL_PASSWORD=... ruby action_mailbox.rb

require "action_controller/railtie"
require "active_record/railtie"
require "active_job/railtie"
require "active_storage/engine"
require "action_mailbox/engine"
require "puma"
require "tmpdir"

FOLDER = Dir.mktmpdir("action_mailbox.")
at_exit { FileUtils.remove_entry(FOLDER) }
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
      subject: mail.subject&.scrub,
      text: text&.scrub,
      attachments: mail.attachments.map { |part| { name: part.filename, sha256: Digest::SHA256.hexdigest(part.decoded) } },
    }
  end

  # What is not multipart has no text part, but may be one.
  def text
    return mail.text_part&.decoded if mail.multipart?

    mail.decoded if mail.text? || !mail.has_content_type?
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
    puts JSON.generate({ status: status, mails: Thread.current[:mails] })
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
