// Spring Data Redis, Spring Cache and Spring Session (indexed) over Lettuce.

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.springframework.cache.Cache;
import org.springframework.context.ApplicationListener;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.data.redis.cache.BatchStrategies;
import org.springframework.data.redis.cache.RedisCacheConfiguration;
import org.springframework.data.redis.cache.RedisCacheManager;
import org.springframework.data.redis.cache.RedisCacheWriter;
import org.springframework.data.redis.connection.RedisConnectionFactory;
import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.data.redis.core.RedisOperations;
import org.springframework.data.redis.core.ScanOptions;
import org.springframework.data.redis.core.SessionCallback;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.data.redis.core.script.RedisScript;
import org.springframework.data.redis.listener.ChannelTopic;
import org.springframework.data.redis.listener.PatternTopic;
import org.springframework.data.redis.listener.RedisMessageListenerContainer;
import org.springframework.session.FindByIndexNameSessionRepository;
import org.springframework.session.Session;
import org.springframework.session.data.redis.RedisIndexedSessionRepository;
import org.springframework.session.data.redis.config.ConfigureRedisAction;
import org.springframework.session.data.redis.config.annotation.web.http.EnableRedisIndexedHttpSession;
import org.springframework.session.events.AbstractSessionEvent;
import org.springframework.session.events.SessionCreatedEvent;
import org.springframework.session.events.SessionDeletedEvent;
import org.springframework.session.events.SessionExpiredEvent;

public class Spring {
  static final String PREFIX = System.getenv("REDIS_KEY_PREFIX");
  static final BlockingQueue<AbstractSessionEvent> EVENTS = new LinkedBlockingQueue<>();

  static RedisConnectionFactory factory() {
    var where = new RedisStandaloneConfiguration(
        System.getenv("REDIS_HOST"), Integer.parseInt(System.getenv("REDIS_PORT")));
    where.setUsername(System.getenv("REDIS_USER"));
    where.setPassword(System.getenv("REDIS_PASSWORD"));
    var factory = new LettuceConnectionFactory(where);
    factory.afterPropertiesSet();
    factory.start();
    return factory;
  }

  public static void main(String[] what) throws Exception {
    switch (what[0]) {
      case "data" -> data();
      case "cache" -> cache(what.length > 1);
      case "session" -> session();
      default -> throw new IllegalArgumentException(what[0]);
    }
    System.exit(0);
  }

  static void data() throws Exception {
    var factory = factory();
    var redis = new StringRedisTemplate(factory);
    var heard = new LinkedBlockingQueue<String>();
    var container = new RedisMessageListenerContainer();
    container.setConnectionFactory(factory);
    container.addMessageListener((message, pattern) -> heard.add("pattern " + message),
        new PatternTopic(PREFIX + "events:*"));
    container.addMessageListener((message, pattern) -> heard.add("channel " + message),
        new ChannelTopic(PREFIX + "events:orders"));
    container.afterPropertiesSet();
    container.start();
    redis.convertAndSend(PREFIX + "events:orders", "one");
    var both = List.of(heard.poll(10, TimeUnit.SECONDS), heard.poll(10, TimeUnit.SECONDS));
    need(both.contains("pattern one") && both.contains("channel one"), "heard " + both);

    redis.opsForValue().set(PREFIX + "a", "1", Duration.ofMinutes(1));
    need(redis.opsForValue().increment(PREFIX + "a") == 2, "incremented");
    redis.opsForHash().putAll(PREFIX + "h", Map.of("f", "1"));
    redis.opsForStream().add(PREFIX + "x", Map.of("f", "1"));
    need(redis.opsForStream().size(PREFIX + "x") == 1, "the stream");
    var script = RedisScript.of("return redis.call('GET', KEYS[1])", String.class);
    need("2".equals(redis.execute(script, List.of(PREFIX + "a"))), "the script");
    var got = redis.execute(new SessionCallback<List<Object>>() {
      @Override
      public <K, V> List<Object> execute(RedisOperations<K, V> session) {
        session.multi();
        session.opsForValue().get(PREFIX + "a");
        return session.exec();
      }
    });
    need(got.equals(List.of("2")), "the transaction");
    try (var keys = redis.scan(ScanOptions.scanOptions().match(PREFIX + "*").build())) {
      need(keys.stream().count() >= 3, "the scan");
    }
    redis.delete(List.of(PREFIX + "a", PREFIX + "h", PREFIX + "x"));
    container.stop();
  }

  // Without `scan`, clear() is KEYS, as it is by default.
  static void cache(boolean scan) {
    var factory = factory();
    var writer = scan
        ? RedisCacheWriter.nonLockingRedisCacheWriter(factory, BatchStrategies.scan(100))
        : RedisCacheWriter.nonLockingRedisCacheWriter(factory);
    var config = RedisCacheConfiguration.defaultCacheConfig()
        .prefixCacheNameWith(PREFIX).entryTtl(Duration.ofMinutes(1));
    Cache cache = RedisCacheManager.builder(writer).cacheDefaults(config).build().getCache("books");
    cache.put("a", "1");
    need("1".equals(cache.get("a", String.class)), "the value");
    need("2".equals(cache.get("b", () -> "2")), "the loaded value");
    cache.putIfAbsent("a", "3");
    cache.evict("a");
    need(cache.get("a") == null, "evicted");
    cache.clear();
    need(cache.get("b") == null, "cleared");
  }

  @Configuration
  @EnableRedisIndexedHttpSession(maxInactiveIntervalInSeconds = 60, cleanupCron = "* * * * * *")
  static class Sessions {
    @Bean
    RedisConnectionFactory redisConnectionFactory() {
      return factory();
    }

    @Bean
    ConfigureRedisAction configureRedisAction() {
      return ConfigureRedisAction.NO_OP;
    }

    @Bean
    org.springframework.session.config.SessionRepositoryCustomizer<RedisIndexedSessionRepository> names() {
      return repository -> repository.setRedisKeyNamespace(PREFIX.replaceAll(":$", ""));
    }

    @Bean
    ApplicationListener<AbstractSessionEvent> events() {
      return EVENTS::add;
    }
  }

  static void session() throws Exception {
    var context = new AnnotationConfigApplicationContext(Sessions.class);
    var sessions = context.getBean(RedisIndexedSessionRepository.class);
    var me = System.getenv("REDIS_USER");
    var kept = sessions.createSession();
    kept.setAttribute(FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME, "kim");
    kept.setAttribute("app", me);
    sessions.save(kept);
    need(event(SessionCreatedEvent.class).getSessionId().equals(kept.getId()), "created");
    Map<String, ? extends Session> found = sessions.findByPrincipalName("kim");
    need(found.keySet().equals(java.util.Set.of(kept.getId())), "this app's sessions alone");
    var again = sessions.findById(kept.getId());
    need(me.equals(again.getAttribute("app")), "the attribute");
    again.changeSessionId();
    sessions.save(again);
    sessions.deleteById(again.getId());
    need(event(SessionDeletedEvent.class).getSessionId().equals(again.getId()), "deleted");

    var brief = sessions.createSession();
    brief.setMaxInactiveInterval(Duration.ofSeconds(2));
    sessions.save(brief);
    event(SessionCreatedEvent.class);
    need(event(SessionExpiredEvent.class).getSessionId().equals(brief.getId()), "expired");
    context.close();
  }

  static AbstractSessionEvent event(Class<?> kind) throws Exception {
    var event = EVENTS.poll(30, TimeUnit.SECONDS);
    need(kind.isInstance(event), "expected " + kind.getSimpleName() + ", got " + event);
    return event;
  }

  static void need(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }
}
