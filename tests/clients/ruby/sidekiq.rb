# Sidekiq: jobs, retries, scheduled jobs, bulk pushes, the API, a worker process that is quieted and
# stopped through Redis. With NAMESPACE all keys begin with it (redis-namespace, Sidekiq 6).
require 'sidekiq'
require 'sidekiq/api'

OPTIONS = {
  host: ENV['REDIS_HOST'], port: ENV['REDIS_PORT'].to_i,
  username: ENV['REDIS_USER'], password: ENV['REDIS_PASSWORD'],
  namespace: ENV['NAMESPACE']
}.compact
Sidekiq.configure_client { |config| config.redis = OPTIONS }
Sidekiq.configure_server do |config|
  config.redis = OPTIONS
  config.options[:poll_interval_average] = 1
end
Sidekiq.logger.level = Logger::FATAL

class Plain
  include Sidekiq::Worker
  def perform(app)
    raise 'of another app' unless app == ENV['REDIS_USER']
    Sidekiq.redis { |redis| redis.incr('plain:done') }
  end
end

class Flaky
  include Sidekiq::Worker
  sidekiq_options retry: 2
  sidekiq_retry_in { 1 }
  def perform
    tries = Sidekiq.redis { |redis| redis.incr('plain:flaky') }
    raise 'once' if tries == 1
  end
end

class Slow
  include Sidekiq::Worker
  def perform
    sleep 60
  end
end

def until_true(what, seconds = 30)
  (seconds * 10).times do
    return if yield
    sleep 0.1
  end
  abort "not within #{seconds} seconds: #{what}"
end

def done(name)
  Sidekiq.redis { |redis| redis.get("plain:#{name}") }.to_i
end

if $PROGRAM_NAME == __FILE__
  worker = spawn('sidekiq', '-r', __FILE__, '-c', '2', '-t', '1', '-q', 'default', '-q', 'low')
  begin
    me = ENV['REDIS_USER']
    Plain.perform_async(me)
    Plain.perform_in(1, me)
    Plain.set(queue: 'low').perform_async(me)
    Sidekiq::Client.push_bulk('class' => Plain, 'args' => [[me], [me]])
    Flaky.perform_async
    until_true('five plain jobs') { done('done') == 5 }
    until_true('a job and its retry') { done('flaky') == 2 }
    Slow.perform_async
    until_true('the slow job in the list of work') { Sidekiq::Workers.new.size == 1 }
    stats = Sidekiq::Stats.new
    abort "processed: #{stats.processed}" unless stats.processed >= 6
    abort "queues: #{stats.queues}" unless (stats.queues.keys - %w[default low]).empty?
    processes = Sidekiq::ProcessSet.new
    abort "processes: #{processes.size}" unless processes.size == 1
    Plain.perform_in(3600, me)
    abort 'scheduled' unless Sidekiq::ScheduledSet.new.size == 1
    Sidekiq::ScheduledSet.new.clear
    Sidekiq::RetrySet.new.clear
    Sidekiq::DeadSet.new.clear
    Sidekiq::Stats::History.new(1).processed
    processes.each(&:stop!)
    _, status = Process.wait2(worker)
    worker = nil
    abort "the worker ended with #{status}" unless status.success?
    Sidekiq::Queue.new('default').clear
  ensure
    if worker
      Process.kill('KILL', worker)
      Process.wait(worker)
    end
  end
end
