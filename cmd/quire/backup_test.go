package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/quire-docs/quire/blob/blobtest"
	"github.com/quire-docs/quire/blob/s3/s3test"
)

// TestMoveToS3AndBack: the copy of a store, with its bytes in a bucket, and a
// copy of that in a folder again have the content of the first.
func TestMoveToS3AndBack(t *testing.T) {
	server := s3test.Start(t)
	work := t.TempDir()
	content := filepath.Join(work, "content")
	if err := os.WriteFile(content, blobtest.Bytes(1, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	quire := func(env []string, args ...string) string {
		t.Helper()
		cmd := exec.Command("quire", args...)
		cmd.Env = append(append(os.Environ(), server.Environment()...), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	name := func(s string) string { return filepath.Join(work, s) }
	url := server.URL("moved")
	first, err := launch(name("first"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.kill)
	data := []string{"QUIRE_DATA=" + name("first")}
	token := quire(data, "token", "create", "--user", "admin", "--scope", "write")
	quire(append(data, "QUIRE_SERVER="+first.url, "QUIRE_TOKEN="+string(bytes.TrimSpace([]byte(token)))), "put", content, "/a.bin")

	var sums []string
	quire(data, "backup", "--to-blobs", url, name("bucket"))
	inBucket := []string{"QUIRE_DATA=" + name("bucket"), "QUIRE_BLOBS=" + url}
	quire(inBucket, "backup", name("back"))
	for _, env := range [][]string{data, inBucket, {"QUIRE_DATA=" + name("back")}} {
		sums = append(sums, quire(env, "fsck"))
	}
	if want := fmt.Sprint([]string{sums[0], sums[0], sums[0]}); fmt.Sprint(sums) != want || !bytes.HasPrefix([]byte(sums[0]), []byte("clean: ")) {
		t.Errorf("fsck of the three: %q", sums)
	}
	if left, err := os.ReadDir(filepath.Join(name("bucket"), "blobs")); err == nil {
		t.Errorf("the copy whose bytes are in the bucket has a folder of them: %v", left)
	}
}

// TestBackupUnderLoad: backups that are made while files are saved are clean,
// and each has a prefix of what one client saved: it equals some moment.
func TestBackupUnderLoad(t *testing.T) {
	work := t.TempDir()
	first, err := launch(filepath.Join(work, "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.kill)
	run := func(env []string, args ...string) (string, error) {
		cmd := exec.Command("quire", args...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(bytes.TrimSpace(out)), err
	}
	data := []string{"QUIRE_DATA=" + first.data}
	token, err := run(data, "token", "create", "--user", "admin", "--scope", "write")
	if err != nil {
		t.Fatal(token, err)
	}
	client := []string{"QUIRE_SERVER=" + first.url, "QUIRE_TOKEN=" + token}
	file := filepath.Join(work, "file")
	if err := os.WriteFile(file, blobtest.Bytes(2, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			if out, err := run(client, "put", file, fmt.Sprintf("/f%04d", i)); err != nil {
				done <- fmt.Errorf("%w: %s", err, out)
				return
			}
			if i == 3 {
				close(begun)
			}
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
		}
	}()
	select {
	case <-begun:
	case err := <-done:
		t.Fatal(err)
	}
	for range 3 {
		to := filepath.Join(work, "backup")
		if out, err := run(data, "backup", to); err != nil {
			t.Fatal(out, err)
		}
		if out, err := run([]string{"QUIRE_DATA=" + to}, "fsck"); err != nil {
			t.Fatal(out, err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	second, err := launch(filepath.Join(work, "backup"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.kill)
	list, err := run([]string{"QUIRE_SERVER=" + second.url, "QUIRE_TOKEN=" + token}, "ls", "/")
	if err != nil {
		t.Fatal(list, err)
	}
	n := bytes.Count([]byte(list), []byte("f0"))
	if n < 4 {
		t.Errorf("the backup has %d files, at least 4 were saved before it:\n%s", n, list)
	}
	for i := range n {
		if !bytes.Contains([]byte(list), fmt.Appendf(nil, "f%04d", i)) {
			t.Errorf("the backup has %d files, but lacks f%04d, which was saved before others", n, i)
		}
	}
}
