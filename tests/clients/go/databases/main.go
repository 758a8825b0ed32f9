// PostgreSQL by lib/pq (database/sql), sqlx, pgx, golang-migrate, goose and River; MongoDB by its
// driver. What each makes it drops.
package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	_ "github.com/golang-migrate/migrate/v4/database/postgres"
	_ "github.com/golang-migrate/migrate/v4/source/file"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	. "mngdb.test/clients/frame"
)

var (
	ctx context.Context
	url = os.Getenv("POSTGRES_URL")
	me  = os.Getenv("POSTGRES_USER")
)

func main() {
	var cancel context.CancelFunc
	ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	libPq()
	sqlxQueries()
	pgxPool()
	migrations()
	gooseMigrations()
	riverJobs()
	mongoDriver()
}

func libPq() {
	db, err := sql.Open("postgres", url)
	Must(err)
	_, err = db.ExecContext(ctx, "CREATE TABLE plain (id serial PRIMARY KEY, name text)")
	Must(err)
	tx, err := db.BeginTx(ctx, nil)
	Must(err)
	_, err = tx.ExecContext(ctx, "INSERT INTO plain (name) VALUES ($1)", me)
	Must(err)
	Must(tx.Commit())
	var name string
	Must(db.QueryRowContext(ctx, "SELECT name FROM plain").Scan(&name))
	Need(name == me, "the row")
	_, err = db.ExecContext(ctx, "DROP TABLE plain")
	Must(err)
	Must(db.Close())
}

func sqlxQueries() {
	db := sqlx.MustConnect("postgres", url)
	db.MustExec("CREATE TABLE named (id serial PRIMARY KEY, name text)")
	tx := db.MustBegin()
	_, err := tx.NamedExec("INSERT INTO named (name) VALUES (:name)", map[string]any{"name": me})
	Must(err)
	Must(tx.Commit())
	var names []string
	Must(db.SelectContext(ctx, &names, "SELECT name FROM named"))
	Need(len(names) == 1 && names[0] == me, "the row")
	db.MustExec("DROP TABLE named")
	Must(db.Close())
}

func pgxPool() {
	pool, err := pgxpool.New(ctx, url)
	Must(err)
	_, err = pool.Exec(ctx, "CREATE TABLE copied (n int, name text)")
	Must(err)
	rows := [][]any{{1, me}, {2, me}}
	copied, err := pool.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"n", "name"}, pgx.CopyFromRows(rows))
	Must(err)
	Need(copied == 2, "two rows copied")
	batch := &pgx.Batch{}
	batch.Queue("SELECT count(*) FROM copied")
	batch.Queue("DROP TABLE copied")
	Must(pool.SendBatch(ctx, batch).Close())
	pool.Close()
}

func migrations() {
	folder, err := os.MkdirTemp("", "migrations")
	Must(err)
	defer os.RemoveAll(folder)
	write := func(name string, text string) {
		Must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("1_first.up.sql", "CREATE TABLE moved (id int); CREATE INDEX ON moved (id);")
	write("1_first.down.sql", "DROP TABLE moved;")
	moves, err := migrate.New("file://"+folder, url)
	Must(err)
	Must(moves.Up())
	version, dirty, err := moves.Version()
	Must(err)
	Need(version == 1 && !dirty, "version 1")
	Must(moves.Down())
	Must(moves.Drop())
	fault, databaseFault := moves.Close()
	Must(fault)
	Must(databaseFault)
}

func gooseMigrations() {
	db, err := sql.Open("postgres", url)
	Must(err)
	locker, err := lock.NewPostgresSessionLocker()
	Must(err)
	text := "-- +goose Up\nCREATE TABLE goose (id int);\n-- +goose Down\nDROP TABLE goose;\n"
	files := fstest.MapFS{"1_first.sql": {Data: []byte(text)}}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	Must(err)
	_, err = provider.Up(ctx)
	Must(err)
	version, err := provider.GetDBVersion(ctx)
	Must(err)
	Need(version == 1, "version 1")
	_, err = provider.DownTo(ctx, 0)
	Must(err)
	_, err = db.ExecContext(ctx, "DROP TABLE goose_db_version")
	Must(err)
	Must(provider.Close())
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
	Must(err)
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	Must(err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	Must(err)
	workers := river.NewWorkers()
	done := make(chan string, 1)
	river.AddWorker(workers, &postman{done: done})
	client, err := river.NewClient(driver, &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}},
		Workers: workers,
	})
	Must(err)
	Must(client.Start(ctx))
	_, err = client.Insert(ctx, Mail{App: me}, nil)
	Must(err)
	select {
	case app := <-done:
		Need(app == me, "the job is this app's")
	case <-ctx.Done():
		Must(ctx.Err())
	}
	Must(client.Stop(ctx))
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1})
	Must(err)
	pool.Close()
}

func mongoDriver() {
	client, err := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGO_URI")))
	Must(err)
	books := client.Database(os.Getenv("MONGO_DATABASE")).Collection("books")
	unique := mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}}, Options: options.Index().SetUnique(true)}
	_, err = books.Indexes().CreateOne(ctx, unique)
	Must(err)
	session, err := client.StartSession()
	Must(err)
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		return books.InsertOne(ctx, bson.M{"name": me})
	})
	Must(err)
	session.EndSession(ctx)
	_, err = books.InsertOne(ctx, bson.M{"name": me})
	Need(mongo.IsDuplicateKeyError(err), "the index is unique")
	many, err := books.CountDocuments(ctx, bson.M{})
	Must(err)
	Need(many == 1, "this app's document alone")
	Must(books.Drop(ctx))
	Must(client.Disconnect(ctx))
}
