package wopi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
)

// calls makes f from 32 clients, n times together, and reports how long the
// answers took. f says whether an answer was what it should be.
func calls(b *testing.B, name string, n int, limit time.Duration, f func(call int) answer) {
	b.Helper()
	const clients = 32
	took := make([]time.Duration, n)
	var next, failed atomic.Int64
	var wait sync.WaitGroup
	began := time.Now()
	for range clients {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				t := time.Now()
				a := f(i)
				took[i] = time.Since(t)
				if a.StatusCode != 200 {
					failed.Add(1)
					b.Logf("%s: %d %s", name, a.StatusCode, a.Header.Get("X-WOPI-ServerError"))
				}
			}
		})
	}
	wait.Wait()
	rate := float64(n) / time.Since(began).Seconds()
	slices.Sort(took)
	ms := func(p float64) float64 { return float64(took[int(p*float64(n-1))].Microseconds()) / 1000 }
	b.Logf("%-18s %6d calls %7.0f/s  p50 %6.2f  p95 %6.2f  p99 %6.2f ms (asked: %v)  %d failed", name, n, rate, ms(.5), ms(.95), ms(.99), limit, failed.Load())
	b.ReportMetric(ms(.95), name+"-p95-ms")
	if failed.Load() > 0 {
		b.Errorf("%s: %d of %d calls failed", name, failed.Load(), n)
	}
}

// BenchmarkCalls makes 10,000 calls of each operation of coauthoring from 32
// clients on a store of 10,000 documents, client and server on one machine.
func BenchmarkCalls(b *testing.B) {
	const files, n = 10_000, 10_000
	f := open(b, nil)
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	order := make([]string, 12)
	parts := map[string]string{}
	for i := range order {
		order[i] = fmt.Sprintf("word/part%d.xml", i)
		parts[order[i]] = strings.Repeat(fmt.Sprint("text ", i), 300)
	}
	rs := make([]resource, files)
	docs := make([]local, files)
	for i := range files {
		parts[order[3]] = fmt.Sprint("document ", i)
		d := document(b, parts, order...)
		docs[i] = cut(b, d)
		rs[i] = f.resource(f.bob, f.save(fmt.Sprintf("/%d/%d.docx", i%100, i), string(d)).ID, "")
	}
	const fixed, chunks = 15 * time.Millisecond, 20 * time.Millisecond
	for b.Loop() {
		calls(b, "CheckFileInfo", n, fixed, func(i int) answer { return rs[i].get("") })
		calls(b, "GetCoauthLock", n, fixed, func(i int) answer { return rs[i].join("c") })
		calls(b, "RefreshCoauthLock", n, fixed, func(i int) answer { return rs[i].coauth("REFRESH_COAUTH_LOCK", "c") })
		calls(b, "GetCoauthTable", n, fixed, func(i int) answer { return rs[i].op("GET_COAUTH_TABLE") })
		calls(b, "GetSequenceNumber", n, fixed, func(i int) answer { return rs[i].op("GET_SEQUENCE_NUMBER") })
		calls(b, "GetChunkedFile", n, chunks, func(i int) answer { return rs[i].getChunked(all(quire.MainContent)).answer })
		calls(b, "GetChunks", n, chunks, func(i int) answer {
			k := docs[i].sig.Chunks[5]
			body := fmt.Sprintf(`{"ContentFilters":[{"StreamId":"MainContent","ChunkingScheme":"Zip","ChunkRangesToReturn":[{"ChunkId":%q,"Offset":0,"Length":-1}]}]}`, k.ID)
			return rs[i].send("POST", "", []byte(body), "X-WOPI-Override", "GET_CHUNKS")
		})
		bodies, sequences := make([][]byte, n), make([]string, n)
		for i := range bodies {
			parts := unzip(b, docs[i].bytes)
			parts[order[7]] = fmt.Sprint("edited ", i, b.N)
			next := cut(b, document(b, parts, order...))
			fresh := next.chunks()
			for id := range docs[i].chunks() {
				delete(fresh, id)
			}
			bodies[i] = rs[i].frames(chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{next.stream(quire.MainContent)}}, fresh)
			sequences[i] = rs[i].op("GET_SEQUENCE_NUMBER").Header.Get("X-WOPI-SequenceNumber")
			docs[i] = next
		}
		calls(b, "PutChunkedFile", n, chunks, func(i int) answer {
			return rs[i].send("POST", "/contents", bodies[i], "X-WOPI-Override", "PUT_CHUNKED_FILE", "X-WOPI-SequenceNumber", sequences[i], "X-WOPI-CoauthLockId", "c")
		})
		calls(b, "UnlockCoauthLock", n, fixed, func(i int) answer { return rs[i].coauth("UNLOCK_COAUTH_LOCK", "c") })
	}
}
