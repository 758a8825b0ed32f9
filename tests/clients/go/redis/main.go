// go-redis: strings, pipelines, transactions, scripts, pub/sub, streams, scans.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
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

func options() *redis.Options {
	found := &redis.Options{
		Addr:     os.Getenv("REDIS_HOST") + ":" + os.Getenv("REDIS_PORT"),
		Username: os.Getenv("REDIS_USER"),
		Password: os.Getenv("REDIS_PASSWORD"),
	}
	if path := os.Getenv("REDIS_CA"); path != "" {
		text, err := os.ReadFile(path)
		must(err)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(text)
		found.TLSConfig = &tls.Config{RootCAs: roots}
	}
	return found
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	prefix := os.Getenv("REDIS_KEY_PREFIX")
	client := redis.NewClient(options())
	must(client.Ping(ctx).Err())
	must(client.Set(ctx, prefix+"a", 1, time.Minute).Err())
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Incr(ctx, prefix+"a")
		pipe.HSet(ctx, prefix+"h", "f", 1)
		return nil
	})
	must(err)
	must(client.Watch(ctx, func(tx *redis.Tx) error {
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			return pipe.Incr(ctx, prefix+"a").Err()
		})
		return err
	}, prefix+"a"))
	script := redis.NewScript("return redis.call('GET', KEYS[1])")
	value, err := script.Run(ctx, client, []string{prefix + "a"}).Text()
	must(err)
	need(value == "3", "the script reads "+value)

	heard := client.Subscribe(ctx, prefix+"news")
	_, err = heard.Receive(ctx)
	must(err)
	must(client.Publish(ctx, prefix+"news", "hello").Err())
	message, err := heard.ReceiveMessage(ctx)
	must(err)
	need(message.Payload == "hello", "the message")
	must(heard.Close())

	must(client.XGroupCreateMkStream(ctx, prefix+"x", "g", "0").Err())
	must(client.XAdd(ctx, &redis.XAddArgs{Stream: prefix + "x", Values: []string{"f", "1"}}).Err())
	read := &redis.XReadGroupArgs{Group: "g", Consumer: "c", Streams: []string{prefix + "x", ">"}}
	streams, err := client.XReadGroup(ctx, read).Result()
	must(err)
	must(client.XAck(ctx, prefix+"x", "g", streams[0].Messages[0].ID).Err())
	keys := 0
	for found := client.Scan(ctx, 0, prefix+"*", 10).Iterator(); found.Next(ctx); {
		keys++
	}
	need(keys == 3, fmt.Sprint(keys, " keys"))
	must(client.Del(ctx, prefix+"a", prefix+"h", prefix+"x").Err())
	must(client.Close())
}
