// Redisson, with a NameMapper that puts the app's prefix, if it has one, before each name: locks,
// semaphores, maps, topics, queues, rate limiters; with the argument `executor` executors as well,
// whose answers have names that no mapper changes.

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.redisson.api.LocalCachedMapOptions;
import org.redisson.api.NameMapper;
import org.redisson.api.RedissonClient;
import org.redisson.api.WorkerOptions;
import org.redisson.api.RateType;
import org.redisson.config.Config;

@SuppressWarnings("deprecation")
public class Redisson {
  static final String PREFIX = System.getenv().getOrDefault("REDIS_KEY_PREFIX", "");

  static RedissonClient client() {
    var config = new Config();
    config.setThreads(2).setNettyThreads(2);
    config.useSingleServer()
        .setAddress("redis://" + System.getenv("REDIS_HOST") + ":" + System.getenv("REDIS_PORT"))
        .setUsername(System.getenv("REDIS_USER"))
        .setPassword(System.getenv("REDIS_PASSWORD"))
        .setConnectionMinimumIdleSize(2).setConnectionPoolSize(8)
        .setNameMapper(new NameMapper() {
          @Override
          public String map(String name) {
            return PREFIX + name;
          }

          @Override
          public String unmap(String name) {
            return name.substring(PREFIX.length());
          }
        });
    return org.redisson.Redisson.create(config);
  }

  static class Work implements java.util.concurrent.Callable<String>, java.io.Serializable {
    @Override
    public String call() {
      return "done";
    }
  }

  public static void main(String[] what) throws Exception {
    var one = client();
    var two = client();
    try {
      locks(one, two);
      maps(one, two);
      messages(one, two);
      if (what.length > 0) {
        work(one);
      }
      one.shutdown();
      two.shutdown();
    } catch (Throwable failed) {
      failed.printStackTrace();
      System.exit(1);
    }
    System.exit(0);
  }

  static void locks(RedissonClient one, RedissonClient two) throws Exception {
    var lock = one.getLock("lock");
    lock.lock();
    var got = new CountDownLatch(1);
    new Thread(() -> {
      two.getLock("lock").lock();
      two.getLock("lock").unlock();
      got.countDown();
    }).start();
    need(!got.await(300, TimeUnit.MILLISECONDS), "the lock holds");
    lock.unlock();
    need(got.await(10, TimeUnit.SECONDS), "the lock is handed on");
    var fair = one.getFairLock("fair");
    need(fair.tryLock(1, 5, TimeUnit.SECONDS), "the fair lock");
    fair.unlock();
    var both = one.getReadWriteLock("both");
    both.readLock().lock();
    both.readLock().unlock();
    both.writeLock().lock();
    both.writeLock().unlock();
    var semaphore = one.getSemaphore("semaphore");
    semaphore.trySetPermits(1);
    semaphore.acquire();
    semaphore.release();
    var permits = one.getPermitExpirableSemaphore("permits");
    permits.trySetPermits(1);
    permits.release(permits.acquire(5, TimeUnit.SECONDS));
    var latch = one.getCountDownLatch("latch");
    latch.trySetCount(1);
    var waiting = new CountDownLatch(1);
    new Thread(() -> {
      try {
        two.getCountDownLatch("latch").await();
      } catch (InterruptedException ended) {
        return;
      }
      waiting.countDown();
    }).start();
    latch.countDown();
    need(waiting.await(10, TimeUnit.SECONDS), "the latch");
  }

  static void maps(RedissonClient one, RedissonClient two) throws Exception {
    one.getBucket("bucket").set("1", Duration.ofMinutes(1));
    one.getMap("map").put("a", "1");
    var expiring = one.getMapCache("expiring");
    expiring.put("a", "1", 1, TimeUnit.MINUTES, 1, TimeUnit.MINUTES);
    need("1".equals(two.getMapCache("expiring").get("a")), "the map whose entries expire");
    expiring.destroy();
    // otherwise it hears of the expired keys of all apps
    var quiet = LocalCachedMapOptions.<String, String>defaults()
        .expirationEventPolicy(LocalCachedMapOptions.ExpirationEventPolicy.DONT_SUBSCRIBE);
    var near = one.getLocalCachedMap("near", quiet);
    var far = two.getLocalCachedMap("near", quiet);
    near.put("a", "1");
    need("1".equals(far.get("a")), "the map that is cached locally");
    near.put("a", "2");
    until("its invalidation", () -> "2".equals(far.get("a")));
    var set = one.getSetCache("set");
    set.add("a", 1, TimeUnit.MINUTES);
    set.destroy();
    one.getScoredSortedSet("sorted").add(1, "a");
    one.getAtomicLong("long").incrementAndGet();
    one.getHyperLogLog("unique").add("a");
    need(one.getIdGenerator("ids").nextId() > 0, "an id");
    var bloom = one.getBloomFilter("bloom");
    bloom.tryInit(100, 0.01);
    bloom.add("a");
    need(bloom.contains("a"), "the Bloom filter");
    var limiter = one.getRateLimiter("limiter");
    limiter.trySetRate(RateType.OVERALL, 1, Duration.ofMinutes(1));
    need(limiter.tryAcquire() && !limiter.tryAcquire(), "the rate limiter");
    need(one.getKeys().getKeysStream().count() > 5, "the keys");
    var batch = one.createBatch();
    batch.getBucket("bucket").getAsync();
    need(batch.execute().getResponses().contains("1"), "the batch");
  }

  static void messages(RedissonClient one, RedissonClient two) throws Exception {
    var heard = new LinkedBlockingQueue<String>();
    two.getTopic("news").addListener(String.class, (channel, text) -> heard.add("channel " + text));
    two.getPatternTopic(PREFIX + "news*") // the mapper leaves patterns as they are
        .addListener(String.class, (pattern, channel, text) -> heard.add("pattern " + text));
    one.getTopic("news").publish("one");
    need(heard.poll(10, TimeUnit.SECONDS) != null && heard.poll(10, TimeUnit.SECONDS) != null, "both topics");
    var reliable = two.getReliableTopic("reliable");
    reliable.addListener(String.class, (channel, text) -> heard.add(text));
    one.getReliableTopic("reliable").publish("two");
    need("two".equals(heard.poll(10, TimeUnit.SECONDS)), "the reliable topic");
    var queue = two.<String>getBlockingQueue("queue");
    one.<String>getBlockingQueue("queue").add("a");
    need("a".equals(queue.poll(10, TimeUnit.SECONDS)), "the queue");
    var delayed = one.<String>getDelayedQueue(one.getBlockingQueue("queue"));
    delayed.offer("late", 200, TimeUnit.MILLISECONDS);
    need("late".equals(queue.poll(10, TimeUnit.SECONDS)), "the delayed queue");
    delayed.destroy();
    var bounded = one.<String>getBoundedBlockingQueue("bounded");
    bounded.trySetCapacity(1);
    bounded.put("a");
    bounded.take();
  }

  static void work(RedissonClient one) throws Exception {
    var executor = one.getExecutorService("executor");
    executor.registerWorkers(WorkerOptions.defaults().workers(1));
    need("done".equals(executor.submit(new Work()).get(20, TimeUnit.SECONDS)), "the work");
    executor.delete();
  }

  interface Condition {
    boolean holds() throws Exception;
  }

  static void until(String what, Condition condition) throws Exception {
    for (int tries = 0; tries < 100 && !condition.holds(); tries++) {
      Thread.sleep(50);
    }
    need(condition.holds(), what);
  }

  static void need(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }
}
