// HikariCP over pgjdbc, Flyway and Liquibase; MongoDB's driver. What each makes it drops.

import com.mongodb.ConnectionString;
import com.mongodb.MongoWriteException;
import com.mongodb.client.MongoClients;
import com.mongodb.client.model.IndexOptions;
import com.mongodb.client.model.Indexes;
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.nio.file.Files;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;
import javax.sql.DataSource;
import liquibase.Liquibase;
import liquibase.database.DatabaseFactory;
import liquibase.database.jvm.JdbcConnection;
import liquibase.resource.DirectoryResourceAccessor;
import org.bson.Document;
import org.flywaydb.core.Flyway;

public class Databases {
  static final String ME = System.getenv("POSTGRES_USER");

  public static void main(String[] none) throws Exception {
    Logger.getLogger("").setLevel(Level.OFF);
    var config = new HikariConfig();
    config.setJdbcUrl(System.getenv("POSTGRES_URL"));
    config.setUsername(ME);
    config.setPassword(System.getenv("POSTGRES_PASSWORD"));
    config.setMaximumPoolSize(3);
    try (var pool = new HikariDataSource(config)) {
      plain(pool);
      flyway(pool);
      liquibase(pool);
    }
    mongo();
    System.exit(0);
  }

  static void plain(DataSource pool) throws Exception {
    try (var connection = pool.getConnection(); var statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      statement.execute("CREATE TABLE plain (id serial PRIMARY KEY, name text)");
      try (var insert = connection.prepareStatement("INSERT INTO plain (name) VALUES (?)")) {
        for (int row = 0; row < 3; row++) {
          insert.setString(1, ME);
          insert.addBatch();
        }
        need(insert.executeBatch().length == 3, "the batch");
      }
      connection.commit();
      var rows = statement.executeQuery("SELECT count(*) FROM plain");
      need(rows.next() && rows.getInt(1) == 3, "three rows");
      statement.execute("DROP TABLE plain");
      connection.commit();
    }
  }

  static void flyway(DataSource pool) throws Exception {
    var folder = Files.createTempDirectory("flyway");
    Files.writeString(folder.resolve("V1__first.sql"), "CREATE TABLE moved (id int);");
    Files.writeString(folder.resolve("V2__second.sql"), "CREATE INDEX ON moved (id);");
    var flyway = Flyway.configure().dataSource(pool).cleanDisabled(false)
        .locations("filesystem:" + folder).load();
    need(flyway.migrate().migrationsExecuted == 2, "two migrations");
    flyway.validate();
    flyway.clean();
  }

  static void liquibase(DataSource pool) throws Exception {
    var folder = Files.createTempDirectory("liquibase");
    Files.writeString(folder.resolve("changes.sql"), """
        --liquibase formatted sql
        --changeset me:1
        CREATE TABLE changed (id int);
        --rollback DROP TABLE changed;
        """);
    try (var connection = pool.getConnection()) {
      var database = DatabaseFactory.getInstance()
          .findCorrectDatabaseImplementation(new JdbcConnection(connection));
      try (var changes = new Liquibase("changes.sql", new DirectoryResourceAccessor(folder), database)) {
        changes.update("");
        changes.rollback(1, "");
        changes.dropAll();
      }
    }
  }

  static void mongo() {
    var where = new ConnectionString(System.getenv("MONGO_URI"));
    try (var client = MongoClients.create(where)) {
      var books = client.getDatabase(where.getDatabase()).getCollection("books");
      books.createIndex(Indexes.ascending("name"), new IndexOptions().unique(true));
      try (var session = client.startSession()) {
        session.withTransaction(() -> books.insertOne(session, new Document(Map.of("name", ME))));
      }
      try {
        books.insertOne(new Document("name", ME));
        throw new AssertionError("the index is unique");
      } catch (MongoWriteException expected) {
        need(expected.getCode() == 11000, "a duplicate");
      }
      need(books.countDocuments() == 1, "this app's document alone");
      books.drop();
    }
  }

  static void need(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }
}
