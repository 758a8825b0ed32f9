// Connects by the variables of `mngdb env APP --for DRIVER`, as an app does, and prints whether the
// connection is encrypted. What fails is left to Java to print.
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import io.lettuce.core.ClientOptions;
import io.lettuce.core.RedisClient;
import io.lettuce.core.SslOptions;
import java.io.File;
import java.io.FileInputStream;
import java.net.URI;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.sql.Connection;
import java.sql.DriverManager;
import java.util.Map;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.flywaydb.core.Flyway;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.Jedis;

public class Urls {
    static final Map<String, String> ENV = System.getenv();
    static final String TLS = "SELECT coalesce(version, 'none') FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

    static String asked(Connection connection) throws Exception {
        try (connection; var found = connection.createStatement().executeQuery(TLS)) {
            found.next();
            return found.getString(1);
        }
    }

    static String jdbc() throws Exception {
        return asked(DriverManager.getConnection(
            ENV.get("POSTGRES_URL"), ENV.get("POSTGRES_USER"), ENV.get("POSTGRES_PASSWORD")));
    }

    static String hikari() throws Exception {
        var config = new HikariConfig();
        config.setJdbcUrl(ENV.get("POSTGRES_URL"));
        config.setUsername(ENV.get("POSTGRES_USER"));
        config.setPassword(ENV.get("POSTGRES_PASSWORD"));
        try (var pool = new HikariDataSource(config)) {
            return asked(pool.getConnection());
        }
    }

    static String flyway() throws Exception {
        var flyway = Flyway.configure()
            .dataSource(ENV.get("POSTGRES_URL"), ENV.get("POSTGRES_USER"), ENV.get("POSTGRES_PASSWORD"))
            .baselineOnMigrate(true).failOnMissingLocations(false).load();
        flyway.migrate();
        return jdbc();
    }

    static SSLContext context() throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (var file = new FileInputStream(ENV.get("REDIS_CA"))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        var trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusted.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trusted.getTrustManagers(), null);
        return context;
    }

    static String jedis() throws Exception {
        var config = DefaultJedisClientConfig.builder();
        if (ENV.containsKey("REDIS_CA")) config.sslSocketFactory(context().getSocketFactory());
        try (var client = new Jedis(URI.create(ENV.get("REDIS_URL")), config.build())) {
            client.set("shop:one", "1");
        }
        return ENV.get("REDIS_URL").startsWith("rediss:") ? "TLS" : "none";
    }

    static String lettuce() {
        var client = RedisClient.create(ENV.get("REDIS_URL"));
        if (ENV.containsKey("REDIS_CA")) {
            var ssl = SslOptions.builder().trustManager(new File(ENV.get("REDIS_CA"))).build();
            client.setOptions(ClientOptions.builder().sslOptions(ssl).build());
        }
        try (client; var connection = client.connect()) {
            connection.sync().set("shop:one", "1");
        }
        return ENV.get("REDIS_URL").startsWith("rediss:") ? "TLS" : "none";
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println(switch (arguments[0]) {
            case "pgjdbc" -> jdbc();
            case "HikariCP" -> hikari();
            case "Flyway" -> flyway();
            case "Jedis" -> jedis();
            default -> lettuce();
        });
    }
}
