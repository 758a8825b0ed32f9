// Jedis and Lettuce: strings, transactions, scripts, pub/sub, streams, scans.

import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanIterator;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisPooled;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.StreamEntryID;
import redis.clients.jedis.params.ScanParams;

public class Drivers {
  static final String PREFIX = System.getenv("REDIS_KEY_PREFIX");
  static final String HOST = System.getenv("REDIS_HOST");
  static final int PORT = Integer.parseInt(System.getenv("REDIS_PORT"));
  static final String USER = System.getenv("REDIS_USER");
  static final String PASSWORD = System.getenv("REDIS_PASSWORD");
  static final String SCRIPT = "return redis.call('GET', KEYS[1])";

  public static void main(String[] none) throws Exception {
    jedis();
    lettuce();
    System.exit(0);
  }

  static void jedis() throws Exception {
    var config = DefaultJedisClientConfig.builder().user(USER).password(PASSWORD).build();
    try (var jedis = new JedisPooled(new HostAndPort(HOST, PORT), config)) {
      jedis.set(PREFIX + "a", "1");
      need(jedis.incr(PREFIX + "a") == 2, "incremented");
      try (var transaction = jedis.multi()) {
        var value = transaction.get(PREFIX + "a");
        transaction.exec();
        need("2".equals(value.get()), "the transaction");
      }
      need("2".equals(jedis.eval(SCRIPT, List.of(PREFIX + "a"), List.of())), "the script");
      jedis.xadd(PREFIX + "x", StreamEntryID.NEW_ENTRY, Map.of("f", "1"));
      var found = jedis.scan("0", new ScanParams().match(PREFIX + "*").count(1000)).getResult();
      need(found.contains(PREFIX + "x"), "the scan");
      var heard = new LinkedBlockingQueue<String>();
      var ready = new CountDownLatch(1);
      var listener = new JedisPubSub() {
        @Override
        public void onSubscribe(String channel, int count) {
          ready.countDown();
        }

        @Override
        public void onMessage(String channel, String text) {
          heard.add(text);
        }
      };
      var thread = new Thread(() -> jedis.subscribe(listener, PREFIX + "news"));
      thread.start();
      ready.await(10, TimeUnit.SECONDS);
      jedis.publish(PREFIX + "news", "hello");
      need("hello".equals(heard.poll(10, TimeUnit.SECONDS)), "the message");
      listener.unsubscribe();
      thread.join();
      jedis.del(PREFIX + "a", PREFIX + "x");
    }
  }

  static void lettuce() throws Exception {
    var uri = RedisURI.builder().withHost(HOST).withPort(PORT)
        .withAuthentication(USER, PASSWORD.toCharArray()).build();
    var client = RedisClient.create(uri);
    var redis = client.connect().sync();
    redis.set(PREFIX + "a", "1");
    need(redis.incr(PREFIX + "a") == 2, "incremented");
    redis.multi();
    redis.get(PREFIX + "a");
    need("2".equals(redis.exec().get(0)), "the transaction");
    String value = redis.eval(SCRIPT, ScriptOutputType.VALUE, PREFIX + "a");
    need("2".equals(value), "the script");
    redis.xadd(PREFIX + "x", Map.of("f", "1"));
    var found = 0;
    for (var keys = ScanIterator.scan(redis, ScanArgs.Builder.matches(PREFIX + "*")); keys.hasNext(); keys.next()) {
      found++;
    }
    need(found == 2, "the scan found " + found);
    var heard = new LinkedBlockingQueue<String>();
    var listening = client.connectPubSub();
    listening.addListener(new RedisPubSubAdapter<>() {
      @Override
      public void message(String channel, String text) {
        heard.add(text);
      }
    });
    listening.sync().subscribe(PREFIX + "news");
    redis.publish(PREFIX + "news", "hello");
    need("hello".equals(heard.poll(10, TimeUnit.SECONDS)), "the message");
    redis.del(PREFIX + "a", PREFIX + "x");
    client.shutdown();
  }

  static void need(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }
}
