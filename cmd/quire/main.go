// Command quire is the document server and its tools. It wires the parts
// together: it alone names drivers, and has no rules of its own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/quire-docs/quire"
)

// Exit codes, as documented by `quire --help`.
const (
	exitFailed  = 1 // the command failed; what it printed says why
	exitUsage   = 2 // the command line or configuration is wrong
	exitProblem = 3 // fsck or wopi check found problems
)

// version is set by the build.
var version = "dev"

const description = `Quire is a document server: one store, with the protocols that editors, scripts and clusters speak.

Settings come from a file (--config), the environment and flags, each overriding the one before.

Exit codes: 0 success, 1 the command failed, 2 wrong usage or configuration, 3 fsck or wopi check found problems.`

// commands is the whole command line.
type commands struct {
	Config kong.ConfigFlag `help:"Read settings from this file: lines of 'name = value', where names are those of the flags." placeholder:"FILE" env:"QUIRE_CONFIG"`
	JSON   bool            `help:"Print results as JSON." name:"json"`

	Serve     serveCmd     `cmd:"" help:"Run the server."`
	User      userCmd      `cmd:"" help:"Manage users. Works on the data folder, also while the server runs."`
	Site      siteCmd      `cmd:"" help:"Manage sites (tenants)."`
	Token     tokenCmd     `cmd:"" help:"Manage personal access tokens."`
	Client    clientCmd    `cmd:"" help:"Manage OAuth clients: the apps that people may let in."`
	Link      linkCmd      `cmd:"" help:"Make and revoke signed links to files, for people without an account."`
	Put       putCmd       `cmd:"" help:"Upload a file to a server."`
	Get       getCmd       `cmd:"" help:"Download a file from a server."`
	Ls        lsCmd        `cmd:"" help:"List a folder of a server."`
	Rm        rmCmd        `cmd:"" help:"Move a file or folder of a server to the trash."`
	History   historyCmd   `cmd:"" help:"List the revisions of a file."`
	Revert    revertCmd    `cmd:"" help:"Make an old revision of a file current again; 'quire restore FILE REVISION' is the same."`
	Uploads   uploadsCmd   `cmd:"" help:"List and cancel your uploads, whatever protocol they came by."`
	Wopi      wopiCmd      `cmd:"" help:"Tools for WOPI, the protocol that editors speak."`
	Bootstrap bootstrapCmd `cmd:"" help:"Walk the way of a mobile app into a WOPI host: sign in, get tokens, open a file."`
	Import    importCmd    `cmd:"" help:"Upload a folder with everything in it, and the files' modification times; again it goes on where it stopped."`
	Backup    backupCmd    `cmd:"" help:"Copy everything to a folder, also while the server runs; again to the same folder it copies only what is new."`
	Restore   restoreCmd   `cmd:"" help:"Make the documents of a backup those of a new server, whatever databases and storage it was made from."`
	Migrate   migrateCmd   `cmd:"" help:"Move a stopped server to another database or storage."`
	Doctor    doctorCmd    `cmd:"" help:"Look at what the server needs: settings, disk, clocks, catalog, bytes, conversions, editors, public URL, proxy. Give it the settings of the server."`
	Fsck      fsckCmd      `cmd:"" help:"Verify every reference and every segment of the store."`
	Gc        gcCmd        `cmd:"" help:"Delete expired uploads and segments that nothing names."`
	Audit     auditCmd     `cmd:"" help:"Write the record of who did what from where."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// app is what every command gets.
type app struct {
	ctx    context.Context
	out    io.Writer
	errOut io.Writer
	json   bool
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	code := -1
	parser, err := kong.New(&c,
		kong.Name("quire"),
		kong.Description(description),
		kong.Writers(out, errOut),
		kong.Exit(func(n int) { code = n }),
		kong.Configuration(readSettings),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.DefaultEnvars("QUIRE"),
	)
	if err != nil {
		fmt.Fprintln(errOut, "quire:", err)
		return exitUsage
	}
	k, err := parser.Parse(args)
	if code >= 0 {
		return code // --help was asked for
	}
	if err == nil && (k.Command() == "serve" || k.Command() == "doctor") {
		err = checkEnvironment(parser.Model, os.Environ())
	}
	if err != nil {
		fmt.Fprintf(errOut, "quire: %v\nTry 'quire --help'.\n", err)
		return exitUsage
	}
	err = k.Run(&app{ctx: ctx, out: out, errOut: errOut, json: c.JSON})
	var status exitError
	switch {
	case errors.As(err, &status):
		return int(status)
	case err != nil:
		fmt.Fprintln(errOut, "quire:", err)
		var invalid *settingError
		if errors.As(err, &invalid) {
			return exitUsage
		}
		return exitFailed
	}
	return 0
}

// exitError ends the program with a code; what there is to say has been said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// settingError is a setting that cannot be right.
type settingError struct{ name, reason string }

func (e *settingError) Error() string { return "setting " + e.name + ": " + e.reason }

// print writes a result: as JSON if that was asked for, else as text.
func (a *app) print(v any, format string, args ...any) error {
	if a.json {
		return json.NewEncoder(a.out).Encode(v)
	}
	_, err := fmt.Fprintf(a.out, format, args...)
	return err
}

type versionCmd struct{}

func (versionCmd) Run(a *app) error {
	return a.print(map[string]string{"version": version}, "quire %s\n", version)
}

// access reads an access by its name.
type access quire.Access

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *access) UnmarshalText(b []byte) error {
	v, ok := quire.ParseAccess(string(b))
	if !ok {
		return errors.New("use none, viewer, editor or owner")
	}
	*a = access(v)
	return nil
}
