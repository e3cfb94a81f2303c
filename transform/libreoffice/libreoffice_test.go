package libreoffice

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quire-docs/quire/internal/needs"
	"github.com/quire-docs/quire/transform"
)

// open starts an engine, or skips the test where there is no LibreOffice.
func open(t testing.TB, opt Options) *Engine {
	t.Helper()
	e, err := New(opt)
	if errors.Is(err, ErrNotFound) {
		needs.Missing(t, "LibreOffice is missing: scripts/test installs it")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if left := processes(e.folder); left != "" {
			t.Errorf("these still run:\n%s", left)
		}
	})
	return e
}

// processes lists those that have a folder in their command line.
func processes(folder string) string {
	out, _ := exec.Command("ps", "-eo", "pid,args").Output()
	var left []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, folder) && !strings.Contains(line, "<defunct>") {
			left = append(left, line)
		}
	}
	return strings.Join(left, "")
}

const words = "Quarterly report 日本語 한국어 😀 Ünïcödé"

func (e *Engine) do(t testing.TB, name string, content []byte, target transform.Target) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var b bytes.Buffer
	err := transform.Set{transform.Native{}, e}.Convert(ctx, transform.Source{ReaderAt: bytes.NewReader(content), Name: name, Size: int64(len(content))}, target, &b)
	return b.Bytes(), err
}

func (e *Engine) must(t testing.TB, name string, content []byte, target transform.Target) []byte {
	t.Helper()
	b, err := e.do(t, name, content, target)
	if err != nil {
		t.Fatalf("%s to %s: %v", name, target.Type, err)
	}
	return b
}

// pdf returns the text of a PDF and its number of pages.
func pdf(t testing.TB, b []byte) (text string, pages int) {
	t.Helper()
	needs.Program(t, "pdftotext")
	needs.Program(t, "pdfinfo")
	name := filepath.Join(t.TempDir(), "x.pdf")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("pdftotext", name, "-").Output()
	if err != nil {
		t.Fatalf("pdftotext: %v", err)
	}
	info, err := exec.Command("pdfinfo", name).Output()
	if err != nil {
		t.Fatalf("pdfinfo: %v", err)
	}
	m := regexp.MustCompile(`Pages:\s+(\d+)`).FindSubmatch(info)
	if m == nil {
		t.Fatalf("%s", info)
	}
	for _, c := range m[1] {
		pages = 10*pages + int(c-'0')
	}
	return string(out), pages
}

// TestConversions makes documents of every kind, and of each what people ask for:
// the words survive, the pages are as many as there were.
func TestConversions(t *testing.T) {
	e := open(t, Options{Workers: 1})
	text := []byte(words + "\n\nsecond paragraph\n")
	sheet := []byte("name,amount\n\"" + words + "\",12\n")
	docs := map[string][]byte{"a.txt": text, "a.csv": sheet}
	docs["a.docx"] = e.must(t, "a.txt", text, transform.Target{Type: transform.DOCX})
	docs["a.odt"] = e.must(t, "a.docx", docs["a.docx"], transform.Target{Type: transform.ODT})
	docs["a.xlsx"] = e.must(t, "a.csv", sheet, transform.Target{Type: transform.XLSX})
	docs["a.ods"] = e.must(t, "a.xlsx", docs["a.xlsx"], transform.Target{Type: transform.ODS})
	docs["a.odp"] = deck(t, 3)
	docs["a.pptx"] = e.must(t, "a.odp", docs["a.odp"], transform.Target{Type: transform.PPTX})
	docs["a.rtf"] = []byte(`{\rtf1\ansi\uc1 Quarterly report \u26085?\u26412?\u-30002? \'dcn\'efc\'f6d\'e9\par second paragraph}`)
	for name, content := range docs {
		t.Run(name, func(t *testing.T) {
			made, pages := pdf(t, e.must(t, name, content, transform.Target{Type: transform.PDF}))
			if want := map[bool]int{true: 3, false: 1}[strings.HasSuffix(name, "p") || strings.HasSuffix(name, ".pptx")]; pages != want {
				t.Errorf("%d pages, not %d", pages, want)
			}
			plain := string(e.must(t, name, content, transform.Target{Type: transform.Text}))
			html := string(e.must(t, name, content, transform.Target{Type: transform.HTML}))
			wants := []string{"Quarterly report", "日本語", "Ünïcödé", "😀"}
			if name == "a.rtf" {
				wants = []string{"Quarterly report", "日本", "Ünïcödé"}
			}
			for _, w := range wants {
				if !strings.Contains(plain, w) {
					t.Errorf("the text lacks %q: %q", w, plain)
				}
				if !strings.Contains(html, w) {
					t.Errorf("the HTML lacks %q", w)
				}
				// Pictures of characters need a font that has them.
				if w != "😀" && !strings.Contains(made, w) && (w == "Quarterly report" || fonts(t)) {
					t.Errorf("the PDF lacks %q: %q", w, made)
				}
			}
			img, err := png.DecodeConfig(bytes.NewReader(e.must(t, name, content, transform.Target{Type: transform.PNG, Width: 320})))
			if err != nil || img.Width != 320 {
				t.Errorf("the picture: %+v %v", img, err)
			}
		})
	}
	t.Run("a page", func(t *testing.T) {
		first := e.must(t, "a.pptx", docs["a.pptx"], transform.Target{Type: transform.PNG, Width: 200})
		second := e.must(t, "a.pptx", docs["a.pptx"], transform.Target{Type: transform.PNG, Width: 200, Page: 2})
		if bytes.Equal(first, second) {
			t.Error("the second page is the first")
		}
		if _, err := e.do(t, "a.pptx", docs["a.pptx"], transform.Target{Type: transform.PNG, Page: 9}); !final(err) {
			t.Errorf("a page that is not there: %v", err)
		}
	})
	t.Run("as by hand", func(t *testing.T) {
		dir := t.TempDir()
		in := filepath.Join(dir, "a.docx")
		if err := os.WriteFile(in, docs["a.docx"], 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(needs.Program(t, "soffice"), "-env:UserInstallation="+fileURL(filepath.Join(dir, "profile")), "--headless", "--convert-to", "pdf", "--outdir", dir, in)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("%v %s", err, out) // its exit code says nothing
		}
		b, err := os.ReadFile(filepath.Join(dir, "a.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		hand, n := pdf(t, b)
		ours, m := pdf(t, e.must(t, "a.docx", docs["a.docx"], transform.Target{Type: transform.PDF}))
		if hand != ours || n != m {
			t.Errorf("%q on %d pages, by hand %q on %d", ours, m, hand, n)
		}
	})
}

// fonts says whether there is one with Japanese characters.
func fonts(t testing.TB) bool {
	out, err := exec.Command("fc-list", ":lang=ja").Output()
	has := err == nil && len(bytes.TrimSpace(out)) > 0
	if !has && os.Getenv("CI") != "" {
		t.Error("no font has Japanese characters: install fonts-droid-fallback")
	}
	return has
}

func final(err error) bool { return errors.As(err, new(*transform.SourceError)) }

// TestPoison: what cannot be converted fails with a reason, what takes too long is
// killed with all that it has started, and the engine works on.
func TestPoison(t *testing.T) {
	e := open(t, Options{Workers: 1})
	good := e.must(t, "a.txt", []byte("good"), transform.Target{Type: transform.DOCX})
	for what, try := range map[string][]byte{"cut off": good[:len(good)/2], "noise": bytes.Repeat([]byte{1, 2, 0, 3}, 1000), "nothing": nil} {
		if _, err := e.do(t, "a.docx", try, transform.Target{Type: transform.PDF}); !final(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	err := e.Convert(ctx, "docx", transform.Source{ReaderAt: bytes.NewReader(good), Size: int64(len(good))}, transform.Target{Type: transform.PDF}, &bytes.Buffer{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("too long: %v", err)
	}
	if left := processes(e.folder); left != "" {
		t.Errorf("these still run:\n%s", left)
	}
	if _, err := e.do(t, "a.docx", good, transform.Target{Type: transform.PDF}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	list, err := os.ReadDir(e.folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.Name() != "lock" && !strings.HasPrefix(d.Name(), "pattern-") {
			t.Errorf("it leaves %s behind", d.Name())
		}
	}
}

// TestProtected: of what a password protects nothing is made.
func TestProtected(t *testing.T) {
	e := open(t, Options{})
	for _, name := range []string{"locked.docx", "locked.odt"} {
		if b, err := e.do(t, name, testdata(t, name), transform.Target{Type: transform.PDF}); !final(err) || !strings.Contains(err.Error(), "password") {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}

// TestMacro: a document whose macro never ends is converted without running it.
func TestMacro(t *testing.T) {
	e := open(t, Options{})
	if text, _ := pdf(t, e.must(t, "loop.odt", testdata(t, "loop.odt"), transform.Target{Type: transform.PDF})); !strings.Contains(text, "Words of a looping document") {
		t.Errorf("%q", text)
	}
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFolders: what a killed engine left is removed by the next; one that lives
// keeps its own.
func TestFolders(t *testing.T) {
	parent := t.TempDir()
	alive := open(t, Options{Folder: parent})
	killed := open(t, Options{Folder: parent})
	if err := killed.lock.Close(); err != nil { // as the system does when a process ends
		t.Fatal(err)
	}
	killed.lock = nil
	other := filepath.Join(parent, prefix+"of-somebody-else")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, Options{Folder: parent})
	for folder, want := range map[string]bool{alive.folder: true, killed.folder: false, other: true} {
		if missing(folder) == want {
			t.Errorf("%s is there: %v", folder, !want)
		}
	}
}

// TestLimits: memory and output are bounded.
func TestLimits(t *testing.T) {
	small := open(t, Options{Memory: 64 << 20})
	if _, err := small.do(t, "a.html", []byte("<p>text"), transform.Target{Type: transform.PDF}); err == nil {
		t.Error("it converts in 64 MiB")
	}
	short := open(t, Options{Output: 4 << 10})
	if _, err := short.do(t, "a.html", []byte("<p>text"), transform.Target{Type: transform.PDF}); err == nil {
		t.Error("it writes more than 4 KiB")
	}
}

// TestRoom: a process that writes many files, each small enough, is killed.
func TestRoom(t *testing.T) {
	e := open(t, Options{Output: 64 << 10})
	e.program = "/bin/sh"
	dir := t.TempDir()
	begin := time.Now()
	_, err := e.run(t.Context(), dir, "-c", "i=0; while :; do head -c 32768 /dev/zero > $i; i=$((i+1)); sleep 0.01; done")
	if !errors.Is(err, errRoom) || time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// TestOffline: a document whose pictures are elsewhere reaches nothing; without the
// limits it does, so it would be seen.
func TestOffline(t *testing.T) {
	var asked atomic.Int64
	away := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer away.Close()
	e := open(t, Options{})
	if !e.Offline() {
		needs.Missing(t, "this system lets no process do without a network: run this as root, or where user namespaces are allowed")
	}
	doc := []byte(`<html><body><p>text</p><img src="` + away.URL + `/a.png"></body></html>`)
	for _, online := range []bool{false, true} {
		if online {
			e.attr = syscall.SysProcAttr{Setpgid: true}
			// Settings of its own, by which links are followed.
			if err := os.Remove(filepath.Join(e.pattern, "user", "registrymodifications.xcu")); err != nil {
				t.Fatal(err)
			}
		}
		asked.Store(0)
		_, err := e.do(t, "a.html", doc, transform.Target{Type: transform.PDF})
		if !online && err != nil {
			t.Error(err)
		}
		if got := asked.Load() > 0; got != online {
			t.Errorf("online %v: it asked %d times, %v", online, asked.Load(), err)
		}
	}
}

// TestWorkers: several convert at the same time, each with a profile of its own.
func TestWorkers(t *testing.T) {
	e := open(t, Options{Workers: 2})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := e.do(t, "a.html", []byte("<p>"+words), transform.Target{Type: transform.PDF}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// BenchmarkDocuments converts a document as this package does, and as one would by
// hand with the same number of processes.
func BenchmarkDocuments(b *testing.B) {
	e := open(b, Options{Workers: 2})
	doc := e.must(b, "a.txt", []byte(strings.Repeat(words+"\n\n", 50)), transform.Target{Type: transform.DOCX})
	const n = 12
	both := func(f func(worker int)) time.Duration {
		t := time.Now()
		var all sync.WaitGroup
		for w := range 2 {
			all.Go(func() {
				for range n / 2 {
					f(w)
				}
			})
		}
		all.Wait()
		return time.Since(t)
	}
	dir := b.TempDir()
	in := filepath.Join(dir, "a.docx")
	if err := os.WriteFile(in, doc, 0o600); err != nil {
		b.Fatal(err)
	}
	hand := func(w int) {
		out := filepath.Join(dir, string(rune('a'+w)))
		_ = exec.Command(needs.Program(b, "soffice"), "-env:UserInstallation="+fileURL(out+"-profile"), "--headless", "--convert-to", "pdf", "--outdir", out, in).Run() // its exit code says nothing
		if missing(filepath.Join(out, "a.pdf")) {
			b.Error("nothing was made by hand")
		}
	}
	ours := func(int) { e.must(b, "a.docx", doc, transform.Target{Type: transform.PDF}) }
	both(hand) // profiles are made
	both(ours)
	for b.Loop() {
		byHand, byUs := both(hand), both(ours)
		b.ReportMetric(n/byHand.Seconds(), "by-hand/s")
		b.ReportMetric(n/byUs.Seconds(), "ours/s")
		b.ReportMetric(byHand.Seconds()/byUs.Seconds(), "ratio")
	}
}
