// go-redis: strings, pipelines, transactions, scripts, pub/sub, streams, scans.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	. "mngdb.test/clients/frame"
)

func options() *redis.Options {
	return &redis.Options{
		Addr:      Address(),
		Username:  os.Getenv("REDIS_USER"),
		Password:  os.Getenv("REDIS_PASSWORD"),
		TLSConfig: TLS(),
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	prefix := os.Getenv("REDIS_KEY_PREFIX")
	client := redis.NewClient(options())
	Must(client.Ping(ctx).Err())
	Must(client.Set(ctx, prefix+"a", 1, time.Minute).Err())
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Incr(ctx, prefix+"a")
		pipe.HSet(ctx, prefix+"h", "f", 1)
		return nil
	})
	Must(err)
	Must(client.Watch(ctx, func(tx *redis.Tx) error {
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			return pipe.Incr(ctx, prefix+"a").Err()
		})
		return err
	}, prefix+"a"))
	script := redis.NewScript("return redis.call('GET', KEYS[1])")
	value, err := script.Run(ctx, client, []string{prefix + "a"}).Text()
	Must(err)
	Need(value == "3", "the script reads "+value)

	heard := client.Subscribe(ctx, prefix+"news")
	_, err = heard.Receive(ctx)
	Must(err)
	Must(client.Publish(ctx, prefix+"news", "hello").Err())
	message, err := heard.ReceiveMessage(ctx)
	Must(err)
	Need(message.Payload == "hello", "the message")
	Must(heard.Close())

	Must(client.XGroupCreateMkStream(ctx, prefix+"x", "g", "0").Err())
	Must(client.XAdd(ctx, &redis.XAddArgs{Stream: prefix + "x", Values: []string{"f", "1"}}).Err())
	read := &redis.XReadGroupArgs{Group: "g", Consumer: "c", Streams: []string{prefix + "x", ">"}}
	streams, err := client.XReadGroup(ctx, read).Result()
	Must(err)
	Must(client.XAck(ctx, prefix+"x", "g", streams[0].Messages[0].ID).Err())
	keys := 0
	for found := client.Scan(ctx, 0, prefix+"*", 10).Iterator(); found.Next(ctx); {
		keys++
	}
	Need(keys == 3, fmt.Sprint(keys, " keys"))
	Must(client.Del(ctx, prefix+"a", prefix+"h", prefix+"x").Err())
	Must(client.Close())
}
