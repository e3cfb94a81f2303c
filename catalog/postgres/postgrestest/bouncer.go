package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bouncer is a running PgBouncer in front of a Server. It lends its few
// connections for single transactions.
type Bouncer struct {
	folder string
	life   io.Closer // closing it ends the program
	done   chan error
}

// StartBouncer starts a PgBouncer in transaction mode. It ends when Close is
// called or when this process has ended.
func (s *Server) StartBouncer() (*Bouncer, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian has it, beyond the PATH of most
		if _, err := os.Stat(program); err != nil {
			return nil, errors.New("PgBouncer is missing: install it (apt-get install pgbouncer) and run the test again")
		}
	}
	folder, err := os.MkdirTemp(s.folder, "bouncer")
	if err == nil {
		err = os.Chmod(folder, 0o755) // it may run as another user
	}
	if err != nil {
		return nil, err
	}
	b := &Bouncer{folder: folder, done: make(chan error, 1)}
	files := map[string]string{
		"users": `"quire" ""` + "\n",
		"ini": fmt.Sprintf(`[databases]
* = host=%s
[pgbouncer]
pool_mode = transaction
default_pool_size = 10
max_client_conn = 400
listen_addr =
unix_socket_dir = %[2]s
auth_type = trust
auth_file = %[2]s/users
logfile = %[2]s/log
`, s.folder, b.folder),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.folder, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if s.cred != nil {
		if err := os.Chown(b.folder, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	c := s.command("/bin/sh", "-c", `exec 3<&0; "$0" -q "$1" </dev/null 3<&- & pid=$!; cat <&3 >/dev/null; kill $pid; wait $pid`, program, filepath.Join(b.folder, "ini"))
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.Stdin = in
	err = c.Start()
	in.Close()
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	b.life = out
	go func() { b.done <- c.Wait() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, b.URL("postgres"))
		if err == nil {
			return b, conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(filepath.Join(b.folder, "log"))
			return nil, errors.Join(fmt.Errorf("PgBouncer does not answer: %w: %s", err, text), b.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL is where a database of the server is, by way of PgBouncer.
func (b *Bouncer) URL(database string) string {
	return "postgres://quire@/" + database + "?port=6432&default_query_exec_mode=exec&host=" + url.QueryEscape(b.folder)
}

// Close ends the program.
func (b *Bouncer) Close() error {
	err := b.life.Close()
	<-b.done // it was told to end, by a signal
	return err
}
