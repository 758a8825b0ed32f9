// PostgreSQL by lib/pq (database/sql), pgx, golang-migrate and River; MongoDB by its driver. What
// each makes it drops.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-migrate/migrate/v4"
	_ "github.com/golang-migrate/migrate/v4/database/postgres"
	_ "github.com/golang-migrate/migrate/v4/source/file"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/lib/pq"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

var (
	ctx context.Context
	url = os.Getenv("POSTGRES_URL")
	me  = os.Getenv("POSTGRES_USER")
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func need(holds bool, what string) {
	if !holds {
		must(errors.New("not so: " + what))
	}
}

func main() {
	var cancel context.CancelFunc
	ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	libPq()
	pgxPool()
	migrations()
	riverJobs()
	mongoDriver()
}

func libPq() {
	db, err := sql.Open("postgres", url)
	must(err)
	_, err = db.ExecContext(ctx, "CREATE TABLE plain (id serial PRIMARY KEY, name text)")
	must(err)
	tx, err := db.BeginTx(ctx, nil)
	must(err)
	_, err = tx.ExecContext(ctx, "INSERT INTO plain (name) VALUES ($1)", me)
	must(err)
	must(tx.Commit())
	var name string
	must(db.QueryRowContext(ctx, "SELECT name FROM plain").Scan(&name))
	need(name == me, "the row")
	_, err = db.ExecContext(ctx, "DROP TABLE plain")
	must(err)
	must(db.Close())
}

func pgxPool() {
	pool, err := pgxpool.New(ctx, url)
	must(err)
	_, err = pool.Exec(ctx, "CREATE TABLE copied (n int, name text)")
	must(err)
	rows := [][]any{{1, me}, {2, me}}
	copied, err := pool.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"n", "name"}, pgx.CopyFromRows(rows))
	must(err)
	need(copied == 2, "two rows copied")
	batch := &pgx.Batch{}
	batch.Queue("SELECT count(*) FROM copied")
	batch.Queue("DROP TABLE copied")
	must(pool.SendBatch(ctx, batch).Close())
	pool.Close()
}

func migrations() {
	folder, err := os.MkdirTemp("", "migrations")
	must(err)
	defer os.RemoveAll(folder)
	write := func(name string, text string) {
		must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("1_first.up.sql", "CREATE TABLE moved (id int); CREATE INDEX ON moved (id);")
	write("1_first.down.sql", "DROP TABLE moved;")
	moves, err := migrate.New("file://"+folder, url)
	must(err)
	must(moves.Up())
	version, dirty, err := moves.Version()
	must(err)
	need(version == 1 && !dirty, "version 1")
	must(moves.Down())
	must(moves.Drop())
	fault, databaseFault := moves.Close()
	must(fault)
	must(databaseFault)
}

type Mail struct {
	App string `json:"app"`
}

func (Mail) Kind() string { return "mail" }

type postman struct {
	river.WorkerDefaults[Mail]
	done chan string
}

func (worker *postman) Work(_ context.Context, job *river.Job[Mail]) error {
	if job.Attempt == 1 {
		return errors.New("once")
	}
	worker.done <- job.Args.App
	return nil
}

func (worker *postman) NextRetry(*river.Job[Mail]) time.Time { return time.Now() }

func riverJobs() {
	pool, err := pgxpool.New(ctx, url)
	must(err)
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	must(err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	must(err)
	workers := river.NewWorkers()
	done := make(chan string, 1)
	river.AddWorker(workers, &postman{done: done})
	client, err := river.NewClient(driver, &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}},
		Workers: workers,
	})
	must(err)
	must(client.Start(ctx))
	_, err = client.Insert(ctx, Mail{App: me}, nil)
	must(err)
	select {
	case app := <-done:
		need(app == me, "the job is this app's")
	case <-ctx.Done():
		must(ctx.Err())
	}
	must(client.Stop(ctx))
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1})
	must(err)
	pool.Close()
}

func mongoDriver() {
	client, err := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGO_URI")))
	must(err)
	books := client.Database(os.Getenv("MONGO_DATABASE")).Collection("books")
	unique := mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}}, Options: options.Index().SetUnique(true)}
	_, err = books.Indexes().CreateOne(ctx, unique)
	must(err)
	session, err := client.StartSession()
	must(err)
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		return books.InsertOne(ctx, bson.M{"name": me})
	})
	must(err)
	session.EndSession(ctx)
	_, err = books.InsertOne(ctx, bson.M{"name": me})
	need(mongo.IsDuplicateKeyError(err), "the index is unique")
	many, err := books.CountDocuments(ctx, bson.M{})
	must(err)
	need(many == 1, "this app's document alone")
	must(books.Drop(ctx))
	must(client.Disconnect(ctx))
}
