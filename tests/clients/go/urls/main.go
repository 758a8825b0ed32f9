// Connects by the variables of `mngdb env APP --for go` and nothing else, as an app does, and prints
// whether the connection is encrypted.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"time"

	"github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/jackc/pgx/v5"
	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const tlsQuery = "SELECT coalesce(version, 'none') FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

func libPq(ctx context.Context) (found string, err error) {
	client, err := sql.Open("postgres", os.Getenv("POSTGRES_URL"))
	if err != nil {
		return "", err
	}
	defer client.Close()
	err = client.QueryRowContext(ctx, tlsQuery).Scan(&found)
	return found, err
}

func pgxConnect(ctx context.Context) (found string, err error) {
	client, err := pgx.Connect(ctx, os.Getenv("POSTGRES_URL"))
	if err != nil {
		return "", err
	}
	defer client.Close(ctx)
	err = client.QueryRow(ctx, tlsQuery).Scan(&found)
	return found, err
}

func migrate(ctx context.Context) (string, error) {
	driver, err := (&postgres.Postgres{}).Open(os.Getenv("POSTGRES_URL"))
	if err != nil {
		return "", err
	}
	defer driver.Close()
	if err := driver.SetVersion(1, false); err != nil {
		return "", err
	}
	return libPq(ctx)
}

func goRedis(ctx context.Context) (string, error) {
	parsed, err := redis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		return "", err
	}
	encrypted := "none"
	if parsed.TLSConfig != nil {
		encrypted = "TLS"
	}
	client := redis.NewClient(parsed)
	defer client.Close()
	return encrypted, client.Set(ctx, "shop:one", "1", 0).Err()
}

func rueidisConnect(ctx context.Context) (string, error) {
	parsed, err := rueidis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		return "", err
	}
	parsed.ForceSingleClient = true
	parsed.DisableCache = true
	encrypted := "none"
	if parsed.TLSConfig != nil {
		encrypted = "TLS"
	}
	client, err := rueidis.NewClient(parsed)
	if err != nil {
		return "", err
	}
	defer client.Close()
	return encrypted, client.Do(ctx, client.B().Set().Key("shop:one").Value("1").Build()).Error()
}

func mongoDriver(ctx context.Context) (string, error) {
	given := options.Client().ApplyURI(os.Getenv("MONGO_URI")).SetServerSelectionTimeout(5 * time.Second)
	client, err := mongo.Connect(given)
	if err != nil {
		return "", err
	}
	defer client.Disconnect(ctx)
	encrypted := "none"
	if given.TLSConfig != nil {
		encrypted = "TLS"
	}
	_, err = client.Database(os.Getenv("MONGO_DATABASE")).Collection("words").InsertOne(ctx, bson.M{"word": "one"})
	return encrypted, err
}

func main() {
	drivers := map[string]func(context.Context) (string, error){
		"lib/pq": libPq, "pgx": pgxConnect, "golang-migrate": migrate, "go-redis": goRedis, "rueidis": rueidisConnect,
		"mongo": mongoDriver,
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	found, err := drivers[os.Args[1]](ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%+v\n", err, err)
		os.Exit(1)
	}
	fmt.Println(found)
}
