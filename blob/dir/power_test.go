package dir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
)

// Any time will do, as the fake file system has no clock.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const testRoot = "/srv/quire/blobs"

// openPower opens a store on a fake file system.
func openPower(t *testing.T, p *powerFS) *Driver {
	t.Helper()
	d, err := open(p, testRoot, Options{}, p.now)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	d.piece, d.writeBack = 3, 8
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if p.held != 0 {
			t.Errorf("%d files were left open", p.held)
		}
	})
	return d
}

// check reads an object and says whether it is there. It must be whole.
func check(d *Driver, key blob.Key, content []byte) (found bool, err error) {
	r, err := d.Open(context.Background(), key, 0, blob.ToEnd)
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		return false, err
	}
	if !bytes.Equal(got, content) {
		return true, fmt.Errorf("%d bytes, not those %d that were put", len(got), len(content))
	}
	return true, nil
}

// calls returns the changing calls that a Put of content makes.
func calls(t *testing.T, content []byte) []string {
	p := newPowerFS(epoch)
	d := openPower(t, p)
	start := len(p.calls)
	if _, err := d.Put(t.Context(), blob.NewKey(), bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return p.calls[start:]
}

// contents are what the tests put: nothing, a little, and enough to be written
// back early twice.
func contents() [][]byte {
	return [][]byte{nil, []byte("a little"), blobtest.Bytes(1, 25)}
}

// TestPowerFailure takes the power away at each call of a Put, and after it.
func TestPowerFailure(t *testing.T) {
	for _, content := range contents() {
		n := len(calls(t, content))
		for at := range n + 1 {
			for _, seed := range []uint64{0, 1, 2, 3, 4, 5, 6, 7} {
				name := fmt.Sprintf("%d bytes, call %d, seed %d", len(content), at, seed)
				p := newPowerFS(epoch)
				d := openPower(t, p)
				older, key := blob.NewKey(), blob.NewKey()
				if seed%2 == 0 {
					older = key[:20] + older[20:] // in the same folder
				}
				if _, err := d.Put(t.Context(), older, strings.NewReader("older")); err != nil {
					t.Fatal(err)
				}
				start := len(p.calls)
				p.plan = func(i int, op string) (fault, error) {
					if i == start+at {
						return power, nil
					}
					return none, nil
				}
				_, err := d.Put(t.Context(), key, bytes.NewReader(content))
				if p.off == (err == nil) {
					t.Fatalf("%s: Put: %v", name, err)
				}
				var rng *rand.Rand
				if seed != 0 {
					rng = rand.New(rand.NewPCG(seed, uint64(at)))
				}
				again := openPower(t, p.crash(rng))
				if found, cerr := check(again, key, content); cerr != nil || err == nil && !found {
					t.Errorf("%s: after the crash: found %v, %v", name, found, cerr)
				} else if err != nil && found && !errors.Is(err, blob.ErrUncertain) {
					t.Errorf("%s: there, although Put had failed: %v", name, err)
				}
				if found, cerr := check(again, older, []byte("older")); !found || cerr != nil {
					t.Errorf("%s: the older object: found %v, %v", name, found, cerr)
				}
				// The store works, and the key can be put or is there.
				if _, err := again.Put(t.Context(), key, bytes.NewReader(content)); err != nil && !errors.Is(err, blob.ErrExists) {
					t.Errorf("%s: Put after the crash: %v", name, err)
				}
				if found, cerr := check(again, key, content); cerr != nil || !found {
					t.Errorf("%s: in the end: found %v, %v", name, found, cerr)
				}
			}
		}
	}
}

// TestPowerFailureIsNoticed: the test above is worth something only if it finds
// a file system that does not flush.
func TestPowerFailureIsNoticed(t *testing.T) {
	for _, lie := range []string{"sync", "syncDir"} {
		p := newPowerFS(epoch)
		d := openPower(t, p)
		p.lies = lie
		key, content := blob.NewKey(), []byte("content")
		if _, err := d.Put(t.Context(), key, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		found, err := check(openPower(t, p.crash(nil)), key, content)
		if found && err == nil {
			t.Errorf("nothing was lost without %s", lie)
		}
	}
}

// TestPowerFailureWithNeighbour: what is put lasts, although the folders on the
// way were made by another process that did not get as far as flushing them.
func TestPowerFailureWithNeighbour(t *testing.T) {
	for _, phase := range []string{"open", "put"} {
		p := newPowerFS(epoch)
		for _, name := range []string{"/srv", "/srv/quire", testRoot} {
			if err := p.mkdir(name); err != nil {
				t.Fatal(err)
			}
			if err := p.syncDir(filepath.Dir(name)); err != nil {
				t.Fatal(err)
			}
		}
		var d *Driver
		if phase == "put" { // ours is open when the other makes the folder
			d = openPower(t, p)
		}
		key := blob.NewKey()
		p.lies = "syncDir"
		if _, err := openPower(t, p).Put(t.Context(), key[:20]+blob.NewKey()[20:], strings.NewReader("theirs")); err != nil {
			t.Fatal(err)
		}
		p.lies = ""
		if d == nil {
			d = openPower(t, p)
		}
		if _, err := d.Put(t.Context(), key, strings.NewReader("ours")); err != nil {
			t.Fatal(err)
		}
		if found, err := check(openPower(t, p.crash(nil)), key, []byte("ours")); !found || err != nil {
			t.Errorf("%s: after a crash: found %v, %v", phase, found, err)
		}
	}
}

// TestPowerFailureWhileOpening: a half-made store is finished by the next Open,
// and what is put after that lasts.
func TestPowerFailureWhileOpening(t *testing.T) {
	whole := newPowerFS(epoch)
	openPower(t, whole)
	n := len(whole.calls)
	for at := range n {
		for _, seed := range []uint64{0, 1, 2, 3, 4, 5, 6, 7} {
			p := newPowerFS(epoch)
			p.plan = func(i int, op string) (fault, error) {
				if i == at {
					return power, nil
				}
				return none, nil
			}
			if _, err := open(p, testRoot, Options{}, epoch); !errors.Is(err, errPower) {
				t.Fatalf("call %d: open: %v", at, err)
			}
			var rng *rand.Rand
			if seed != 0 {
				rng = rand.New(rand.NewPCG(seed, uint64(at)))
			}
			p = p.crash(rng)
			d := openPower(t, p)
			key := blob.NewKey()
			if _, err := d.Put(t.Context(), key, strings.NewReader("content")); err != nil {
				t.Fatalf("call %d: Put: %v", at, err)
			}
			if found, err := check(openPower(t, p.crash(rng)), key, []byte("content")); !found || err != nil {
				t.Errorf("call %d: after another crash: found %v, %v", at, found, err)
			}
		}
	}
}

// TestDeletePowerFailure: what has been deleted stays so.
func TestDeletePowerFailure(t *testing.T) {
	p := newPowerFS(epoch)
	d := openPower(t, p)
	key := blob.NewKey()
	if _, err := d.Put(t.Context(), key, strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if found, err := check(openPower(t, p.crash(nil)), key, nil); found || err != nil {
		t.Errorf("after a crash: found %v, %v", found, err)
	}
}

// TestFaults lets each call of a Put fail, done or not done.
func TestFaults(t *testing.T) {
	for _, content := range contents() {
		ops := calls(t, content)
		for at, op := range ops {
			for _, f := range []fault{before, after} {
				for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
					name := fmt.Sprintf("%d bytes, %s (call %d), fault %d, %v", len(content), op, at, f, cause)
					p := newPowerFS(epoch)
					d := openPower(t, p)
					start := len(p.calls)
					p.plan = func(i int, op string) (fault, error) {
						if i == start+at {
							return f, cause
						}
						return none, nil
					}
					key := blob.NewKey()
					size, err := d.Put(t.Context(), key, bytes.NewReader(content))
					if err == nil || size != 0 {
						t.Errorf("%s: Put: %d, %v", name, size, err)
						continue
					}
					if !errors.Is(err, cause) {
						t.Errorf("%s: Put does not tell the cause: %v", name, err)
					}
					if full := cause != syscall.EIO; errors.Is(err, blob.ErrNoSpace) != full {
						t.Errorf("%s: Put: %v", name, err)
					}
					found, cerr := check(d, key, content)
					if cerr != nil || found && !errors.Is(err, blob.ErrUncertain) {
						t.Errorf("%s: after %v: found %v, %v", name, err, found, cerr)
					}
					if left, err := p.readDir(d.tmp()); err != nil || len(left) != 0 {
						t.Errorf("%s: left in tmp: %v, %v", name, left, err)
					}
					// Once there is space again, all is well.
					if !found {
						if _, err := d.Put(t.Context(), key, bytes.NewReader(content)); err != nil {
							t.Errorf("%s: Put again: %v", name, err)
						}
					}
					if found, err := check(openPower(t, p.crash(nil)), key, content); err != nil || !found && cerr != nil {
						t.Errorf("%s: in the end: found %v, %v", name, found, err)
					}
				}
			}
		}
	}
}

// TestFaultsWhileOpening: Open reports what it can't do.
func TestFaultsWhileOpening(t *testing.T) {
	whole := newPowerFS(epoch)
	openPower(t, whole)
	for at, op := range whole.calls {
		p := newPowerFS(epoch)
		p.plan = func(i int, op string) (fault, error) {
			if i == at {
				return before, syscall.ENOSPC
			}
			return none, nil
		}
		if _, err := open(p, testRoot, Options{}, epoch); !errors.Is(err, blob.ErrNoSpace) {
			t.Errorf("%s (call %d): %v", op, at, err)
		}
		if p.held != 0 {
			t.Errorf("%s (call %d): %d files were left open", op, at, p.held)
		}
	}
}

// TestPutOrder spells out the order that durability rests on.
func TestPutOrder(t *testing.T) {
	var ops []string
	for _, call := range calls(t, blobtest.Bytes(1, 10)) {
		op, _, _ := strings.Cut(call, " ")
		if len(ops) == 0 || ops[len(ops)-1] != op {
			ops = append(ops, op)
		}
	}
	if got, want := strings.Join(ops, " "), "create write writeBack write sync close mkdir syncDir publish syncDir"; got != want {
		t.Errorf("the calls of a Put are\n%s, want\n%s", got, want)
	}
}

// TestSourceErrorIsNotTheStorages: a source that says the disk is full, or that
// a file is missing, does not speak for this storage.
func TestSourceErrorIsNotTheStorages(t *testing.T) {
	d := openPower(t, newPowerFS(epoch))
	for _, cause := range []error{syscall.ENOSPC, syscall.ENOENT} {
		for _, r := range []io.Reader{failing{cause}, writerTo{failing{cause}}} {
			_, err := d.Put(t.Context(), blob.NewKey(), r)
			if !errors.Is(err, cause) || errors.Is(err, blob.ErrNoSpace) || errors.Is(err, blob.ErrNotFound) {
				t.Errorf("Put: %v", err)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type writerTo struct{ failing }

func (w writerTo) WriteTo(io.Writer) (int64, error) { return 0, w.err }
