// Package postgrestest starts a PostgreSQL server of its own for tests, from
// the binaries that the system has.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a running PostgreSQL server in a temporary folder. It listens on a
// socket in that folder and nowhere else.
type Server struct {
	folder string
	bin    string // the folder of the binaries
	cred   *syscall.Credential
	life   io.Closer // closing it ends the server
	done   chan error

	mu    sync.Mutex // guards the rest
	count int        // of databases
}

// Options are the settings of a Server.
type Options struct {
	// Durable makes a commit survive a crash of the machine, as it is in use.
	// Else it is quicker.
	Durable bool
}

// Start starts a new server. It ends, and its folder goes, when Close is called
// or when this process has ended, in whatever way.
func Start(opt Options) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if s.folder, err = os.MkdirTemp("", "quire-postgres-"); err != nil {
		return nil, err
	}
	if err := s.begin(opt); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.folder))
	}
	return s, nil
}

func (s *Server) begin(opt Options) error {
	var err error
	if s.cred, err = someoneElse(); err != nil {
		return err
	}
	if s.cred != nil {
		if err := os.Chown(s.folder, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return err
		}
	}
	initdb := s.command(filepath.Join(s.bin, "initdb"), "--pgdata="+s.data(), "--username=quire", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	settings := fmt.Sprintf("listen_addresses = ''\nunix_socket_directories = '%s'\nmax_connections = 200\nshared_buffers = 64MB\nautovacuum_naptime = 10s\n", s.folder)
	if !opt.Durable {
		settings += "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"
	}
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(settings)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return s.run()
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// run starts the server under a shell that ends it when its standard input,
// which this process holds the other end of, is closed.
func (s *Server) run() error {
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	const script = `"$1/postgres" -D "$2/data" & pid=$!
(while read -r line; do :; done; kill -INT $pid 2>/dev/null) <&3 3<&- &
exec 3<&-
wait $pid; kill $! 2>/dev/null; [ -e "$2/stopped" ] || rm -rf "$2"`
	c := s.command("/bin/sh", "-c", "exec 3<&0; "+script, "sh", s.bin, s.folder)
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	c.Stdin, c.Stdout, c.Stderr = in, log, log
	if err := c.Start(); err != nil {
		return errors.Join(err, in.Close(), out.Close())
	}
	in.Close()
	s.life, s.done = out, make(chan error, 1)
	done := s.done
	go func() { done <- c.Wait() }()
	return s.wait()
}

// wait waits until the server answers.
func (s *Server) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-s.done:
			text, _ := os.ReadFile(filepath.Join(s.folder, "log"))
			return fmt.Errorf("PostgreSQL does not start: %s", bytes.TrimSpace(text))
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL is where a database of the server is.
func (s *Server) URL(database string) string {
	return "postgres://quire@/" + database + "?host=" + url.QueryEscape(s.folder)
}

// Socket is the folder of the server's socket.
func (s *Server) Socket() string { return s.folder }

// New makes a new, empty database and returns its URL. One of the name
// template, if it is not empty, is copied.
func (s *Server) New(ctx context.Context, template string) (name, at string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock() // a template can be copied by one at a time
	s.count++
	name = "test" + strconv.Itoa(s.count)
	query := "CREATE DATABASE " + name
	if template != "" {
		query += " TEMPLATE " + template
	}
	return name, s.URL(name), s.Exec(ctx, query)
}

// Exec runs a statement as the administrator of the server.
func (s *Server) Exec(ctx context.Context, statement string) error {
	return s.ExecIn(ctx, "postgres", statement)
}

// ExecIn is Exec in one of the server's databases.
func (s *Server) ExecIn(ctx context.Context, database, statement string) error {
	c, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, statement)
	return errors.Join(err, c.Close(ctx))
}

// Stop ends the server without waiting for its clients, and keeps its data.
func (s *Server) Stop() error {
	if err := os.WriteFile(filepath.Join(s.folder, "stopped"), nil, 0o644); err != nil {
		return err
	}
	s.life.Close()
	<-s.done
	return nil
}

// Again starts a server that was stopped.
func (s *Server) Again() error {
	if err := os.Remove(filepath.Join(s.folder, "stopped")); err != nil {
		return err
	}
	return s.run()
}

// Close ends the server and removes its data.
func (s *Server) Close() error {
	s.life.Close()
	<-s.done
	return os.RemoveAll(s.folder)
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = s.folder
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+s.folder)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	return c
}

// someoneElse is who the server runs as where this process is root's, which it
// refuses to run as: the system's user for it, or nobody.
func someoneElse() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// binaries finds the folder with the server's programs: that of the newest
// version in Debian's place for them, or the one in the PATH.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if len(found) > 0 {
		return filepath.Dir(found[0]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("PostgreSQL is missing: install it (apt-get install postgresql) and run the test again")
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}
