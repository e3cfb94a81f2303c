package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-docs/quire/server"
)

// logs is a log that tests can read while a server writes it.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve runs a server until the test ends, and returns its address, its log
// and what stops it.
func serve(t *testing.T, h http.HandlerFunc, opt server.Options) (addr string, log *logs, stop func() error) {
	t.Helper()
	log = new(logs)
	opt.Logger = slog.New(slog.NewTextHandler(log, nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.New(h, opt).Serve(ctx, l) }()
	var once sync.Once
	stop = func() (err error) {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), log, stop
}

func get(t *testing.T, url string, head ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestLogHasNoSecrets(t *testing.T) {
	addr, log, stop := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, server.RequestID(r.Context())) }, server.Options{})
	resp, id := get(t, "http://"+addr+"/x?access_token=SECRET1&Access_Token=SECRET2&signature=SECRET3&path=/shown", "X-Request-Id", "my-id", "Authorization", "Bearer SECRET4")
	if id != "my-id" || resp.Header.Get("X-Request-Id") != "my-id" {
		t.Errorf("request id %q", id)
	}
	if _, id := get(t, "http://"+addr+"/", "X-Request-Id", "not säne"); id == "" || id == "not säne" {
		t.Errorf("request id %q", id)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if s := log.String(); strings.Contains(s, "SECRET") || !strings.Contains(s, "shown") || !strings.Contains(s, "request=my-id") {
		t.Errorf("log: %s", s)
	}
}

func TestClientAddr(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, server.ClientAddr(r.Context())) }
	trusting, _, _ := serve(t, h, server.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}})
	plain, _, _ := serve(t, h, server.Options{})
	for _, row := range []struct{ addr, forwarded, want string }{
		{plain, "198.51.100.7", "127.0.0.1"},
		{trusting, "198.51.100.7", "198.51.100.7"},
		{trusting, "203.0.113.9, 198.51.100.7, 10.1.1.1", "198.51.100.7"},
		{trusting, "nonsense", "127.0.0.1"},
		{trusting, "", "127.0.0.1"},
	} {
		if _, got := get(t, "http://"+row.addr, "X-Forwarded-For", row.forwarded); got != row.want {
			t.Errorf("%q: %s, want %s", row.forwarded, got, row.want)
		}
	}
}

func TestPanicIsOneFailedRequest(t *testing.T) {
	addr, log, stop := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("the handler's fault")
		}
	}, server.Options{})
	resp, body := get(t, "http://"+addr+"/panic")
	if resp.StatusCode != 500 || strings.Contains(body, "fault") || !strings.Contains(body, resp.Header.Get("X-Request-Id")) {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if resp, _ := get(t, "http://"+addr+"/"); resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
	_ = stop()
	if !strings.Contains(log.String(), "the handler's fault") {
		t.Error("the panic is not in the log")
	}
}

// TestStalledSenderIsCut: a sender who sends nothing is cut, and one who is
// slow is not.
func TestStalledSenderIsCut(t *testing.T) {
	const stall = 200 * time.Millisecond
	got := make(chan error, 2)
	addr, _, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err == nil && n != 8 {
			err = fmt.Errorf("%d bytes", n)
		}
		got <- err
	}, server.Options{Stall: stall})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n")
		return c
	}
	slow := dial()
	tick := time.NewTicker(stall / 2)
	defer tick.Stop()
	for range 8 {
		<-tick.C
		fmt.Fprint(slow, "x")
	}
	if err := <-got; err != nil {
		t.Errorf("a slow sender: %v", err)
	}
	dial()
	var timeout net.Error
	if err := <-got; !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a stalled sender: %v", err)
	}
}

// TestStalledReaderIsCut: a client who takes nothing of an answer is cut, and one
// who is slow is not, however long it takes: with a file, which the kernel sends,
// and with bytes that pass through the process.
func TestStalledReaderIsCut(t *testing.T) {
	const (
		stall = 400 * time.Millisecond
		size  = 24 << 20 // more than the buffers of both ends
	)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	addr, _, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		w.Header().Set("Content-Length", strconv.Itoa(size))
		var in io.Reader = f
		if r.URL.Path == "/bytes" {
			in = struct{ io.Reader }{f}
		}
		_, err = io.CopyN(w, in, size)
		got <- err
	}, server.Options{Stall: stall})
	for _, path := range []string{"/file", "/bytes"} {
		dial := func() net.Conn {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			return c
		}
		slow, began := dial(), time.Now()
		tick := time.NewTicker(stall / 10)
		defer tick.Stop()
		for range 40 { // all but the end, which has its place in the buffers
			<-tick.C
			if _, err := io.CopyN(io.Discard, slow, size/40); err != nil {
				t.Fatalf("%s: a slow reader: %v", path, err)
			}
		}
		if err := <-got; err != nil || time.Since(began) < 3*stall {
			t.Errorf("%s: a slow reader: %v after %v", path, err, time.Since(began))
		}
		dial()
		began = time.Now()
		var timeout net.Error
		if err := <-got; !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(began) > 3*stall {
			t.Errorf("%s: a stalled reader: %v after %v", path, err, time.Since(began))
		}
	}
}

// TestDrain: a running request finishes when the server is told to stop, and
// no new one is taken.
func TestDrain(t *testing.T) {
	began, goOn := make(chan bool), make(chan bool)
	addr, _, stop := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-goOn
		fmt.Fprint(w, "finished")
	}, server.Options{})
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + addr)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break // it listens no more
		}
		c.Close()
	}
	close(goOn)
	if got := <-answer; got != "finished" {
		t.Errorf("%q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestHealth(t *testing.T) {
	ready := errors.New("not yet")
	addr, _, _ := serve(t, http.NotFound, server.Options{Ready: func(context.Context) error { return ready }})
	if resp, _ := get(t, "http://"+addr+"/healthz"); resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
	if resp, body := get(t, "http://"+addr+"/readyz"); resp.StatusCode != 503 || strings.Contains(body, "not yet") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	ready = nil
	if resp, _ := get(t, "http://"+addr+"/readyz"); resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
}

// TestFilesPassThrough: a file reaches the client whole through the wrapped
// writer, in ranges too.
func TestFilesPassThrough(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 500_000)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	addr, _, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(io.ReaderFrom); !ok {
			t.Error("the writer takes no files")
		}
		http.ServeFile(w, r, name)
	}, server.Options{})
	if _, b := get(t, "http://"+addr); b != string(content) {
		t.Errorf("%d bytes", len(b))
	}
	if _, b := get(t, "http://"+addr, "Range", "bytes=1234567-2345678"); b != string(content[1234567:2345679]) {
		t.Errorf("%d bytes", len(b))
	}
}
