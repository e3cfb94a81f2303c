package transform_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/quire-docs/quire/transform"
)

// members makes an archive of n empty members.
func members(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range n {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%080d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestOpenArchive: neither many members nor a lie about them costs memory.
func TestOpenArchive(t *testing.T) {
	open := func(b []byte) error {
		z, err := transform.OpenArchive(bytes.NewReader(b), int64(len(b)))
		if err == nil && z == nil {
			t.Error("neither an archive nor an error")
		}
		return err
	}
	for _, n := range []int{0, 1, 70_000} { // the last needs zip64
		if err := open(members(t, n)); err != nil {
			t.Errorf("%d members: %v", n, err)
		}
	}
	many := members(t, 200_000)
	// A lie of 100 bytes: the reader goes on while there are entries.
	short := bytes.Clone(many)
	at := bytes.LastIndex(short, []byte("PK\x06\x06"))
	binary.LittleEndian.PutUint64(short[at+40:], 100)
	// A lie of many members in a file that has none.
	announced := bytes.Clone(members(t, 70_000))
	at = bytes.LastIndex(announced, []byte("PK\x06\x06"))
	binary.LittleEndian.PutUint64(announced[at+32:], 5_000_000)
	for what, b := range map[string][]byte{"many": many, "short": short, "announced": announced} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := open(b); !errors.Is(err, transform.ErrTooManyMembers) {
			if what != "short" || !errors.Is(err, transform.ErrNoArchive) { // it may be found out earlier
				t.Errorf("%s: %v", what, err)
			}
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 100<<20 {
			t.Errorf("%s: %d MB were allocated", what, n>>20)
		}
	}
	for _, b := range []string{"", "PK", "PK\x05\x06", "something else entirely, of some length"} {
		if err := open([]byte(b)); !errors.Is(err, transform.ErrNoArchive) {
			t.Errorf("%q: %v", b, err)
		}
	}
}

func FuzzOpenArchive(f *testing.F) {
	f.Add(members(f, 0))
	f.Add(members(f, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := transform.OpenArchive(bytes.NewReader(b), int64(len(b)))
		_, want := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err == nil && want != nil {
			t.Errorf("opened what archive/zip refuses: %v", want)
		}
	})
}
