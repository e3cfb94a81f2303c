package wopi_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
	"github.com/quire-docs/quire/library"
)

// The benchmarks compare things in one run, because machines differ. Run them
// with
//
//	go test -run '^$' -bench . -benchtime 1x ./door/wopi

// load runs f from several clients for a while and reports requests a second
// with the 50th and 99th percentile of their durations.
func load(b *testing.B, name string, clients int, f func(client, n int)) float64 {
	b.Helper()
	const d = 1500 * time.Millisecond
	var mu sync.Mutex
	var took []time.Duration
	var wait sync.WaitGroup
	began := time.Now()
	for c := range clients {
		wait.Go(func() {
			var mine []time.Duration
			for n := 0; time.Since(began) < d; n++ {
				t := time.Now()
				f(c, n)
				mine = append(mine, time.Since(t))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wait.Wait()
	rate := float64(len(took)) / time.Since(began).Seconds()
	slices.Sort(took)
	ms := func(p float64) float64 {
		return float64(took[int(p*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.Logf("%-26s %3d clients %8.0f/s  p50 %7.2f ms  p99 %7.2f ms", name, clients, rate, ms(.5), ms(.99))
	return rate
}

// BenchmarkOperations is CheckFileInfo and the lock cycle, beside a bare
// handler and the disk's own fsync rate.
func BenchmarkOperations(b *testing.B) {
	f := open(b, nil)
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	var rs []resource
	for i := range 64 {
		rs = append(rs, f.resource(f.bob, f.save(fmt.Sprintf("/b%d.docx", i), "x").ID, ""))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	bare := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })}
	go func() { _ = bare.Serve(l) }()
	defer bare.Close()
	plain := f.at("http://" + l.Addr().String() + "/?x=y")
	for b.Loop() {
		file, err := os.Create(filepath.Join(b.TempDir(), "sync"))
		if err != nil {
			b.Fatal(err)
		}
		load(b, "fsync", 1, func(int, int) {
			_, _ = file.Write(make([]byte, 4096))
			if err := file.Sync(); err != nil {
				b.Error(err)
			}
		})
		file.Close()
		for _, clients := range []int{1, 16, 64} {
			load(b, "a bare handler", clients, func(int, int) { plain.get("") })
			load(b, "CheckFileInfo", clients, func(c, _ int) { rs[c].get("") })
			load(b, "Lock, RefreshLock, Unlock", clients, func(c, n int) {
				rs[c].op([]string{"LOCK", "REFRESH_LOCK", "UNLOCK"}[n%3], "X-WOPI-Lock", "L")
			})
		}
	}
}

// kind is a kind of document that a benchmark makes: so many parts of text, in
// one of which a text changes, and pictures.
type kind struct {
	name            string
	parts, words    int // words of random digits in each part
	pictures, bytes int // bytes of each picture
}

var kinds = []kind{
	{"pptx", 150, 400, 150, 350_000},
	{"xlsx", 40, 62_000, 0, 0},
	{"docx", 12, 2_000, 3, 300_000},
}

func (k kind) make(b *testing.B, changed string) []byte {
	b.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	add := func(name string, content []byte, method uint16) {
		p, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Write(content); err != nil {
			b.Fatal(err)
		}
	}
	add("[Content_Types].xml", []byte("<Types/>"), zip.Deflate)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range k.parts {
		text := fmt.Appendf(nil, "<part>%d", i)
		for range k.words {
			text = fmt.Appendf(text, "<v>%d</v>", rnd.Uint64())
		}
		if i == k.parts/2 {
			text = append(text, changed...)
		}
		add(fmt.Sprintf("parts/part%d.xml", i), text, zip.Deflate)
	}
	picture := make([]byte, k.bytes)
	for i := range k.pictures {
		for j := range picture {
			picture[j] = byte(j*j>>3 ^ j*i ^ j>>7)
		}
		add(fmt.Sprintf("media/image%d.png", i), picture, zip.Store)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkOnePart changes one part of a document of each kind, of 50, 20 and 1
// MB: by its chunks, and by PutFile of the whole.
func BenchmarkOnePart(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, k.onePart)
	}
}

func (kind kind) onePart(b *testing.B) {
	f := open(b, nil)
	first := kind.make(b, "")
	id := f.save("/deck.pptx", string(first)).ID
	r := f.resource(f.bob, id, "")
	r.join("c")
	known := cut(b, first)
	r.getChunked(all(quire.MainContent)) // the signature is worked out once
	n := 0
	for b.Loop() {
		var chunked, whole, fetched, full time.Duration
		var sent, got int
		const rounds = 10
		for range rounds {
			n++
			next := cut(b, kind.make(b, fmt.Sprint("edit ", n)))
			fresh := next.chunks()
			for k := range known.chunks() {
				delete(fresh, k)
			}
			put := chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{next.stream(quire.MainContent)}}
			e := f.entry(id)
			body := r.frames(put, fresh)
			sent = len(body)
			t := time.Now()
			a := r.send("POST", "/contents", body, "X-WOPI-Override", "PUT_CHUNKED_FILE", "X-WOPI-SequenceNumber", fmt.Sprint(e.Sequence), "X-WOPI-CoauthLockId", "c")
			chunked += time.Since(t)
			if a.StatusCode != 200 {
				b.Fatalf("%d %s", a.StatusCode, a.Header.Get("X-WOPI-ServerError"))
			}
			q := all(quire.MainContent)
			for k := range known.chunks() {
				q.ContentFilters[0].AlreadyKnownChunks = append(q.ContentFilters[0].AlreadyKnownChunks, k)
			}
			ask, err := json.Marshal(q)
			if err != nil {
				b.Fatal(err)
			}
			t = time.Now()
			g := r.send("POST", "", ask, "X-WOPI-Override", "GET_CHUNKED_FILE")
			fetched += time.Since(t)
			if got = len(g.body); g.StatusCode != 200 {
				b.Fatal(g.StatusCode)
			}
			t = time.Now()
			r.get("/contents")
			full += time.Since(t)
			known = next
		}
		other := f.resource(f.bob, f.save(fmt.Sprintf("/whole%d.pptx", n), "x").ID, "")
		other.lock("L")
		for i := range rounds {
			body := string(kind.make(b, fmt.Sprint("whole ", n, i)))
			t := time.Now()
			a := other.put(body, "X-WOPI-Lock", "L")
			whole += time.Since(t)
			if a.StatusCode != 200 {
				b.Fatal(a.StatusCode)
			}
		}
		b.ReportMetric(float64(len(first))/1e6, "file-MB")
		b.ReportMetric(100*float64(sent)/float64(len(first)), "sent-%")
		b.ReportMetric(100*float64(got)/float64(len(first)), "fetched-%")
		b.ReportMetric(float64(chunked.Microseconds())/rounds/1000, "putchunked-ms")
		b.ReportMetric(float64(whole.Microseconds())/rounds/1000, "putfile-ms")
		b.ReportMetric(whole.Seconds()/chunked.Seconds(), "put-ratio")
		b.ReportMetric(full.Seconds()/fetched.Seconds(), "get-ratio")
	}
}

func (f *fixture) entry(id quire.NodeID) library.Entry {
	f.t.Helper()
	e, err := f.lib.Stat(context.Background(), f.ann, id)
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}
