package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-docs/quire/blank"
	"github.com/quire-docs/quire/internal/needs"
)

var convertJobs = flag.Int("convert.jobs", 40, "how many conversions TestConversions makes; one in twenty is poisoned")

// receiver takes callbacks, and remembers which message told of which job.
type receiver struct {
	url string

	mu   sync.Mutex // guards jobs
	jobs map[string]told
}

type told struct {
	ids    map[string]int
	status string
	reason string
}

func receive(t *testing.T) *receiver {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{url: "http://" + l.Addr().String(), jobs: map[string]told{}}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		var v struct{ Job, Status, Error string }
		b, _ := io.ReadAll(q.Body)
		if err := json.Unmarshal(b, &v); err != nil {
			t.Errorf("a callback: %s", b)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		j := r.jobs[v.Job]
		if j.ids == nil {
			j.ids = map[string]int{}
		}
		j.ids[q.Header.Get("webhook-id")]++
		j.status, j.reason = v.Status, v.Error
		r.jobs[v.Job] = j
	})}
	go func() { _ = s.Serve(l) }() // until it is closed
	t.Cleanup(func() { s.Close() })
	return r
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.jobs)
}

// api calls a server's file API.
type api struct {
	t          *testing.T
	url, token string
}

func (a api) do(method, path string, q url.Values, body []byte) (int, []byte) {
	a.t.Helper()
	r, err := http.NewRequest(method, a.url+"/api/v1/"+path+"?"+q.Encode(), bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, b
}

// transform begins a conversion of a file.
func (a api) transform(path, target, callback string) (job string) {
	a.t.Helper()
	status, b := a.do("POST", "file/transform", url.Values{"location": {path}, "targets": {target}, "callback": {callback}}, nil)
	var v struct{ Job string }
	if err := json.Unmarshal(b, &v); err != nil || status != 202 && status != 200 {
		a.t.Fatalf("%s to %s: %d %s", path, target, status, b)
	}
	return v.Job
}

func tokenFor(t *testing.T, data string) string {
	t.Helper()
	bin, err := exec.LookPath("quire")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "token", "create", "--user", "admin", "--scope", "admin")
	cmd.Env = append(os.Environ(), "QUIRE_DATA="+data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// leftovers are processes and files of conversions.
func leftovers(folder string) (list []string) {
	out, _ := exec.Command("ps", "-eo", "pid,args").Output()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, folder) {
			list = append(list, strings.TrimSpace(line))
		}
	}
	work, _ := filepath.Glob(filepath.Join(folder, "quire-libreoffice-*", "work-*"))
	return append(list, work...)
}

var convertEnv = []string{"QUIRE_CALLBACK_NETWORKS=127.0.0.0/8", "QUIRE_CONVERTERS=2", "QUIRE_CONVERT_LIMIT=20s", "QUIRE_THUMBNAILS=false"}

// bombed is an archive that claims to be a document and unpacks to hundreds of
// megabytes.
func bombed(t *testing.T) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("word/document.xml")
	for i := 0; i < 200 && err == nil; i++ {
		_, err = w.Write(make([]byte, 1<<20))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestConversions: of many conversions of many kinds every good one is made and
// every poisoned one fails with a reason; nothing is left behind.
func TestConversions(t *testing.T) {
	needs.Program(t, "soffice")
	needs.Time(t)
	data, temp := t.TempDir(), t.TempDir()
	s, err := launchWith(append(convertEnv, "TMPDIR="+temp), data)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	hook := receive(t)
	a := api{t, s.url, tokenFor(t, data)}
	var rows strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&rows, "%d,%d\n", i, i)
	}
	poison := map[string][]byte{
		"cut.docx": []byte("PK\x03\x04 cut off"), "locked.docx": testdata(t, "locked.docx"), "locked.odt": testdata(t, "locked.odt"), "bomb.docx": bombed(t),
		"noise.xlsx": bytes.Repeat([]byte{0, 1, 2, 3}, 500), "huge.csv": []byte(rows.String()),
	}
	names := []string{"cut.docx", "locked.docx", "huge.csv", "bomb.docx", "noise.xlsx", "locked.odt"}
	// Office documents are what the server itself made of text; a presentation is an
	// empty one. One has a macro that never ends, which is not run.
	for at, content := range map[string]string{"/made.txt": "words", "/made.csv": "name,amount\nwords,12\n"} {
		if status, b := a.do("PUT", "file/put", url.Values{"path": {at}}, []byte(content)); status != 200 {
			t.Fatalf("%d %s", status, b)
		}
	}
	made := func(from, mime string) string {
		status, b := a.do("GET", "file/get", url.Values{"path": {from}, "mime": {mime}}, nil)
		if status != 200 {
			t.Fatalf("%s as %s: %d %s", from, mime, status, b)
		}
		return string(b)
	}
	const docx, xlsx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	slides, err := blank.New("pptx")
	if err != nil {
		t.Fatal(err)
	}
	good := []struct{ name, content, target string }{
		{"a.txt", "words %d", "application/pdf"}, {"b.csv", "a,%d\n", "application/pdf"}, {"c.html", "<p>words %d", "application/vnd.oasis.opendocument.text"}, {"d.txt", "words %d", "text/html"},
		{"e.rtf", `{\rtf1 words %d}`, "text/plain"}, {"f.csv", "a,%d\n", xlsx}, {"g.html", "<p>%d", "image/png"},
		{"h.docx", made("/made.txt", docx), "application/pdf"}, {"i.xlsx", made("/made.csv", xlsx), "text/html"}, {"j.pptx", string(slides), "application/pdf"},
		{"k.odt", made("/made.txt", "application/vnd.oasis.opendocument.text"), docx}, {"l.pdf", made("/made.txt", "application/pdf"), "image/png"}, {"loop.odt", string(testdata(t, "loop.odt")), "application/pdf"},
	}
	idle := s.resident(t)
	jobs, bad := map[string]string{}, map[string]bool{}
	for i := range *convertJobs {
		if i%20 == 10 {
			name := names[i/20%len(names)]
			path := fmt.Sprintf("/%d/%s", i, name)
			if status, b := a.do("PUT", "file/put", url.Values{"path": {path}}, poison[name]); status != 200 {
				t.Fatalf("%d %s", status, b)
			}
			job := a.transform(path, "application/pdf", hook.url)
			jobs[job], bad[job] = path, true
			continue
		}
		g := good[i%len(good)]
		path := fmt.Sprintf("/%d/%s", i, g.name)
		if status, b := a.do("PUT", "file/put", url.Values{"path": {path}}, []byte(strings.Replace(g.content, "%d", strconv.Itoa(i), 1))); status != 200 {
			t.Fatalf("%d %s", status, b)
		}
		jobs[a.transform(path, g.target, hook.url)] = path
	}
	waitFor(t, time.Duration(*convertJobs)*10*time.Second, "the callbacks", func() bool { return hook.count() == len(jobs) })
	for job, path := range jobs {
		got := hook.jobs[job]
		if bad[job] != (got.status == "failed") || bad[job] && len(got.reason) < 10 {
			t.Errorf("%s: %+v", path, got)
		}
		if bad[job] {
			t.Logf("%s: %s", path, got.reason)
		}
	}
	waitFor(t, 30*time.Second, "the processes' end", func() bool { return len(leftovers(temp)) == 0 })
	after := s.resident(t)
	t.Logf("the server takes %d MiB, before %d MiB", after>>20, idle>>20)
	if after > idle+100<<20 {
		t.Errorf("%d MiB more than before", (after-idle)>>20)
	}
	s.stop(t)
	if left, err := filepath.Glob(filepath.Join(temp, "quire-*")); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "transform", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func waitFor(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come in %v", what, limit)
		}
	}
}

// TestConversionsKilled: the server is killed in the middle of conversions; all
// are made after it starts again, and every job is told of, each time by the same
// message.
func TestConversionsKilled(t *testing.T) {
	needs.Program(t, "soffice")
	needs.Time(t)
	data, temp := t.TempDir(), t.TempDir()
	env := append(convertEnv, "TMPDIR="+temp)
	s, err := launchWith(env, data)
	if err != nil {
		t.Fatal(err)
	}
	hook := receive(t)
	a := api{t, s.url, tokenFor(t, data)}
	jobs := map[string]bool{}
	for i := range 8 {
		path := fmt.Sprintf("/%d.txt", i)
		if status, b := a.do("PUT", "file/put", url.Values{"path": {path}}, fmt.Appendf(nil, "words %d", i)); status != 200 {
			t.Fatalf("%d %s", status, b)
		}
		jobs[a.transform(path, "application/pdf", hook.url)] = true
	}
	for n := range 2 {
		at := hook.count()
		waitFor(t, time.Minute, "one more callback", func() bool { return hook.count() > at })
		s.kill()
		waitFor(t, 10*time.Second, "the end of what the server had started", func() bool {
			out, _ := exec.Command("ps", "-eo", "args").Output()
			return !strings.Contains(string(out), temp)
		})
		if s, err = launchWith(env, data); err != nil {
			t.Fatalf("start %d: %v", n, err)
		}
	}
	defer func() { s.kill() }()
	waitFor(t, 3*time.Minute, "all callbacks", func() bool { return hook.count() == len(jobs) })
	// What the killed servers were at is gone; the running one has its own.
	if left, err := filepath.Glob(filepath.Join(temp, "quire-libreoffice-*")); err != nil || len(left) != 1 {
		t.Errorf("there are %v, %v", left, err)
	}
	hook.mu.Lock()
	defer hook.mu.Unlock()
	for job, got := range hook.jobs {
		if !jobs[job] || got.status != "done" || len(got.ids) != 1 {
			t.Errorf("job %s: %+v", job, got)
		}
	}
}
