package blobtest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
	"github.com/quire-docs/quire/blob/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newDir(t *testing.T) blob.Driver {
	t.Helper()
	d, err := dir.Open(t.TempDir(), dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestFaulty: a call fails before or after it is done, as planned.
func TestFaulty(t *testing.T) {
	for _, fault := range []blobtest.Fault{blobtest.FailBefore, blobtest.FailAfter, blobtest.NoSpace, blobtest.Transient} {
		d := newDir(t)
		f := blobtest.NewFaulty(d, func(string, int) blobtest.Fault { return fault })
		ctx, key := t.Context(), blob.NewKey()
		n, err := f.Put(ctx, key, strings.NewReader("content"))
		_, serr := d.Stat(ctx, key)
		done := serr == nil
		if n != 0 || !errors.Is(err, blobtest.ErrInjected) || done != (fault == blobtest.FailAfter) {
			t.Errorf("fault %d: Put: %d, %v, done %v", fault, n, err, done)
		}
		if errors.Is(err, blob.ErrUncertain) != done || errors.Is(err, blob.ErrNoSpace) != (fault == blobtest.NoSpace) || errors.Is(err, blob.ErrTransient) != (fault == blobtest.Transient) {
			t.Errorf("fault %d: Put: %v", fault, err)
		}
		if !done {
			if _, err := d.Put(ctx, key, strings.NewReader("content")); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := f.Open(ctx, key, 0, 1); r != nil || !errors.Is(err, blobtest.ErrInjected) {
			t.Errorf("fault %d: Open: %v", fault, err)
		}
		if file, err := f.(blob.LocalFiles).File(ctx, key); file != nil || !errors.Is(err, blobtest.ErrInjected) {
			t.Errorf("fault %d: File: %v", fault, err)
		}
		if info, err := f.Stat(ctx, key); info != (blob.Info{}) || !errors.Is(err, blobtest.ErrInjected) {
			t.Errorf("fault %d: Stat: %v", fault, err)
		}
		if infos, err := f.List(ctx, "", 1); infos != nil || !errors.Is(err, blobtest.ErrInjected) {
			t.Errorf("fault %d: List: %v", fault, err)
		}
		if err := f.Delete(ctx, key); !errors.Is(err, blobtest.ErrInjected) {
			t.Errorf("fault %d: Delete: %v", fault, err)
		}
		if _, err := d.Stat(ctx, key); errors.Is(err, blob.ErrNotFound) != (fault == blobtest.FailAfter) {
			t.Errorf("fault %d: after Delete: %v", fault, err)
		}
	}
}

func TestPlans(t *testing.T) {
	nth := blobtest.Nth(3, blobtest.FailAfter)
	for n := 1; n < 6; n++ {
		if got := nth(blobtest.OpPut, n); (got == blobtest.FailAfter) != (n == 3) {
			t.Errorf("Nth at call %d: %v", n, got)
		}
	}
	draw := func(seed uint64) string {
		plan, count := blobtest.Randomly(seed, 0.3), map[blobtest.Fault]int{}
		for n := range 1000 {
			count[plan(blobtest.OpStat, n)]++
		}
		if before, after := count[blobtest.FailBefore], count[blobtest.FailAfter]; before < 100 || after < 100 || before+after > 400 {
			t.Errorf("seed %d: %v", seed, count)
		}
		return fmt.Sprint(count)
	}
	first := draw(1)
	if again := draw(1); again != first {
		t.Errorf("the same seed drew %s, then %s", first, again)
	}
	if other := draw(2); other == first {
		t.Errorf("another seed drew %s too", other)
	}
}

// TestSparse: a part is what it is in the whole.
func TestSparse(t *testing.T) {
	const size = 3<<20 + 100
	whole, err := io.ReadAll(blobtest.Sparse(size))
	if err != nil || len(whole) != size {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	for _, offset := range []int{0, 1, 7, 8, 100, 1<<20 - 4, 1 << 20, 1<<20 + 3, 1<<20 + 8, 3 << 20} {
		for _, n := range []int{0, 1, 5, 100} {
			got := bytes.Repeat([]byte{1}, n)
			blobtest.SparseAt(got, int64(offset))
			if !bytes.Equal(got, whole[offset:offset+n]) {
				t.Errorf("%d bytes from %d", n, offset)
			}
		}
	}
	if bytes.Equal(whole[1<<20:1<<20+8], whole[2<<20:2<<20+8]) {
		t.Error("the marks are all the same")
	}
}
