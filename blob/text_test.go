package blob_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/zeebo/blake3"

	"github.com/quire-docs/quire/blob"
)

func TestNewKey(t *testing.T) {
	seen := map[blob.Key]bool{}
	for range 1000 {
		k := blob.NewKey()
		if !k.Valid() || seen[k] {
			t.Fatalf("NewKey: %q", k)
		}
		seen[k] = true
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", "..", string(blob.NewKey()), strings.Repeat("a", 26), strings.Repeat("b", 26), strings.Repeat("A", 26)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := blob.ParseKey(s)
		if err != nil {
			if !errors.Is(err, blob.ErrBadKey) || k != "" {
				t.Errorf("ParseKey(%q): %q, %v", s, k, err)
			}
			return
		}
		if string(k) != s || !k.Valid() || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") != "" || len(s) != 26 {
			t.Errorf("ParseKey(%q): %q", s, k)
		}
	})
}

func TestSumText(t *testing.T) {
	// The published test vector for no input.
	const empty = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
	if got := blob.Sum(blake3.Sum256(nil)).String(); got != empty {
		t.Errorf("the sum of nothing is %s, want %s", got, empty)
	}
	var v struct{ Sum blob.Sum }
	if err := json.Unmarshal([]byte(`{"Sum":"`+empty+`"}`), &v); err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(v); err != nil || string(b) != `{"Sum":"`+empty+`"}` {
		t.Errorf("JSON: %s, %v", b, err)
	}
	if err := json.Unmarshal([]byte(`{"Sum":"blake3:af"}`), &v); !errors.Is(err, blob.ErrBadSum) || v.Sum.String() != empty {
		t.Errorf("bad JSON: %v, %v", v, err)
	}
}

func FuzzParseSum(f *testing.F) {
	good := blob.Sum{1, 2, 3}.String()
	for _, s := range []string{"", good, strings.ToUpper(good), good[1:], good + "0", good[:70] + "g", strings.TrimPrefix(good, "blake3:")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sum, err := blob.ParseSum(s)
		if err == nil && sum.String() != s {
			t.Errorf("ParseSum(%q) is %v", s, sum)
		}
		if err != nil && (!errors.Is(err, blob.ErrBadSum) || sum != blob.Sum{}) {
			t.Errorf("ParseSum(%q): %v, %v", s, sum, err)
		}
	})
}
