package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// clusterLocker takes, refreshes and releases the lock of one file by WOPI, each
// request at whichever node is next, and knows which locks the file may have:
// one of the two around a request that was cut, else the one acknowledged.
type clusterLocker struct {
	url  string // of the file, with the token
	http *http.Client
	may  []string // lock ids; "" is none
	life string   // how long locks are to last, in seconds; "" is as long as usual
	n    int      // counts ids
	done int      // acknowledged changes
}

func (c *cluster) locker(name string) *clusterLocker {
	c.t.Helper()
	w := c.client("")
	path := "/locks " + name
	if status, text := w.do("PUT", "file/put", url.Values{"path": {path}, "overwrite": {"true"}}, "x"); status/100 != 2 {
		c.t.Fatal(status, text)
	}
	var a struct {
		Src   string `json:"wopisrc"`
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(c.command("wopi", "url", path, "--user", "admin", "--public-url", c.url)), &a); err != nil {
		c.t.Fatal(err)
	}
	return &clusterLocker{url: a.Src + "?access_token=" + url.QueryEscape(a.Token), http: &http.Client{Timeout: time.Minute}, may: []string{""}}
}

// call makes a request. cut says that its connection broke or that the store was
// not to be had, so that it may have been done or not.
func (l *clusterLocker) call(op, id string) (status int, lock string, cut bool) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, l.url, nil)
	if err != nil {
		return 0, "", true
	}
	r.Header.Set("X-WOPI-Override", op)
	r.Header.Set("X-WOPI-Lock", id)
	if l.life != "" {
		r.Header.Set("X-WOPI-LockExpirationTimeout", l.life)
	}
	resp, err := l.http.Do(r)
	if err != nil {
		return 0, "", true
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	cut = err != nil || resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusServiceUnavailable
	return resp.StatusCode, resp.Header.Get("X-WOPI-Lock"), cut
}

// step looks which lock there is and changes it.
func (l *clusterLocker) step() error {
	status, held, cut := l.call("GET_LOCK", "")
	switch {
	case cut:
		return nil
	case status != http.StatusOK:
		return fmt.Errorf("GetLock: %d", status)
	case !slices.Contains(l.may, held):
		return fmt.Errorf("the lock is %q, and it must be one of %q", held, l.may)
	}
	l.n++
	op, id, then := "LOCK", fmt.Sprint("lock ", l.n), ""
	switch {
	case held == "":
		then = id
	case l.n%3 == 0:
		op, id = "UNLOCK", held
	default:
		op, id, then = "REFRESH_LOCK", held, held
	}
	l.may = []string{held, then}
	switch status, _, cut = l.call(op, id); {
	case cut:
		return nil
	case status != http.StatusOK:
		return fmt.Errorf("%s: %d", op, status)
	}
	l.may = []string{then}
	l.done++
	return nil
}

// lockers runs clients that lock until stop is called, which returns what was
// wrong and how many changes were acknowledged.
func (c *cluster) lockers(phase string, n int) (stop func() (done int, err error)) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	list, errs := make([]*clusterLocker, n), make([]error, n)
	for i := range list {
		l := c.locker(fmt.Sprint(phase, " ", i))
		list[i] = l
		wait.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = l.step()
			}
		})
	}
	return func() (done int, err error) {
		cancel()
		wait.Wait()
		for _, l := range list {
			done += l.done
		}
		return done, errors.Join(errs...)
	}
}

// leases takes locks that nobody refreshes, and watches each until it is over,
// which must be when its lease is, wherever the node went that gave it. wait
// returns when all are over.
func (c *cluster) leases(n int) (wait func() error) {
	c.t.Helper()
	var group sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		l := c.locker(fmt.Sprint("lease ", i))
		group.Go(func() { errs[i] = l.lapse(time.Duration(i) * time.Second) })
	}
	return func() error {
		group.Wait()
		return errors.Join(errs...)
	}
}

// lapse takes a lock for a minute, after a pause, and watches it.
func (l *clusterLocker) lapse(pause time.Duration) error {
	const life, slack = 60 * time.Second, 50 * time.Millisecond
	time.Sleep(pause)
	take := func(id string) (sent time.Time, err error) {
		for {
			sent = time.Now()
			switch status, _, cut := l.call("LOCK", id); {
			case cut: // it may have been taken; the next makes it last from then on
			case status != http.StatusOK:
				return sent, fmt.Errorf("LOCK: %d", status)
			default:
				return sent, nil
			}
		}
	}
	l.life = "60"
	sent, err := take("left alone")
	taken := time.Now()
	if err != nil {
		return err
	}
	l.life = ""
	for {
		asked := time.Now()
		status, held, cut := l.call("GET_LOCK", "")
		switch {
		case cut:
		case status != http.StatusOK:
			return fmt.Errorf("GetLock: %d", status)
		case held == "left alone" && asked.After(taken.Add(life+slack)):
			return fmt.Errorf("the lock is there %v after it was taken", time.Since(taken))
		case held == "" && time.Now().Before(sent.Add(life-slack)):
			return fmt.Errorf("the lock was lost %v after it was taken", time.Since(sent))
		case held == "":
			_, err := take("somebody else's")
			return err
		case held != "left alone":
			return fmt.Errorf("there is another lock: %q", held)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
