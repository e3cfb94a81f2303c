package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quire-docs/quire/blob/blobtest"
)

// importing is a server, and a folder to import.
type importing struct {
	*caller
	folder string
	data   string
}

func startImport(t *testing.T) *importing {
	t.Helper()
	s, err := launchWith([]string{"QUIRE_LIBREOFFICE=off"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	cmd := exec.Command("quire", "token", "create", "--user", "admin", "--scope", "write")
	cmd.Env = append(os.Environ(), "QUIRE_DATA="+s.data)
	token, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return &importing{&caller{t, s.url, strings.TrimSpace(string(token))}, t.TempDir(), s.data}
}

func (m *importing) write(name string, content []byte, changed time.Time) {
	m.t.Helper()
	file := filepath.Join(m.folder, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Chtimes(file, changed, changed); err != nil {
		m.t.Fatal(err)
	}
}

func (m *importing) command(args ...string) *exec.Cmd {
	cmd := exec.Command("quire", append([]string{"--json", "import", m.folder}, args...)...)
	cmd.Env = append(os.Environ(), "QUIRE_SERVER="+m.url, "QUIRE_TOKEN="+m.token, "XDG_CACHE_HOME="+m.data)
	return cmd
}

// run imports and returns what it says and the exit code.
func (m *importing) run(args ...string) (sum imported, code int) {
	m.t.Helper()
	cmd := m.command(args...)
	var diagnostics bytes.Buffer
	cmd.Stderr = &diagnostics
	out, _ := cmd.Output() // the code tells
	if err := json.Unmarshal(out, &sum); err != nil {
		m.t.Fatalf("import %v: %q %s", args, out, diagnostics.String())
	}
	return sum, cmd.ProcessState.ExitCode()
}

func (m *importing) stat(path string) (d struct {
	Bytes    int64   `json:"bytes"`
	Revision int64   `json:"revision"`
	Modified float64 `json:"modified"`
	Client   float64 `json:"client_modified"`
	IsDir    bool    `json:"is_dir"`
}) {
	m.t.Helper()
	if err := json.Unmarshal(m.must("GET", "content/metadata", url.Values{"path": {path}}, nil), &d); err != nil {
		m.t.Error(err)
	}
	return d
}

// paths are those of remarks.
func paths(list []remark) (names []string) {
	for _, r := range list {
		names = append(names, r.Path)
	}
	return names
}

// TestImport: a folder arrives as it is, with its times; what cannot arrive is
// told; a second run sends nothing, and overwrites nothing.
func TestImport(t *testing.T) {
	m := startImport(t)
	day := time.Date(2019, 3, 4, 5, 6, 7, 891_000_000, time.UTC)
	m.write("a.txt", []byte("a"), day)
	m.write("empty", nil, day.Add(time.Hour))
	m.write("sub/ö €/deep.bin", blobtest.Bytes(1, 100_000), day.Add(time.Second))
	m.write("sub/large.bin", blobtest.Bytes(2, 9<<20), day.Add(2*time.Second))
	m.write("before", []byte("old"), time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC))
	m.write("bad:name", []byte("x"), day)
	m.write("bad. /below", []byte("x"), day)
	m.write("Same.txt", []byte("one"), day)
	m.write("same.TXT", []byte("two"), day)
	if err := os.Symlink("a.txt", filepath.Join(m.folder, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub", filepath.Join(m.folder, "sublink")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(m.folder, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(m.folder, "nothing in it"), 0o700); err != nil {
		t.Fatal(err)
	}
	const size = 1 + 0 + 100_000 + 9<<20 + 3 + 3
	failed, left := []string{"bad. ", "bad:name", "same.TXT"}, []string{"link", "pipe", "sublink"}

	sum, code := m.run("--to", "/x/y", "--dry-run")
	if sum.Sent != 6 || sum.Bytes != size || !slices.Equal(paths(sum.Failed), failed) || code != 1 {
		t.Errorf("a rehearsal: %d %+v", code, sum)
	}
	if status, _ := m.do("GET", "content/metadata", url.Values{"path": {"/x"}}, nil); status != 404 {
		t.Errorf("a rehearsal has made a folder: %d", status)
	}
	sum, code = m.run("--to", "/x/y")
	if sum.Sent != 6 || sum.Bytes != size || sum.Folders != 5 || !slices.Equal(paths(sum.Failed), failed) || !slices.Equal(paths(sum.LeftOut), left) || code != 1 {
		t.Errorf("import: %d %+v", code, sum)
	}
	for name, want := range map[string]time.Time{"/x/y/a.txt": day, "/x/y/empty": day.Add(time.Hour), "/x/y/sub/ö €/deep.bin": day.Add(time.Second), "/x/y/sub/large.bin": day.Add(2 * time.Second)} {
		d := m.stat(name)
		if got := int64(math.Round(d.Client * 1000)); got != want.UnixMilli() || d.Revision != 1 {
			t.Errorf("%s: changed at %d, want %d; revision %d", name, got, want.UnixMilli(), d.Revision)
		}
		if time.Since(time.UnixMilli(int64(d.Modified*1000))) > time.Hour {
			t.Errorf("%s: the server's own time is not that of the save", name)
		}
	}
	if d := m.stat("/x/y/before"); d.Client != 0 {
		t.Errorf("a time before 1970 became %v", d.Client)
	}
	if !m.stat("/x/y/nothing in it").IsDir {
		t.Error("an empty folder is no folder")
	}
	for name, content := range map[string][]byte{"a.txt": []byte("a"), "empty": {}, "sub/large.bin": blobtest.Bytes(2, 9<<20), "Same.txt": []byte("one"), "before": []byte("old")} {
		if got := m.get("/x/y/" + name); !bytes.Equal(got, content) {
			t.Errorf("%s has %d other bytes", name, len(got))
		}
	}

	for _, name := range append(failed[:2:2], "same.TXT") {
		if err := os.RemoveAll(filepath.Join(m.folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if sum, code = m.run("--to", "/x/y"); sum.Sent != 0 || sum.Same != 6 || sum.Folders != 0 || code != 0 {
		t.Errorf("again: %d %+v", code, sum)
	}

	// What differs is not overwritten, unless that is asked for; what only has
	// another time is the same.
	m.write("a.txt", []byte("b"), day.Add(time.Minute))
	m.write("before", []byte("older"), day)
	m.write("empty", nil, day)
	m.write("new", []byte("new"), day)
	sum, code = m.run("--to", "/x/y")
	if sum.Sent != 1 || sum.Same != 4 || !slices.Equal(paths(sum.Failed), []string{"a.txt", "before"}) || code != 1 || string(m.get("/x/y/a.txt")) != "a" {
		t.Errorf("with other content: %d %+v", code, sum)
	}
	sum, code = m.run("--to", "/x/y", "--replace")
	if sum.Sent != 2 || sum.Same != 5 || code != 0 || string(m.get("/x/y/a.txt")) != "b" || m.stat("/x/y/a.txt").Revision != 2 {
		t.Errorf("with --replace: %d %+v", code, sum)
	}

	// A folder where the server has a file, and the other way round.
	m.write("a.txt.d/x", nil, day)
	m.must("PUT", "file/put", url.Values{"path": {"/x/y/a.txt.d"}}, []byte("a file"))
	if sum, code = m.run("--to", "/x/y"); code != 1 || !slices.Equal(paths(sum.Failed), []string{"a.txt.d"}) {
		t.Errorf("a folder over a file: %d %+v", code, sum)
	}
	for _, bad := range []struct {
		args []string
		says string
		code int
	}{
		{[]string{"--to", "/x/y/a.txt"}, "there is a file of that name", 2},
		{[]string{"--token", "qt_wrong"}, "import: ", 1},
		{[]string{"--parallel", "0"}, "use a number from 1", 2},
		{[]string{"--server", "ftp://x"}, "is no server", 2},
	} {
		cmd := m.command(bad.args...)
		out, _ := cmd.CombinedOutput() // the code tells
		if cmd.ProcessState.ExitCode() != bad.code || !strings.Contains(string(out), bad.says) {
			t.Errorf("%v: %d %s", bad.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// TestImportKilled: an import that is killed goes on, and sends no file twice.
func TestImportKilled(t *testing.T) {
	m := startImport(t)
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	const files = 150
	for i := range files {
		m.write(fmt.Sprintf("d%d/f%03d", i%7, i), blobtest.Bytes(uint64(i), 1000+70_000*(i%2)), day.Add(time.Duration(i)*time.Second))
	}
	have := func() (n int) {
		for d := range 7 {
			if status, _ := m.do("GET", "content/metadata", url.Values{"path": {fmt.Sprintf("/d%d", d)}}, nil); status == 200 {
				n += len(m.names(fmt.Sprintf("/d%d", d)))
			}
		}
		return n
	}
	kills, before := 0, 0
	for ; kills < 3; kills++ {
		cmd := m.command()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		soon(t, func() bool { return have() > before })
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if before = have(); before >= files {
			t.Fatal("it was over before it was killed")
		}
	}
	sum, code := m.run()
	if code != 0 || sum.Same < before || sum.Sent+sum.Same != files || sum.Sent == 0 {
		t.Errorf("%d files were there, then: %d %+v", before, code, sum)
	}
	for i := range files {
		name := fmt.Sprintf("/d%d/f%03d", i%7, i)
		if got := m.get(name); !bytes.Equal(got, blobtest.Bytes(uint64(i), 1000+70_000*(i%2))) {
			t.Errorf("%s has other content", name)
		}
		if d := m.stat(name); d.Revision != 1 || int64(math.Round(d.Client)) != day.Unix()+int64(i) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}
