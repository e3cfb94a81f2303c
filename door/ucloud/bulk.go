package ucloud

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
)

const (
	// maxJSON bounds the body of a request, in bytes.
	maxJSON = 4 << 20
	// maxItems bounds how many items a bulk request may have.
	maxItems = 1000
	// bulkWorkers is how many items of a request are worked on at a time, so
	// that their changes share durable commits.
	bulkWorkers = 8
)

// read reads a body of JSON. Fields that are not known are ignored.
func (c *call) read(v any) error {
	err := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, maxJSON)).Decode(v)
	var tooLong *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLong):
		return err
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	}
	return bad("the body is not the JSON that this call takes: see the API reference")
}

// bulk answers {"items":[..]} with {"responses":[..]} in the same order. With
// parallel, items must not depend on each other.
func bulk[T, R any](c *call, parallel bool, do func(T) (R, error)) error {
	var body struct {
		Items []T `json:"items"`
	}
	if err := c.read(&body); err != nil {
		return err
	}
	if len(body.Items) == 0 {
		return bad("there are no items")
	}
	if len(body.Items) > maxItems {
		return &statusError{http.StatusRequestEntityTooLarge, "too many items: send at most 1000 at a time"}
	}
	out := make([]R, len(body.Items))
	if !parallel {
		for i, item := range body.Items {
			var err error
			if out[i], err = do(item); err != nil {
				return err
			}
		}
	} else if err := each(len(body.Items), func(i int) (err error) {
		out[i], err = do(body.Items[i])
		return err
	}); err != nil {
		return err
	}
	return c.answer(http.StatusOK, struct {
		Responses []R `json:"responses"`
	}{out})
}

// each calls f for 0 to n-1, some at a time, and returns the error of the
// first that failed. After a failure no more are begun.
func each(n int, f func(int) error) error {
	var (
		mu    sync.Mutex // guards the three
		next  int
		first = n
		err   error
		wg    sync.WaitGroup
	)
	for range min(n, bulkWorkers) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := err != nil || i >= n
				mu.Unlock()
				if stop {
					return
				}
				if e := f(i); e != nil {
					mu.Lock()
					if i < first {
						first, err = i, e
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return err
}
