// asynq: tasks, retries, scheduled and periodic ones, groups, unique tasks, the inspector,
// cancellation by pub/sub.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	. "mngdb.test/clients/frame"
)

func until(what string, holds func() bool) {
	for tries := 0; tries < 400; tries++ {
		if holds() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	Must(errors.New("not within 20 seconds: " + what))
}

func options() asynq.RedisClientOpt {
	return asynq.RedisClientOpt{
		Addr:      Address(),
		Username:  os.Getenv("REDIS_USER"),
		Password:  os.Getenv("REDIS_PASSWORD"),
		TLSConfig: TLS(),
	}
}

func main() {
	me := os.Getenv("REDIS_USER")
	var lock sync.Mutex
	done := map[string]int{}
	count := func(kind string) int {
		lock.Lock()
		defer lock.Unlock()
		return done[kind]
	}
	handle := func(ctx context.Context, task *asynq.Task) error {
		lock.Lock()
		done[task.Type()]++
		first := done[task.Type()] == 1
		lock.Unlock()
		switch task.Type() {
		case "flaky":
			if first {
				return errors.New("once")
			}
		case "long":
			<-ctx.Done()
			return ctx.Err()
		case "plain":
			Need(string(task.Payload()) == me, "the payload is this app's")
			_, err := task.ResultWriter().Write([]byte("ok"))
			return err
		}
		return nil
	}
	server := asynq.NewServer(options(), asynq.Config{
		Concurrency:              4,
		Queues:                   map[string]int{"default": 2, "low": 1},
		LogLevel:                 asynq.ErrorLevel,
		RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return 0 },
		DelayedTaskCheckInterval: 100 * time.Millisecond,
		TaskCheckInterval:        50 * time.Millisecond,
		GroupGracePeriod:         time.Second,
		GroupMaxDelay:            time.Second,
		GroupAggregator: asynq.GroupAggregatorFunc(func(group string, tasks []*asynq.Task) *asynq.Task {
			return asynq.NewTask("group", []byte(fmt.Sprint(len(tasks))))
		}),
	})
	Must(server.Ping())
	Must(server.Start(asynq.HandlerFunc(handle)))
	client := asynq.NewClient(options())
	add := func(kind string, more ...asynq.Option) *asynq.TaskInfo {
		info, err := client.Enqueue(asynq.NewTask(kind, []byte(me)), more...)
		Must(err)
		return info
	}
	plain := add("plain", asynq.Retention(time.Minute))
	add("flaky", asynq.MaxRetry(2))
	add("late", asynq.ProcessIn(200*time.Millisecond), asynq.Queue("low"))
	add("part", asynq.Group("all"))
	add("part", asynq.Group("all"))
	add("once", asynq.Unique(time.Minute), asynq.ProcessIn(time.Hour))
	_, err := client.Enqueue(asynq.NewTask("once", []byte(me)), asynq.Unique(time.Minute))
	Need(errors.Is(err, asynq.ErrDuplicateTask), "a unique task is refused a second time")
	long := add("long", asynq.MaxRetry(0))
	until("the plain, flaky, late and long tasks", func() bool {
		return count("plain") == 1 && count("flaky") == 2 && count("late") == 1 && count("long") == 1
	})
	until("the group", func() bool { return count("group") == 1 })

	scheduler := asynq.NewScheduler(options(), &asynq.SchedulerOpts{LogLevel: asynq.ErrorLevel})
	_, err = scheduler.Register("@every 1s", asynq.NewTask("tick", nil))
	Must(err)
	Must(scheduler.Start())
	until("a tick", func() bool { return count("tick") >= 1 })

	inspector := asynq.NewInspector(options())
	queues, err := inspector.Queues()
	Must(err)
	Need(len(queues) == 2, fmt.Sprint("this app's queues alone: ", queues))
	info, err := inspector.GetTaskInfo("default", plain.ID)
	Must(err)
	Need(string(info.Result) == "ok", "the result is kept")
	servers, err := inspector.Servers()
	Must(err)
	Need(len(servers) == 1, "this app's server alone")
	until("this app's schedule alone", func() bool {
		entries, err := inspector.SchedulerEntries()
		return err == nil && len(entries) == 1
	})
	Must(inspector.CancelProcessing(long.ID))
	until("the cancelled task", func() bool {
		archived, err := inspector.ListArchivedTasks("default")
		return err == nil && len(archived) == 1
	})
	Must(inspector.PauseQueue("low"))
	Must(inspector.UnpauseQueue("low"))
	_, err = inspector.DeleteAllScheduledTasks("default")
	Must(err)
	_, err = inspector.History("default", 1)
	Must(err)
	scheduler.Shutdown()
	server.Shutdown()
	Must(inspector.DeleteQueue("low", true))
	Must(client.Close())
	Must(inspector.Close())
}
