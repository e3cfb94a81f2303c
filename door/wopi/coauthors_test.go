package wopi_test

import (
	"archive/zip"
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
)

var coauthorsFor = flag.Duration("coauthors", 3*time.Second, "how long fifty coauthors edit one file")

// author is one person at a document: what they know of it, and which of their
// edits were acknowledged.
type author struct {
	r        resource
	n        int
	lock     string
	known    map[chunk.ID][]byte
	done     []string
	refused  int // edits that had to be made again, because another's came first
	requests int
}

// ok notes a request and fails the test for an answer that no client deserves.
func (a *author) ok(what string, got answer, allowed ...int) bool {
	a.requests++
	if got.StatusCode == 200 {
		return true
	}
	for _, s := range allowed {
		if got.StatusCode == s {
			return false
		}
	}
	a.r.f.t.Errorf("%s of author %d: %d %s", what, a.n, got.StatusCode, got.Header.Get("X-WOPI-ServerError"))
	return false
}

// fetch returns the document as it is now, for which only the chunks come that
// the author does not know.
func (a *author) fetch() (parts map[string]string, sequence string) {
	q := all(quire.MainContent)
	for id := range a.known {
		q.ContentFilters[0].AlreadyKnownChunks = append(q.ContentFilters[0].AlreadyKnownChunks, id)
	}
	g := a.r.getChunked(q)
	if !a.ok("GetChunkedFile", g.answer) {
		return nil, ""
	}
	next := make(map[chunk.ID][]byte)
	var whole []byte
	for _, k := range g.message.Signatures[0].Chunks {
		b, sent := g.chunks[k.ID]
		if !sent {
			b = a.known[k.ID]
		}
		if int64(len(b)) != k.Length {
			a.r.f.t.Errorf("author %d has %d bytes of a chunk of %d", a.n, len(b), k.Length)
			return nil, ""
		}
		next[k.ID] = b
		whole = append(whole, b...)
	}
	a.known = next
	return unzip(a.r.f.t, whole), g.Header.Get("X-WOPI-SequenceNumber")
}

func unzip(t testing.TB, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	parts := make(map[string]string)
	for _, p := range z.File {
		in, err := p.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		parts[p.Name] = string(text)
	}
	return parts
}

// edit adds a line to the author's part, as often as it takes.
func (a *author) edit(order []string, line string, until time.Time) {
	for time.Now().Before(until) {
		parts, sequence := a.fetch()
		if parts == nil {
			return
		}
		parts[order[a.n]] += line + "\n"
		next := cut(a.r.f.t, document(a.r.f.t, parts, order...))
		fresh := next.chunks()
		for id := range a.known {
			delete(fresh, id)
		}
		put := a.r.putChunked(chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{next.stream(quire.MainContent)}}, fresh,
			"X-WOPI-SequenceNumber", sequence, "X-WOPI-CoauthLockId", a.lock)
		if a.ok("PutChunkedFile", put, 412) {
			a.done = append(a.done, line)
			a.known = next.chunks()
			return
		}
		if put.StatusCode != 412 {
			return
		}
		a.refused++
	}
}

// TestCoauthors: fifty people edit one document. Each saves with the sequence
// number that they know and tries again when it is old, while all refresh
// their locks and look at who is there. Every acknowledged edit is in the
// final document, and no answer is a failure of the host.
func TestCoauthors(t *testing.T) {
	f := open(t, nil)
	people := 50
	if testing.Short() {
		people = 10 // the race detector makes each many times slower
	}
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = people
	order := make([]string, people)
	parts := map[string]string{}
	for i := range order {
		order[i] = fmt.Sprintf("part%02d.xml", i)
		parts[order[i]] = "-\n"
	}
	id := f.save("/co.docx", string(document(t, parts, order...))).ID
	until := time.Now().Add(*coauthorsFor)
	var wait sync.WaitGroup
	var edits, refused, requests atomic.Int64
	authors := make([]*author, people)
	for n := range authors {
		a := &author{r: f.resource(f.bob, id, ""), n: n, lock: fmt.Sprint("author", n)}
		authors[n] = a
		wait.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 1))
			a.ok("GetCoauthLock", a.r.join(a.lock))
			for e := 0; time.Now().Before(until); e++ {
				switch rnd.IntN(4) {
				case 0:
					a.ok("RefreshCoauthLock", a.r.coauth("REFRESH_COAUTH_LOCK", a.lock))
				case 1:
					a.ok("GetCoauthTable", a.r.op("GET_COAUTH_TABLE"))
				default:
					a.edit(order, fmt.Sprintf("%d/%d/%d", n, e, rnd.Uint64()), until)
				}
			}
			edits.Add(int64(len(a.done)))
			refused.Add(int64(a.refused))
			requests.Add(int64(a.requests))
		})
	}
	wait.Wait()
	b := f.resource(f.bob, id, "").get("/contents").body
	final := unzip(t, b)
	for n, a := range authors {
		want := "-\n"
		for _, line := range a.done {
			want += line + "\n"
		}
		if final[order[n]] != want {
			t.Errorf("the part of author %d lacks acknowledged edits: %q, want %q", n, final[order[n]], want)
		}
	}
	if edits.Load() < 5 {
		t.Errorf("only %d edits were made: this test tests nothing", edits.Load())
	}
	t.Logf("%d requests, %d edits, %d made again", requests.Load(), edits.Load(), refused.Load())
}
