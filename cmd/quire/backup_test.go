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
