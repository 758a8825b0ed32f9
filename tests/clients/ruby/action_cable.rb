# Action Cable: two servers; a broadcast of one reaches who listens at the other. And Rails' cache
# store: values, counters, delete_matched, clear.
require "action_cable"
require "active_support/all"
require "active_support/cache/redis_cache_store"

URL = ENV.fetch("REDIS_URL")
PREFIX = ENV.fetch("REDIS_KEY_PREFIX").delete_suffix(":")
ME = ENV.fetch("REDIS_USER")

def server
  config = ActionCable::Server::Configuration.new
  config.cable = { adapter: "redis", url: URL, channel_prefix: PREFIX }.with_indifferent_access
  config.logger = Logger.new(nil)
  ActionCable::Server::Base.new(config: config)
end

def within(seconds, what)
  limit = Time.now + seconds
  until (found = yield)
    raise "not within #{seconds} seconds: #{what}" if Time.now > limit
    sleep 0.05
  end
  found
end

one, two = server, server
heard = Queue.new
ready = Queue.new
one.pubsub.subscribe("room", ->(text) { heard << text }, -> { ready << true })
within(30, "the subscription") { !ready.empty? }
two.broadcast("room", { text: ME })
within(30, "the broadcast") { !heard.empty? }
raise "another's" unless JSON.parse(heard.pop) == { "text" => ME }
[one, two].each { |each| each.pubsub.shutdown }

cache = ActiveSupport::Cache::RedisCacheStore.new(
  url: URL, namespace: PREFIX, error_handler: ->(exception:, **) { raise exception }
)
cache.write("a", ME, expires_in: 60)
raise "not kept" unless cache.fetch("a") { "other" } == ME
cache.write_multi({ "b" => 1, "c" => 2 })
cache.increment("n")
cache.delete_matched("b*")
cache.clear
raise "not cleared" if cache.read("a") || cache.read("c")
