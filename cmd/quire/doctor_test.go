package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire/blob/s3/s3test"
)

// examine runs doctor on a server's data by a public URL.
func examine(t *testing.T, data, public string, args ...string) string {
	t.Helper()
	bin, err := exec.LookPath("quire")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, append([]string{"doctor", "--data", data, "--libreoffice", "off", "--public-url", public}, args...)...)
	out, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s\nexit %d", out, cmd.ProcessState.ExitCode())
}

// TestDoctorProxies: what a reverse proxy does wrong is told, with what to do.
func TestDoctorProxies(t *testing.T) {
	data := t.TempDir()
	untrusting, err := launch(data)
	if err != nil {
		t.Fatal(err)
	}
	defer untrusting.kill()
	trusting, err := launch(data, "--trusted-proxies", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer trusting.kill()
	otherData := t.TempDir()
	other, err := launch(otherData)
	if err != nil {
		t.Fatal(err)
	}
	defer other.kill()

	proxy := func(to *process, change func(*httputil.ProxyRequest), limit int64) string {
		u, err := url.Parse(to.url)
		if err != nil {
			t.Fatal(err)
		}
		p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			change(r)
		}}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength > limit {
				_, _ = io.Copy(io.Discard, r.Body)
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
				return
			}
			p.ServeHTTP(w, r)
		})
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	adds := func(r *httputil.ProxyRequest) { r.SetXForwarded() }
	for _, test := range []struct {
		name, url string
		want      string
		exit      string
	}{
		{"direct", untrusting.url, `ok +proxy +there is none`, "0"},
		{"a proxy that is not trusted", proxy(untrusting, adds, 1<<30), `fail +proxy +requests come by a proxy at 127\.0\.0\.1, which is not trusted.*add it to trusted-proxies`, "3"},
		{"a proxy on this machine that is trusted", trusting.url, `warn +proxy +from here, a request may claim to come from any address`, "0"},
		{"a proxy that changes the host", proxy(untrusting, func(r *httputil.ProxyRequest) { adds(r); r.Out.Host = "inside" }, 1<<30), `warn +proxy +it passes requests on for the host "inside"`, "3"},
		{"a proxy with a limit", proxy(untrusting, adds, 1<<20), `fail +proxy +the proxy refuses large requests \(413\).*client_max_body_size 0`, "3"},
		{"another server", other.url, `fail +public URL .*not the server of this catalog`, "3"},
		{"no server of ours", httptestServer(t), `fail +public URL .*does not answer as Quire does`, "3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := examine(t, data, test.url)
			if !regexp.MustCompile(test.want).MatchString(out) {
				t.Errorf("there is no %s in\n%s", test.want, out)
			}
			if !strings.HasSuffix(out, "exit "+test.exit) {
				t.Errorf("it should exit with %s:\n%s", test.exit, out)
			}
		})
	}

	// Nobody else is told anything.
	for _, method := range []string{"GET", "POST"} {
		if resp, text := ask(t, method, untrusting.url+mirrorPath, "guess", ""); resp.StatusCode != 404 || strings.Contains(text, "addr") {
			t.Errorf("%s: %d %s", method, resp.StatusCode, text)
		}
	}
}

// TestDoctorEngines: a database and a bucket are looked at by each right, and by
// their clocks; what a read-only database or wrong credentials take away is told.
func TestDoctorEngines(t *testing.T) {
	p := startEngines(t).place(true, true)
	env := p.env()
	s, err := launchWith(env, p.data)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	run := func(change ...string) string {
		bin, err := exec.LookPath("quire")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(bin, "doctor", "--libreoffice", "off", "--public-url", s.url)
		cmd.Env = append(append(append(os.Environ(), "QUIRE_DATA="+p.data), env...), change...)
		out, err := cmd.CombinedOutput()
		if _, failed := err.(*exec.ExitError); err != nil && !failed {
			t.Fatal(err)
		}
		return string(out)
	}
	has := func(out string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !regexp.MustCompile(`(?m)^` + w).MatchString(out) {
				t.Errorf("there is no %s in\n%s", w, out)
			}
		}
	}
	out := run()
	has(out, "ok +catalog .*durable transaction", "ok +clock +this machine and the catalog agree", "ok +clock +this machine and the server of the bucket agree",
		"ok +blobs .*stored .*read, listed and deleted", "ok +public URL", "ok +proxy .*large requests arrive")
	if strings.Contains(out, "fail") || strings.Contains(out, s3test.SecretKey) {
		t.Errorf("something fails, or a secret is told:\n%s", out)
	}
	has(run("AWS_SECRET_ACCESS_KEY=wrong"), "fail +store .*AWS_SECRET_ACCESS_KEY")
	has(run("QUIRE_BLOBS="+strings.Replace(p.blobs, s3test.Bucket, "nosuchbucket", 1)), "fail +store .*no bucket")
	has(run("PGOPTIONS=-c default_transaction_read_only=on"), "fail +(store|catalog) ")
}

// httptestServer is something that answers everything with a page.
func httptestServer(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") }))
	t.Cleanup(s.Close)
	return s.URL
}

func noted(f func(*examination)) string {
	var b strings.Builder
	f(&examination{a: &app{ctx: context.Background(), out: &b}})
	return b.String()
}

func TestDoctorClock(t *testing.T) {
	began := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	ended := began.Add(time.Second)
	for _, test := range []struct {
		told time.Time
		want string
	}{
		{began.Add(500 * time.Millisecond), "ok"},
		{began.Add(-3 * time.Second), "ok"},
		{ended.Add(6 * time.Second), "warn"},
		{began.Add(-6 * time.Second), "warn"},
		{began.Add(-5 * time.Minute), "fail"},
		{ended.Add(5 * time.Minute), "fail"},
	} {
		got := noted(func(x *examination) { x.clock("the catalog", test.told, began, ended) })
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%v: %s", test.told, got)
		}
	}
}

func TestDoctorExpiry(t *testing.T) {
	now := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]string{-time.Hour: "fail", 24 * time.Hour: "warn", 90 * 24 * time.Hour: "ok"} {
		got := noted(func(x *examination) { x.expiry(&x509.Certificate{NotAfter: now.Add(after)}, now) })
		if !strings.HasPrefix(got, want) {
			t.Errorf("%v: %s", after, got)
		}
	}
}

// TestDoctorBucketClock: the clock of the server of the bucket is that of its
// answers' Date.
func TestDoctorBucketClock(t *testing.T) {
	for off, want := range map[time.Duration]string{0: "ok", -10 * time.Minute: "fail", 20 * time.Second: "warn"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusForbidden)
		}))
		c := &doctorCmd{}
		c.Blobs = "s3://bucket?endpoint=" + s.URL
		got := noted(func(x *examination) { c.bucketClock(t.Context(), x) })
		if !strings.HasPrefix(got, want) {
			t.Errorf("%v off: %s", off, got)
		}
		s.Close()
	}
}
