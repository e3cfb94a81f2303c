package libreoffice

import (
	"bytes"
	"strings"
	"testing"

	"github.com/quire-docs/quire/transform"
)

func TestSmoke(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	t.Log(e.program, e.offline)
	if err := e.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	text := "hello world 日本語 😀"
	set := transform.Set{transform.Native{}, e}
	if err := set.Convert(t.Context(), transform.Source{ReaderAt: strings.NewReader(text), Name: "a.txt", Size: int64(len(text))}, transform.Target{Type: transform.DOCX}, &out); err != nil {
		t.Fatal(err)
	}
	for _, target := range []transform.Target{{Type: transform.PDF}, {Type: transform.Text}, {Type: transform.HTML}, {Type: transform.PNG, Width: 320}, {Type: transform.ODT}, {Type: transform.PNG, Page: 2}} {
		var again bytes.Buffer
		err := set.Convert(t.Context(), transform.Source{ReaderAt: bytes.NewReader(out.Bytes()), Name: "a.docx", Size: int64(out.Len())}, target, &again)
		t.Log(target, again.Len(), err, string(again.Bytes()[:min(60, again.Len())]))
	}
}
