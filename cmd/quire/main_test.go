package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/quire-docs/quire/internal/needs"
)

// TestMain lets the tests run the real program: this test's own binary, under
// its name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"quire": main, "static": static})
}

// TestScripts runs the scripts in testdata/script, each with a server of its
// own. See testdata/script/README for what they can use.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("QUIRE_DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start":  startServer,
			"kill":   killServer,
			"random": randomFile,
			"damage": damageFile,
			"deck":   deckFile,
			"gettoken": func(ts *testscript.TestScript, neg bool, args []string) {
				out, err := command(ts, "token", "create", "--user", args[0], "--scope", args[1])
				if err != nil {
					ts.Fatalf("token: %v %s", err, out)
				}
				ts.Setenv("QUIRE_TOKEN", strings.TrimSpace(out))
			},
		},
	})
}

// startServer is the script command 'start': it runs a server until the script
// ends, and sets QUIRE_SERVER.
func startServer(ts *testscript.TestScript, _ bool, args []string) {
	s, err := launch(ts.Getenv("QUIRE_DATA"), args...)
	if err != nil {
		ts.Fatalf("start: %v", err)
	}
	ts.Setenv("QUIRE_SERVER", s.url)
	ts.Setenv("QUIRE_PUBLIC_URL", s.url)
	running.Store(ts.Getenv("QUIRE_DATA"), s)
	ts.Defer(func() { s.kill() })
}

// running has each script's server, a *process, by its data folder.
var running sync.Map

// killServer is the script command 'kill': the server ends at once, as by
// SIGKILL.
func killServer(ts *testscript.TestScript, _ bool, _ []string) {
	s, ok := running.Load(ts.Getenv("QUIRE_DATA"))
	if !ok {
		ts.Fatalf("kill: no server was started")
	}
	s.(*process).kill()
}

// randomFile is the script command 'random FILE BYTES'.
func randomFile(ts *testscript.TestScript, _ bool, args []string) {
	var n int64
	if _, err := fmt.Sscan(args[1], &n); err != nil {
		ts.Fatalf("random: %v", err)
	}
	f, err := os.Create(ts.MkAbs(args[0]))
	if err != nil {
		ts.Fatalf("random: %v", err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, newNoise(n), n); err != nil {
		ts.Fatalf("random: %v", err)
	}
}

// damageFile is the script command 'damage DIR': it changes a byte of the first
// segment or catalog in a folder.
func damageFile(ts *testscript.TestScript, _ bool, args []string) {
	var first string
	err := filepath.WalkDir(ts.MkAbs(args[0]), func(name string, d os.DirEntry, err error) error {
		segment := strings.Contains(name, "segments") && strings.HasSuffix(args[0], "segments")
		if err == nil && first == "" && d.Type().IsRegular() && (segment || strings.HasPrefix(d.Name(), "catalog-")) {
			first = name
		}
		return err
	})
	if err != nil || first == "" {
		ts.Fatalf("damage: no file, %v", err)
	}
	text, err := os.ReadFile(first)
	if err == nil {
		text[len(text)/2] ^= 1
		err = errors.Join(os.Remove(first), os.WriteFile(first, text, 0o600))
	}
	if err != nil {
		ts.Fatalf("damage: %v", err)
	}
}

// deckFile is the script command 'deck FILE TEXT': a presentation of 100 slides
// with pictures, some 10 MB, with a text on one slide.
func deckFile(ts *testscript.TestScript, _ bool, args []string) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, method uint16, r io.Reader) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = io.Copy(w, r)
		}
		if err != nil {
			ts.Fatalf("deck: %v", err)
		}
	}
	add("[Content_Types].xml", zip.Deflate, strings.NewReader("<Types/>"))
	for i := range 100 {
		text := fmt.Sprintf("<slide>%d %s</slide>", i, strings.Repeat("text ", 500))
		if i == 42 {
			text += args[1]
		}
		add(fmt.Sprintf("ppt/slides/slide%d.xml", i), zip.Deflate, strings.NewReader(text))
		add(fmt.Sprintf("ppt/media/image%d.png", i), zip.Store, io.LimitReader(newNoise(int64(i)), 100_000))
	}
	if err := z.Close(); err != nil {
		ts.Fatalf("deck: %v", err)
	}
	if err := os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600); err != nil {
		ts.Fatalf("deck: %v", err)
	}
}

func command(ts *testscript.TestScript, args ...string) (string, error) {
	bin, err := exec.LookPath("quire")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "QUIRE_DATA="+ts.Getenv("QUIRE_DATA"))
	out, err := cmd.Output()
	return string(out), err
}

// process is a real server.
type process struct {
	url    string
	listen string // the address
	admin  string // that of the operators' listener
	data   string
	cmd    *exec.Cmd
	log    *strings.Builder
	done   chan struct{}
}

// launch starts a server on a free port and waits for its ready line.
func launch(data string, args ...string) (*process, error) { return launchWith(nil, data, args...) }

// launchWith is launch with more in the environment.
func launchWith(env []string, data string, args ...string) (*process, error) {
	bin, err := exec.LookPath("quire")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), bin, append([]string{"--json", "serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "QUIRE_DATA="+data, "QUIRE_ADMIN_PASSWORD=correct horse", "QUIRE_LOG_LEVEL=warn")
	cmd.Env = append(cmd.Env, env...)
	log := new(strings.Builder)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &process{data: data, cmd: cmd, log: log, done: make(chan struct{})}
	line := make(chan string, 1)
	go func() {
		defer close(s.done)
		in := bufio.NewReader(out)
		text, _ := in.ReadString('\n')
		line <- text
		_, _ = io.Copy(io.Discard, in)
		_ = cmd.Wait()
	}()
	select {
	case text := <-line:
		var ready struct {
			Ready  bool   `json:"ready"`
			URL    string `json:"url"`
			Listen string `json:"listen"`
			Admin  string `json:"admin"`
		}
		if err := json.Unmarshal([]byte(text), &ready); err != nil || !ready.Ready {
			<-s.done
			return nil, fmt.Errorf("no ready line: %q %s", text, log)
		}
		s.url, s.listen, s.admin = ready.URL, ready.Listen, ready.Admin
		return s, nil
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("the server did not start: %s", log)
	}
}

func (s *process) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// stop ends a server in order, as an operator does.
func (s *process) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.done
}

// resident is how much memory the server takes, in bytes.
func (s *process) resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		needs.Missing(t, "only Linux tells in /proc how much memory a process takes: %v", err)
	}
	var all, pages int64
	if _, err := fmt.Sscan(string(b), &all, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// newNoise returns bytes that no two sizes share and that do not compress.
func newNoise(seed int64) io.Reader { return &noise{x: uint64(seed)*2862933555777941757 + 3037000493} }

type noise struct{ x uint64 }

func (r *noise) Read(p []byte) (int, error) {
	for i := range p {
		r.x ^= r.x << 13
		r.x ^= r.x >> 7
		r.x ^= r.x << 17
		p[i] = byte(r.x >> 32)
	}
	return len(p), nil
}

// serveOn starts a server on a free port until the test ends.
func serveOn(t *testing.T, s *http.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }() // until it is closed
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String()
}

func decode(text string, v any) error { return json.Unmarshal([]byte(text), v) }
