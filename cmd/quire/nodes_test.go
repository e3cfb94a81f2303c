package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-docs/quire/catalog/postgres/postgrestest"
)

func startPostgres(t *testing.T) *postgrestest.Server {
	t.Helper()
	pg, err := postgrestest.Start(postgrestest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pg.Close() })
	return pg
}

// newDatabase makes an empty database and returns its name and URL.
func newDatabase(t *testing.T, pg *postgrestest.Server) (name, at string) {
	t.Helper()
	name, at, err := pg.New(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return name, at
}

// refusal starts the real server, which must not start, and returns what it says
// and its exit code.
func refusal(t *testing.T, data string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "QUIRE_DATA="+data, "QUIRE_ADMIN_PASSWORD=correct horse")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("the server started, or hangs: %v %s", err, out)
	}
	return string(out), exit.ExitCode()
}

// TestCatalogRefusals: what is wrong with the database stops the start with a
// sentence that says what to do, and without the password.
func TestCatalogRefusals(t *testing.T) {
	pg := startPostgres(t)
	exec := func(statement string) {
		t.Helper()
		if err := pg.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	readOnlyName, readOnly := newDatabase(t, pg)
	exec("ALTER DATABASE " + readOnlyName + " SET default_transaction_read_only = on")
	clockName, clock := newDatabase(t, pg)
	exec("ALTER DATABASE " + clockName + " SET search_path = ahead, public, pg_catalog")
	if err := pg.ExecIn(t.Context(), clockName, `CREATE SCHEMA ahead; CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz
		LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + interval ''10 minutes'''`); err != nil {
		t.Fatal(err)
	}
	exec("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
	exec("CREATE DATABASE rights")
	exec("CREATE ROLE guest LOGIN")
	if err := pg.ExecIn(t.Context(), "rights", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"); err != nil {
		t.Fatal(err)
	}
	exec("CREATE ROLE locked LOGIN PASSWORD 'right'")
	hba := filepath.Join(pg.Socket(), "data", "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hba, append([]byte("local all locked scram-sha-256\n"), rules...), 0o600); err != nil {
		t.Fatal(err)
	}
	exec("SELECT pg_reload_conf()")
	as := func(user, at string) string { return strings.Replace(at, "//quire@", "//"+user+"@", 1) }

	for _, test := range []struct{ name, url, say string }{
		{"another engine", "mysql://u:hush-hush@h/x", "write it like postgres://user:password@host:5432/name"},
		{"port", "postgres://u:hush-hush@h:port/x", "write it like postgres://user:password@host:5432/name"},
		{"parameter", pg.URL("postgres") + "&pool_max_conns=many", "write it like postgres://"},
		{"nobody there", "postgres://u:hush-hush@127.0.0.1:1/x", "check the host and the port, and that it is running"},
		{"password", as("locked:hush-hush", pg.URL("postgres")), "check the user and the password"},
		{"user", as("nobody", pg.URL("postgres")), "check the user and the password"},
		{"database", pg.URL("missing"), "make it (createdb), or name another one"},
		{"read-only", readOnly, "name the primary"},
		{"encoding", pg.URL("ascii"), "make one with UTF8"},
		{"rights", as("guest", pg.URL("rights")), "make it the owner of the database"},
		{"clock", clock, "set both by NTP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			said, code := refusal(t, t.TempDir(), "--catalog", test.url)
			if code != exitUsage || !strings.Contains(said, test.say) || strings.Contains(said, "hush-hush") || strings.Contains(said, "goroutine") {
				t.Errorf("exit %d: %s\nwant it to say %q, and not the password", code, said, test.say)
			}
		})
	}
}

// TestForeignBlobs: bytes of another installation are left alone.
func TestForeignBlobs(t *testing.T) {
	pg := startPostgres(t)
	_, first := newDatabase(t, pg)
	_, second := newDatabase(t, pg)
	data := t.TempDir()
	s, err := launch(data, "--catalog", first)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	for _, args := range [][]string{{"--catalog", second}, nil} {
		if said, code := refusal(t, data, args...); code != exitUsage || !strings.Contains(said, "belong to another installation") {
			t.Errorf("%v: exit %d: %s", args, code, said)
		}
	}
}

// TestNodesDiffer: nodes with different settings do not run together, and one
// that has been stopped stands in nobody's way.
func TestNodesDiffer(t *testing.T) {
	pg := startPostgres(t)
	_, at := newDatabase(t, pg)
	data := t.TempDir()
	s, err := launch(data, "--catalog", at)
	if err != nil {
		t.Fatal(err)
	}
	said, code := refusal(t, data, "--catalog", at, "--trash-life", "100h", "--public-url", "https://docs.example.org")
	for _, want := range []string{"give all nodes the same", `trash-life is "100h0m0s" here and "720h0m0s" there`, `public-url is "https://docs.example.org" here and "" there`} {
		if code != exitUsage || !strings.Contains(said, want) {
			t.Errorf("exit %d: %s\nwant it to say %q", code, said, want)
		}
	}
	same, err := launch(data, "--catalog", at)
	if err != nil {
		t.Fatalf("a node with the same settings: %v", err)
	}
	for _, n := range []*process{s, same} {
		if err := n.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		<-n.done
	}
	other, err := launch(data, "--catalog", at, "--trash-life", "100h")
	if err != nil {
		t.Fatalf("the others have stopped: %v", err)
	}
	other.kill()
}

// TestTenNodes: ten nodes start at once on an empty database, and are one server.
func TestTenNodes(t *testing.T) {
	pg := startPostgres(t)
	_, at := newDatabase(t, pg)
	data := t.TempDir()
	var nodes [10]*process
	var wait sync.WaitGroup
	for i := range nodes {
		wait.Go(func() {
			s, err := launch(data, "--catalog", at)
			if err != nil {
				t.Errorf("node %d: %v", i, err)
			}
			nodes[i] = s
		})
	}
	wait.Wait()
	for _, s := range nodes {
		if s != nil {
			defer s.kill()
		}
	}
	cmd := exec.CommandContext(t.Context(), program(t), "site", "list", "--json", "--catalog", at, "--data", data)
	if out, err := cmd.Output(); err != nil || strings.Count(string(out), `"account"`) != 1 {
		t.Errorf("%v: the sites are %s", err, out)
	}
	cmd = exec.CommandContext(t.Context(), program(t), "user", "list", "--json", "--catalog", at, "--data", data)
	if out, err := cmd.Output(); err != nil || strings.Count(string(out), `"login"`) != 1 {
		t.Errorf("%v: the users are %s", err, out)
	}
}
