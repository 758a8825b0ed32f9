// rueidis: strings, pipelines, transactions, scripts, pub/sub, streams, scans; with the argument
// `cache` also its client-side caching.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/redis/rueidis"
	. "mngdb.test/clients/frame"
)

func connect(caching bool) rueidis.Client {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress:       []string{Address()},
		Username:          os.Getenv("REDIS_USER"),
		Password:          os.Getenv("REDIS_PASSWORD"),
		TLSConfig:         TLS(),
		ForceSingleClient: true,
		DisableCache:      !caching,
	})
	Must(err)
	return client
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	prefix := os.Getenv("REDIS_KEY_PREFIX")
	caching := len(os.Args) > 1 && os.Args[1] == "cache"
	client := connect(caching)
	a, h, x := prefix+"a", prefix+"h", prefix+"x"
	Must(client.Do(ctx, client.B().Set().Key(a).Value("1").Ex(time.Minute).Build()).Error())
	for _, answer := range client.DoMulti(ctx,
		client.B().Incr().Key(a).Build(),
		client.B().Hset().Key(h).FieldValue().FieldValue("f", "1").Build(),
	) {
		Must(answer.Error())
	}
	Must(client.Dedicated(func(one rueidis.DedicatedClient) error {
		for _, answer := range one.DoMulti(ctx,
			one.B().Watch().Key(a).Build(),
			one.B().Multi().Build(),
			one.B().Incr().Key(a).Build(),
			one.B().Exec().Build(),
		) {
			if answer.Error() != nil {
				return answer.Error()
			}
		}
		return nil
	}))
	script := rueidis.NewLuaScript("return redis.call('GET', KEYS[1])")
	value, err := script.Exec(ctx, client, []string{a}, nil).ToString()
	Must(err)
	Need(value == "3", "the script reads "+value)

	hear(ctx, client, prefix+"news")

	Must(client.Do(ctx, client.B().XgroupCreate().Key(x).Group("g").Id("0").Mkstream().Build()).Error())
	Must(client.Do(ctx, client.B().Xadd().Key(x).Id("*").FieldValue().FieldValue("f", "1").Build()).Error())
	read := client.B().Xreadgroup().Group("g", "c").Streams().Key(x).Id(">").Build()
	streams, err := client.Do(ctx, read).AsXRead()
	Must(err)
	Must(client.Do(ctx, client.B().Xack().Key(x).Group("g").Id(streams[x][0].ID).Build()).Error())
	scanner := rueidis.NewScanner(func(cursor uint64) (rueidis.ScanEntry, error) {
		return client.Do(ctx, client.B().Scan().Cursor(cursor).Match(prefix+"*").Build()).AsScanEntry()
	})
	keys := 0
	for range scanner.Iter() {
		keys++
	}
	Must(scanner.Err())
	Need(keys == 3, fmt.Sprint(keys, " keys"))
	if caching {
		cache(ctx, client, a)
	}
	Must(client.Do(ctx, client.B().Del().Key(a, h, x).Build()).Error())
	client.Close()
}

// hear has a subscriber hear what is published.
func hear(ctx context.Context, client rueidis.Client, channel string) {
	listener, stop := context.WithCancel(ctx)
	heard := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.Receive(listener, client.B().Subscribe().Channel(channel).Build(), func(message rueidis.PubSubMessage) {
			heard <- message.Message
			stop()
		})
	}()
	for {
		count, err := client.Do(ctx, client.B().Publish().Channel(channel).Message("hello").Build()).AsInt64()
		Must(err)
		if count > 0 {
			break
		}
	}
	Need(<-heard == "hello", "the message")
	<-done
}

// cache reads a key twice, the second time out of the client's memory, until another client changes it.
func cache(ctx context.Context, client rueidis.Client, key string) {
	get := func() (rueidis.RedisResult, string) {
		found := client.DoCache(ctx, client.B().Get().Key(key).Cache(), time.Minute)
		text, err := found.ToString()
		Must(err)
		return found, text
	}
	get()
	found, _ := get()
	Need(found.IsCacheHit(), "the second time out of the cache")
	other := connect(true)
	Must(other.Do(ctx, other.B().Set().Key(key).Value("changed").Build()).Error())
	other.Close()
	for {
		if _, text := get(); text == "changed" {
			return
		}
		Must(ctx.Err())
	}
}
