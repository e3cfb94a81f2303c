// Package s3test runs a real S3 server for tests: versitygw over a temporary
// folder, built from the version that the module in gateway pins.
package s3test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The settings that every server has.
const (
	AccessKey = "quire-test"
	SecretKey = "quire-test-secret"
	Region    = "eu-test-1"
	Bucket    = "documents"
)

// Server is a running S3 server with one empty bucket.
type Server struct {
	Endpoint string // http://127.0.0.1:port
	Folder   string // the bucket: each object is a file in it
	addr     string
	program  string
	args     []string
	cmd      *exec.Cmd
	output   *os.File
}

// Start builds a server, if it has not been built on this machine, and runs it
// until the test ends. What cannot be built or started fails the test. flags go
// before the server's backend.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	program, err := Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(root, Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &Server{program: program, Folder: filepath.Join(root, Bucket)}
	if s.addr, err = freeAddress(); err != nil {
		t.Fatal(err)
	}
	s.Endpoint = "http://" + s.addr
	s.args = append([]string{"--access", AccessKey, "--secret", SecretKey, "--region", Region, "--port", s.addr, "--quiet"}, flags...)
	s.args = append(s.args, "posix")
	if syscall.Setxattr(root, "user.quire", []byte("x"), 0) != nil {
		// The folder's file system has no attributes.
		side := filepath.Join(dir, "side")
		if err := os.Mkdir(side, 0o700); err != nil {
			t.Fatal(err)
		}
		s.args = append(s.args, "--sidecar", side)
	}
	s.args = append(s.args, root)
	if s.output, err = os.Create(filepath.Join(dir, "output")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		s.output.Close()
		if t.Failed() {
			text, _ := os.ReadFile(s.output.Name())
			t.Logf("the S3 server said: %.4000s", text)
		}
	})
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// Run starts a server that has been stopped and waits until it answers.
func (s *Server) Run(ctx context.Context) error {
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the S3 server does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// Stop kills the server; what it has stored stays.
func (s *Server) Stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // it was killed
		s.cmd = nil
	}
}

// URL is the server's bucket with a prefix, as in QUIRE_BLOBS.
func (s *Server) URL(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=%s", Bucket, prefix, s.Endpoint, Region)
}

// Credentials are those of the server's administrator.
func (s *Server) Credentials() *credentials.Credentials {
	return credentials.NewStaticV4(AccessKey, SecretKey, "")
}

// Environment has the variables by which a program finds the credentials.
func (s *Server) Environment() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey}
}

// Client is a client of the server, for looking at what is stored.
func (s *Server) Client(t testing.TB) *minio.Core {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	c, err := minio.NewCore(s.addr, &minio.Options{Creds: s.Credentials(), Region: Region, Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// freeAddress finds a port that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Build builds the server and returns the program's path. The Go tool's cache
// makes that quick the second time.
func Build(ctx context.Context) (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("the source of package s3test is not known")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "quire-test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "versitygw-1.8.0")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	tmp := fmt.Sprintf("%s.%d", program, os.Getpid())
	cmd := exec.CommandContext(ctx, "go", "build", "-o", tmp, "github.com/versity/versitygw/cmd/versitygw")
	cmd.Dir = filepath.Join(filepath.Dir(file), "gateway")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the S3 server for tests: %w\n%s", err, out)
	}
	return program, os.Rename(tmp, program)
}
