// Spring Boot's own auto-configuration, from the variables of `mngdb env APP --for spring` alone.
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.bson.Document;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.autoconfigure.mongo.MongoClientSettingsBuilderCustomizer;
import org.springframework.context.annotation.Bean;
import org.springframework.data.mongodb.core.MongoTemplate;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.jdbc.core.JdbcTemplate;

@EnableAutoConfiguration
public class Boot {
    static final String TLS = "SELECT coalesce(version, 'none') FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

    @Bean
    MongoClientSettingsBuilderCustomizer patience() {
        return settings -> settings.applyToClusterSettings(
            cluster -> cluster.serverSelectionTimeout(5, TimeUnit.SECONDS));
    }

    public static void main(String[] arguments) {
        var application = new SpringApplication(Boot.class);
        application.setWebApplicationType(WebApplicationType.NONE);
        application.setDefaultProperties(Map.of(
            "spring.main.lazy-initialization", "true", "spring.main.banner-mode", "off",
            "spring.liquibase.enabled", "false", "spring.flyway.enabled", "false"));
        try (var context = application.run()) {
            var found = "";
            if (arguments[0].equals("postgres")) {
                found = context.getBean(JdbcTemplate.class).queryForObject(TLS, String.class);
            } else if (arguments[0].equals("redis")) {
                context.getBean(StringRedisTemplate.class).opsForValue().set("shop:one", "1");
            } else {
                context.getBean(MongoTemplate.class).insert(new Document("word", "one"), "words");
            }
            System.out.println("connected " + found);
        }
    }
}
