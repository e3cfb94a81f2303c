package library

import (
	"context"
	"sync"
	"time"
)

// queue wakes those of this process who do what is due in a queue of the catalog.
// The zero value is ready for use.
type queue struct {
	once sync.Once
	wake chan struct{}
}

func (q *queue) channel() chan struct{} {
	q.once.Do(func() { q.wake = make(chan struct{}, 1) })
	return q.wake
}

// ring tells that something may be due.
func (q *queue) ring() {
	select {
	case q.channel() <- struct{}{}:
	default:
	}
}

// queueLook is how often somebody looks who was not told: another node may have
// made work, or what failed has come to be due.
const queueLook = 5 * time.Second

// drain takes from a queue what is due and does it, so many at a time, until ctx
// ends; it returns when all that was begun has ended. One is taken only when it can
// be done at once: from then on it is nobody else's. Of an error of take, failed
// is told.
func drain[T any](ctx context.Context, q *queue, atOnce int, take func(context.Context) (v T, ok bool, err error), do func(T), failed func(error)) {
	slots := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(queueLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		v, ok, err := take(ctx)
		if err != nil && ctx.Err() == nil {
			failed(err)
		}
		if ok && err == nil {
			running.Go(func() {
				defer func() { <-slots }()
				do(v)
			})
			continue
		}
		<-slots
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-q.channel():
		}
	}
}
