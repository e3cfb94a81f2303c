package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"

	"github.com/quire-docs/quire/blob"
)

// Fault says what is to go wrong with a call.
type Fault int

// The faults.
const (
	// OK: nothing; the call is made.
	OK Fault = iota
	// FailBefore: the call fails with ErrInjected and nothing is done.
	FailBefore
	// FailAfter: the call is made, and then fails with ErrInjected all the
	// same, as when an answer gets lost. A Put so treated also wraps
	// blob.ErrUncertain, as the contract of drivers has it.
	FailAfter
	// NoSpace: as FailBefore, and wraps blob.ErrNoSpace.
	NoSpace
	// Transient: as FailBefore, and wraps blob.ErrTransient.
	Transient
)

// ErrInjected is what every injected failure wraps.
var ErrInjected = errors.New("blobtest: injected failure")

// The names of the calls, as a plan is asked about them.
const (
	OpPut    = "put"
	OpOpen   = "open"
	OpFile   = "file"
	OpStat   = "stat"
	OpDelete = "delete"
	OpList   = "list"
)

// NewFaulty wraps a driver so that calls fail by plan. The plan is asked once
// for each call, never concurrently, with the call's name and number; numbers
// count all calls from 1. Close never fails and is not counted. The result is a
// blob.LocalFiles if d is one.
func NewFaulty(d blob.Driver, plan func(op string, n int) Fault) blob.Driver {
	f := &faulty{d: d, plan: plan}
	if local, ok := d.(blob.LocalFiles); ok {
		return &faultyFiles{faulty: f, local: local}
	}
	return f
}

// Nth plans one fault, at call n, counted from 1.
func Nth(n int, fault Fault) func(string, int) Fault {
	return func(_ string, i int) Fault {
		if i == n {
			return fault
		}
		return OK
	}
}

// Randomly plans FailBefore or FailAfter, evenly, for each call with the given
// probability (0 to 1), always the same for the same seed.
func Randomly(seed uint64, probability float64) func(string, int) Fault {
	rng := rand.New(rand.NewPCG(seed, seed))
	return func(string, int) Fault {
		if rng.Float64() >= probability {
			return OK
		}
		if rng.IntN(2) == 0 {
			return FailBefore
		}
		return FailAfter
	}
}

type faulty struct {
	d blob.Driver

	mu   sync.Mutex // guards n, and the plan against concurrent calls
	n    int
	plan func(string, int) Fault
}

// call makes a call, or not, as planned.
func (f *faulty) call(op string, do func() error) error {
	f.mu.Lock()
	f.n++
	n, fault := f.n, f.plan(op, f.n)
	f.mu.Unlock()
	injected := fmt.Errorf("%s, call %d: %w", op, n, ErrInjected)
	switch fault {
	case OK:
		return do()
	case FailBefore:
		return injected
	case FailAfter:
		if err := do(); err != nil {
			return err
		}
		if op == OpPut {
			return fmt.Errorf("%w: %w", blob.ErrUncertain, injected)
		}
		return injected
	case NoSpace:
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, injected)
	case Transient:
		return fmt.Errorf("%w: %w", blob.ErrTransient, injected)
	}
	panic(fmt.Sprintf("blobtest: unknown fault %d", fault))
}

func (f *faulty) Put(ctx context.Context, key blob.Key, r io.Reader) (size int64, err error) {
	err = f.call(OpPut, func() (err error) {
		size, err = f.d.Put(ctx, key, r)
		return err
	})
	if err != nil {
		size = 0
	}
	return size, err
}

func (f *faulty) Open(ctx context.Context, key blob.Key, offset, length int64) (r io.ReadCloser, err error) {
	err = f.call(OpOpen, func() (err error) {
		r, err = f.d.Open(ctx, key, offset, length)
		return err
	})
	if err != nil && r != nil {
		_ = r.Close() // opened, then failed
		r = nil
	}
	return r, err
}

func (f *faulty) Stat(ctx context.Context, key blob.Key) (info blob.Info, err error) {
	err = f.call(OpStat, func() (err error) {
		info, err = f.d.Stat(ctx, key)
		return err
	})
	if err != nil {
		info = blob.Info{}
	}
	return info, err
}

func (f *faulty) Delete(ctx context.Context, key blob.Key) error {
	return f.call(OpDelete, func() error { return f.d.Delete(ctx, key) })
}

func (f *faulty) List(ctx context.Context, after blob.Key, limit int) (infos []blob.Info, err error) {
	err = f.call(OpList, func() (err error) {
		infos, err = f.d.List(ctx, after, limit)
		return err
	})
	if err != nil {
		infos = nil
	}
	return infos, err
}

func (f *faulty) Close() error { return f.d.Close() }

// faultyFiles is a faulty driver that has local files.
type faultyFiles struct {
	*faulty
	local blob.LocalFiles
}

func (f *faultyFiles) File(ctx context.Context, key blob.Key) (file *os.File, err error) {
	err = f.call(OpFile, func() (err error) {
		file, err = f.local.File(ctx, key)
		return err
	})
	if err != nil && file != nil {
		_ = file.Close()
		file = nil
	}
	return file, err
}
