package discovery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustParse(t testing.TB, text string) *Document {
	t.Helper()
	doc, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestParseSamples(t *testing.T) {
	for _, c := range []struct {
		file    string
		zone    string // of the chosen actions
		apps    []string
		actions int // chosen
		signs   bool
	}{
		{"microsoft.xml", "external-https", []string{"Word", "Excel", "PowerPoint", "OneNote", "WordPdf"}, 35, true},
		{"collabora.xml", "external-http", []string{
			"writer", "calc", "impress", "application/vnd.oasis.opendocument.text",
			"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "Capabilities",
		}, 14, true},
		{"onlyoffice.xml", "external-http", []string{"Word", "Excel", "PowerPoint"}, 38, false},
	} {
		t.Run(c.file, func(t *testing.T) {
			doc, err := Parse(bytes.NewReader(sample(t, c.file)))
			if err != nil {
				t.Fatal(err)
			}
			actions := doc.InZone("")
			if len(actions) != c.actions {
				t.Errorf("%d actions, want %d", len(actions), c.actions)
			}
			for _, a := range actions {
				if a.Zone != c.zone {
					t.Fatalf("an action of zone %q, want %q", a.Zone, c.zone)
				}
			}
			var apps []string
			for _, a := range doc.Apps {
				if a.Zone == c.zone {
					apps = append(apps, a.Name)
				}
			}
			if !slices.Equal(apps, c.apps) {
				t.Errorf("apps %q, want %q", apps, c.apps)
			}
			if (doc.Keys.Current != nil) != c.signs || (doc.Keys.Old != nil) != c.signs {
				t.Errorf("keys %v, want %v", doc.Keys, c.signs)
			}
		})
	}
}

func TestParseAction(t *testing.T) {
	doc := mustParse(t, `<?xml version="1.0"?>
	<!-- a comment --><x:wopi-discovery xmlns:x="urn:x" future="1"><net-zone name="external-https">
	<future><action-like/></future>
	<app name="Word" favIconUrl="https://e/i.ico" checkLicense="true"><action name="convert" ext=".DOC" progid="Word.8"
	requires=" update, locks ,," default="True" newext="docx" targetext=".docx" useParent="true" formid="3"
	urlsrc="https://e/c?&lt;ui=UI_LLCC&amp;&gt;" x:name="other"/></app>
	<app name="Bad" favIconUrl="javascript:alert(1)">
	<action name="view" ext="a" urlsrc="javascript:alert(1)"/>
	<action name="view" ext="b" urlsrc="/relative"/>
	<action name="view" ext="c" urlsrc="https://e;script-src/"/>
	<action name="view" ext="d" urlsrc="https://user:pw@e/"/>
	<action name="view" ext="e" urlsrc="https://e/&lt;ui=UI_LLCC"/>
	<action name="view" ext="f" urlsrc="https://e/a b"/>
	<action name="view" ext="g"/>
	<action ext="h" urlsrc="https://e/"/>
	<action name="view" ext="i" urlsrc="https://e/ok"/>
	</app></net-zone></x:wopi-discovery>`)
	want := []Action{
		{
			App: "Word", FavIconURL: "https://e/i.ico", Zone: "external-https", Name: "convert", Ext: "doc", Progid: "Word.8",
			URLSrc: "https://e/c?<ui=UI_LLCC&>", Requires: []string{"update", "locks"}, Default: true, NewExt: "docx", TargetExt: "docx",
		},
		{App: "Bad", Zone: "external-https", Name: "view", Ext: "i", URLSrc: "https://e/ok"},
	}
	if !reflect.DeepEqual(doc.Actions, want) {
		t.Errorf("got %+v, want %+v", doc.Actions, want)
	}
}

func TestInZone(t *testing.T) {
	build := func(zones ...string) *Document {
		var b strings.Builder
		b.WriteString("<wopi-discovery>")
		for _, z := range zones {
			action := `<app name="A"><action name="view" ext="x" urlsrc="https://e/` + z + `"/></app>`
			if z == "" {
				b.WriteString(action)
			} else {
				fmt.Fprintf(&b, `<net-zone name="%s">%s</net-zone>`, z, action)
			}
		}
		b.WriteString("</wopi-discovery>")
		return mustParse(t, b.String())
	}
	const eh, ehs, ih, ihs = "external-http", "external-https", "internal-http", "internal-https"
	for _, c := range []struct {
		has    []string
		prefer string
		want   []string
	}{
		{[]string{ih, ihs, eh, ehs}, "", []string{ehs}},
		{[]string{ih, ihs, eh}, "", []string{eh}},
		{[]string{ih, ihs}, "", []string{ihs}},
		{[]string{ih}, "", []string{ih}},
		{[]string{ih, ihs, eh, ehs}, ih, []string{ih}},
		{[]string{ih, ehs}, "mine", []string{ehs}},
		{[]string{"mine", ehs}, "mine", []string{"mine"}},
		{[]string{"mine", ""}, "", []string{"mine", ""}},
		{[]string{"", ehs, ih}, "", []string{"", ehs}},
		{[]string{""}, ehs, []string{""}},
	} {
		var got []string
		for _, a := range build(c.has...).InZone(c.prefer) {
			got = append(got, a.Zone)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q preferring %q: %q, want %q", c.has, c.prefer, got, c.want)
		}
	}
}

// inDocument puts text between the parts of a document that is fine without it.
func inDocument(text string) string {
	return `<wopi-discovery><app name="A"><action name="view" ext="x" urlsrc="https://e/"/></app>` + text + `</wopi-discovery>`
}

func TestParseHostile(t *testing.T) {
	mustParse(t, inDocument("")) // the frame itself is fine
	bomb := `<!DOCTYPE wopi-discovery [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>` + inDocument("&b;")
	var attrs strings.Builder
	for i := range maxAttributes + 1 {
		fmt.Fprintf(&attrs, ` a%d=""`, i)
	}
	for name, c := range map[string]struct{ text, says string }{
		"empty":             {"", "no actions"},
		"no XML":            {"this is not XML", "no actions"},
		"HTML":              {"<html><body>502 Bad Gateway</body></html>", `root element is "html"`},
		"no actions":        {"<wopi-discovery/>", "no actions"},
		"entity bomb":       {bomb, "document type"},
		"external entity":   {`<!DOCTYPE d SYSTEM "file:///etc/passwd">` + inDocument(""), "document type"},
		"unknown entity":    {inDocument("&x;"), "entity"},
		"deep":              {inDocument(strings.Repeat("<a>", 100_000)), "nested"},
		"deep but closed":   {inDocument(strings.Repeat("<a>", maxDepth) + strings.Repeat("</a>", maxDepth)), "nested"},
		"many elements":     {inDocument(strings.Repeat("<a/>", maxElements)), "elements"},
		"many attributes":   {inDocument("<a" + attrs.String() + "/>"), "attributes"},
		"million attrs":     {inDocument("<a" + strings.Repeat(` a=""`, 1_000_000) + "/>"), "tag or text"},
		"long attribute":    {inDocument(`<a b="` + strings.Repeat("x", maxValue+1) + `"/>`), "attribute of more"},
		"huge attribute":    {inDocument(`<a b="` + strings.Repeat("x", 4<<20) + `"/>`), "tag or text"},
		"huge text":         {inDocument(strings.Repeat("x", 4<<20)), "tag or text"},
		"huge comment":      {inDocument("<!--" + strings.Repeat("x", 4<<20) + "-->"), "tag or text"},
		"huge instruction":  {inDocument("<?x " + strings.Repeat("x", 4<<20) + "?>"), "tag or text"},
		"huge CDATA":        {inDocument("<![CDATA[" + strings.Repeat("x", 4<<20) + "]]>"), "tag or text"},
		"huge in all":       {inDocument(strings.Repeat(strings.Repeat(" ", 60<<10)+"<!-- -->", 200)), "8388608 bytes"},
		"wrong nesting":     {inDocument("<a><b></a></b>"), "closed by"},
		"second root":       {inDocument("") + inDocument(""), "second root"},
		"other encoding":    {`<?xml version="1.0" encoding="utf-16"?>` + inDocument(""), "encoding"},
		"not UTF-8":         {inDocument("\xff\xfe"), "UTF-8"},
		"broken key":        {inDocument(`<proof-key modulus="!" exponent="AQAB"/>`), "proof key"},
		"two keys":          {inDocument("<proof-key/><proof-key/>"), "second proof-key"},
		"only useless URLs": {`<wopi-discovery><action name="view" ext="x" urlsrc="ftp://e/"/></wopi-discovery>`, "no actions"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		doc, err := Parse(strings.NewReader(c.text))
		runtime.ReadMemStats(&after)
		if doc != nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v, want an error that says %q", name, doc != nil, err, c.says)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s: allocated %d bytes", name, used)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

func TestParseTruncated(t *testing.T) {
	whole := sample(t, "collabora.xml")
	end := len(bytes.TrimRight(whole, " \n"))
	for n := range end {
		if _, err := Parse(bytes.NewReader(whole[:n])); !errors.Is(err, ErrInvalid) {
			t.Fatalf("the first %d of %d bytes: %v, want ErrInvalid", n, end, err)
		}
	}
	broken := errors.New("connection lost")
	_, err := Parse(io.MultiReader(bytes.NewReader(whole[:500]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want the reader's own error", err)
	}
}

func TestOldKeyMayBeBroken(t *testing.T) {
	text := strings.Replace(string(sample(t, "collabora.xml")), `oldmodulus="`, `oldmodulus="!`, 1)
	text = strings.Replace(text, `oldvalue="`, `oldvalue="!`, 1)
	doc := mustParse(t, text)
	if doc.Keys.Current == nil || doc.Keys.Old != nil {
		t.Errorf("keys %v, want only the current one", doc.Keys)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(f, "collabora.xml"))
	f.Add(sample(f, "onlyoffice.xml"))
	f.Add([]byte(inDocument("")))
	f.Add([]byte(`<wopi-discovery><net-zone name="x"><app name="a"><action name="view" ext="x" urlsrc="https://e/?&lt;ui=UI_LLCC&amp;&gt;"/></app></net-zone></wopi-discovery>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse(bytes.NewReader(data))
		if err != nil {
			if doc != nil {
				t.Fatal("a document beside an error")
			}
			return
		}
		if len(doc.InZone("")) == 0 {
			t.Fatal("no zone was chosen")
		}
		for _, a := range doc.Actions {
			u, err := a.URL(ActionParams{WOPISrc: "https://h/wopi/files/1"})
			if err == nil && webURL(u) == "" {
				t.Fatalf("%q makes %q", a.URLSrc, u)
			}
		}
		sn := newSnapshot(Config{Name: "e", URL: "https://e"}, doc, capabilities{}, testTime)
		for _, o := range sn.origins {
			if strings.ContainsAny(o, " ;,'\"*\r\n") {
				t.Fatalf("origin %q is not safe in a header", o)
			}
		}
	})
}
