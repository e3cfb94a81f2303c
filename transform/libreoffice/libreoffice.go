// Package libreoffice converts documents with LibreOffice, which runs as a
// separate process for each conversion: without a network where the system
// allows that, within limits of memory, time and output, and in a process group
// of its own that is killed as a whole.
package libreoffice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/quire-docs/quire/transform"
)

// Options are what an operator may set.
type Options struct {
	// Program is soffice; empty looks for it in the usual places.
	Program string
	// Workers is how many run at the same time; 0 is 1.
	Workers int
	// Memory is the most address space that one may take, in bytes; 0 is 4 GiB.
	Memory int64
	// Output is the largest file that one may write, in bytes; 0 is 1 GiB. All
	// its files together may be four times as large.
	Output int64
	// Folder is where profiles and documents are while they are converted; empty
	// is the system's folder for temporary files.
	Folder string
}

// Engine is a transform.Engine.
type Engine struct {
	opt     Options
	program string
	folder  string
	lock    *os.File      // held while the folder is in use
	free    chan struct{} // one for each worker that is free
	attr    syscall.SysProcAttr
	offline bool

	making  sync.Mutex // guards pattern
	pattern string     // a profile that every process gets a copy of; empty until one is made
}

var _ transform.Engine = (*Engine)(nil)

// ErrNotFound is what New returns where there is no LibreOffice.
var ErrNotFound = errors.New("LibreOffice was not found: install it, or say where soffice is")

// usual are the places where soffice is.
var usual = []string{"soffice", "libreoffice", "/usr/lib/libreoffice/program/soffice", "/opt/libreoffice/program/soffice", "/Applications/LibreOffice.app/Contents/MacOS/soffice"}

// New looks for LibreOffice. Close gives back what it takes.
func New(opt Options) (*Engine, error) {
	if opt.Workers <= 0 {
		opt.Workers = 1
	}
	if opt.Memory <= 0 {
		opt.Memory = 4 << 30
	}
	if opt.Output <= 0 {
		opt.Output = 1 << 30
	}
	e := &Engine{opt: opt, free: make(chan struct{}, opt.Workers)}
	places := usual
	if opt.Program != "" {
		places = []string{opt.Program}
	}
	for _, p := range places {
		found, err := exec.LookPath(p)
		if err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(found); err == nil {
			found = real
		}
		e.program = found
		// soffice is a script that starts a program that starts this one. Without
		// the two there is one process to look after.
		if bin := filepath.Join(filepath.Dir(found), "soffice.bin"); executable(bin) {
			e.program = bin
		}
		break
	}
	if e.program == "" {
		return nil, ErrNotFound
	}
	if err := e.occupy(); err != nil {
		return nil, err
	}
	for range opt.Workers {
		e.free <- struct{}{}
	}
	e.isolate()
	return e, nil
}

const prefix = "quire-libreoffice-"

// occupy makes the engine's folder, and removes those of engines whose process
// was killed: the lock in them is free.
func (e *Engine) occupy() error {
	parent := e.opt.Folder
	if parent == "" {
		parent = os.TempDir()
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, d := range entries {
		if !d.IsDir() || !strings.HasPrefix(d.Name(), prefix) {
			continue
		}
		old := filepath.Join(parent, d.Name())
		// Not created: one without it is just being made, or not ours.
		f, err := os.OpenFile(filepath.Join(old, "lock"), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(old) // the next start tries again
		}
		_ = f.Close()
	}
	if e.folder, err = os.MkdirTemp(parent, prefix); err != nil {
		return err
	}
	// The lock appears under its name when it is held, so that no start sees it
	// free.
	unnamed := filepath.Join(e.folder, "unlocked")
	if e.lock, err = os.OpenFile(unnamed, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err == nil {
		if err = syscall.Flock(int(e.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			err = os.Rename(unnamed, filepath.Join(e.folder, "lock"))
		}
	}
	if err != nil {
		return errors.Join(err, e.Close())
	}
	return nil
}

func executable(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// Close removes profiles and what else was left. No conversion may run.
func (e *Engine) Close() error {
	err := os.RemoveAll(e.folder)
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
	}
	return err
}

// Offline says whether conversions run without a network.
func (e *Engine) Offline() bool { return e.offline }

// Name implements transform.Engine.
func (e *Engine) Name() string { return "LibreOffice" }

// Check implements transform.Engine: it asks the program for its version.
func (e *Engine) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp(e.folder, "check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out, err := e.run(ctx, dir, "-env:UserInstallation="+fileURL(filepath.Join(dir, "profile")), "--version")
	if err == nil && !bytes.Contains(out, []byte("LibreOffice")) {
		err = fmt.Errorf("it does not tell its version: %.200q", out)
	}
	return err
}

// family is which of LibreOffice's applications opens a document.
type family string

const (
	writer  family = "writer"
	calc    family = "calc"
	impress family = "impress"
	draw    family = "draw"
)

// source is how a kind is opened. The filter is named, so that nothing is taken
// for what it is not.
type source struct {
	family family
	filter string
}

var sources = map[transform.Kind]source{
	"docx": {writer, "MS Word 2007 XML"}, "odt": {writer, "writer8"}, "doc": {writer, "MS Word 97"}, "rtf": {writer, "Rich Text Format"},
	"txt": {writer, "Text (encoded):UTF8"}, "html": {writer, "HTML (StarWriter)"},
	"xlsx": {calc, "Calc MS Excel 2007 XML"}, "ods": {calc, "calc8"}, "xls": {calc, "MS Excel 97"}, "csv": {calc, "Text - txt - csv (StarCalc):44,34,76,1"},
	"pptx": {impress, "Impress MS PowerPoint 2007 XML"}, "odp": {impress, "impress8"}, "ppt": {impress, "MS PowerPoint 97"},
	"odg": {draw, "draw8"}, "pdf": {draw, "draw_pdf_import"},
}

// result is how a type is written.
type result struct {
	ext    string
	filter string
	begins string // what every such file begins with
}

var results = map[string]map[family]result{
	transform.PDF: {
		writer: {"pdf", "writer_pdf_Export", "%PDF-"}, calc: {"pdf", "calc_pdf_Export", "%PDF-"},
		impress: {"pdf", "impress_pdf_Export", "%PDF-"}, draw: {"pdf", "draw_pdf_Export", "%PDF-"},
	},
	transform.PNG: {
		writer: {"png", "writer_png_Export", "\x89PNG"}, calc: {"png", "calc_png_Export", "\x89PNG"},
		impress: {"png", "impress_png_Export", "\x89PNG"}, draw: {"png", "draw_png_Export", "\x89PNG"},
	},
	transform.HTML: {
		writer: {"html", "XHTML Writer File", "<?xml"}, calc: {"html", "XHTML Calc File", "<?xml"},
		impress: {"html", "XHTML Impress File", "<?xml"}, draw: {"html", "XHTML Draw File", "<?xml"},
	},
	transform.Text: {writer: {"txt", "Text (encoded):UTF8", ""}, calc: {"csv", "Text - txt - csv (StarCalc):44,34,76,1", ""}},
	transform.CSV:  {calc: {"csv", "Text - txt - csv (StarCalc):44,34,76,1", ""}},
	transform.DOCX: {writer: {"docx", "MS Word 2007 XML", "PK"}}, transform.ODT: {writer: {"odt", "writer8", "PK"}},
	transform.XLSX: {calc: {"xlsx", "Calc MS Excel 2007 XML", "PK"}}, transform.ODS: {calc: {"ods", "calc8", "PK"}},
	transform.PPTX: {impress: {"pptx", "Impress MS PowerPoint 2007 XML", "PK"}}, transform.ODP: {impress: {"odp", "impress8", "PK"}},
}

// Serves implements transform.Engine.
func (e *Engine) Serves(k transform.Kind, target string) bool {
	s, ok := sources[k]
	if !ok || k == "pdf" && target != transform.PNG {
		return false
	}
	_, ok = results[target][s.family]
	return ok
}

// Convert implements transform.Engine.
func (e *Engine) Convert(ctx context.Context, k transform.Kind, src transform.Source, t transform.Target, w io.Writer) error {
	select {
	case <-e.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { e.free <- struct{}{} }()
	dir, err := os.MkdirTemp(e.folder, "work-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	in := filepath.Join(dir, "source."+string(k))
	if err := copyTo(in, src); err != nil {
		return err
	}
	from, to := sources[k], results[t.Type][sources[k].family]
	if t.Type == transform.PNG && t.Page > 1 {
		// Pictures are of the first page, so the page is made one.
		pdf := results[transform.PDF][from.family]
		pdf.filter += `:{"PageRange":{"type":"string","value":"` + strconv.Itoa(t.Page) + `"}}`
		if in, err = e.step(ctx, filepath.Join(dir, "page"), in, from, pdf); err != nil {
			var final *transform.SourceError
			if errors.As(err, &final) {
				err = &transform.SourceError{Reason: "there is no page " + strconv.Itoa(t.Page) + ", or the document cannot be opened"}
			}
			return err
		}
		from, to = sources["pdf"], results[transform.PNG][draw]
	}
	out, err := e.step(ctx, filepath.Join(dir, "out"), in, from, to)
	if err != nil {
		return err
	}
	f, err := os.Open(out)
	if err != nil {
		return err
	}
	defer f.Close()
	if t.Type == transform.PNG && t.Width > 0 {
		return transform.Thumbnail(f, t.Width, w)
	}
	if t.Type == transform.Text || t.Type == transform.CSV {
		mark := make([]byte, 3)
		if n, err := io.ReadFull(f, mark); err == nil && string(mark) != "\ufeff" || err != nil {
			if _, err := w.Write(mark[:n]); err != nil {
				return err
			}
		}
	}
	_, err = io.Copy(w, f)
	return err
}

func copyTo(name string, src transform.Source) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(src, 0, src.Size))
	return errors.Join(err, f.Close())
}

// step makes one file of another and returns its name.
func (e *Engine) step(ctx context.Context, dir, in string, from source, to result) (string, error) {
	profile := filepath.Join(dir, "profile")
	if err := e.profile(ctx, profile); err != nil {
		return "", err
	}
	args := []string{
		"-env:UserInstallation=" + fileURL(profile), "--headless", "--invisible", "--norestore", "--nolockcheck", "--nodefault", "--nologo", "--nofirststartwizard",
		"--infilter=" + from.filter, "--convert-to", to.ext + ":" + to.filter, "--outdir", dir, in,
	}
	name := filepath.Join(dir, strings.TrimSuffix(filepath.Base(in), filepath.Ext(in))+"."+to.ext)
	said, err := e.run(ctx, dir, args...)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if errors.Is(err, errRoom) {
		return "", &transform.SourceError{Reason: "what is made of it takes more room than is allowed"}
	}
	// Its exit code says nothing: whether there is a file, and what it begins
	// with, does.
	switch ok, ferr := e.whole(name, to.begins); {
	case ferr != nil:
		return "", ferr
	case ok:
		return name, nil
	case err != nil: // it crashed, or was killed by a limit
		return "", fmt.Errorf("it broke down (%w): %.300s", err, bytes.TrimSpace(said))
	}
	return "", &transform.SourceError{Reason: "the document cannot be opened: it is damaged, or protected by a password"}
}

// restart is the exit code by which LibreOffice asks to be started again: it has
// set its new profile up.
const restart = 81

// profile makes a profile for one process, so that no document leaves anything
// for the next. It is a copy, since LibreOffice takes a while to set up a new one.
func (e *Engine) profile(ctx context.Context, name string) error {
	pattern, err := e.made(ctx)
	if err != nil {
		return err
	}
	return os.CopyFS(name, os.DirFS(pattern))
}

// made returns the profile that is copied; the first call makes it.
func (e *Engine) made(ctx context.Context) (string, error) {
	e.making.Lock()
	defer e.making.Unlock()
	if e.pattern != "" {
		return e.pattern, nil
	}
	folder, err := os.MkdirTemp(e.folder, "pattern-")
	if err != nil {
		return "", err
	}
	if err := e.setUp(ctx, folder); err != nil {
		return "", errors.Join(err, os.RemoveAll(folder))
	}
	e.pattern = folder
	return folder, nil
}

// setUp lets LibreOffice fill a new profile.
func (e *Engine) setUp(ctx context.Context, profile string) error {
	user := filepath.Join(profile, "user")
	if err := os.Mkdir(user, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(user, "registrymodifications.xcu"), []byte(settings), 0o600); err != nil {
		return err
	}
	for range 2 {
		said, err := e.run(ctx, profile, "-env:UserInstallation="+fileURL(profile), "--headless", "--invisible", "--norestore", "--nologo", "--nofirststartwizard", "--terminate_after_init")
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == restart {
			continue
		}
		if err != nil {
			return fmt.Errorf("it does not set up a profile (%w): %.300s", err, bytes.TrimSpace(said))
		}
		break
	}
	return nil
}

func missing(name string) bool {
	_, err := os.Stat(name)
	return err != nil
}

// whole says whether a file is there that begins as it should.
func (e *Engine) whole(name, begins string) (bool, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	if st.Size() >= e.opt.Output {
		return false, &transform.SourceError{Reason: "the result is larger than is allowed"}
	}
	head := make([]byte, len(begins))
	if _, err := io.ReadFull(f, head); err != nil && len(begins) > 0 {
		return false, nil
	}
	return string(head) == begins, nil
}

// settings turn off what documents could reach out with: macros and links that
// are brought up to date.
const settings = `<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="MacroSecurityLevel" oor:op="fuse"><value>3</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="DisableMacrosExecution" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="BlockUntrustedRefererLinks" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Load"><prop oor:name="UpdateLinks" oor:op="fuse"><value>0</value></prop></item>
<item oor:path="/org.openoffice.Office.Writer/Content/Update"><prop oor:name="Link" oor:op="fuse"><value>2</value></prop></item>
<item oor:path="/org.openoffice.Office.Calc/Content/Update"><prop oor:name="Link" oor:op="fuse"><value>2</value></prop></item>
</oor:items>
`

func fileURL(name string) string { return (&url.URL{Scheme: "file", Path: name}).String() }

// limits sets what the system is to hold the program to, and becomes it.
const limits = `ulimit -c 0; ulimit -v "$1"; ulimit -f "$2"; shift 2; exec "$@"`

// errRoom is why a process was killed that wrote too many files.
var errRoom = errors.New("its files take more room than is allowed")

// watch cancels a process whose folder grows beyond what all its files together
// may take.
func (e *Engine) watch(ctx context.Context, dir string, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var sum int64
		// Files come and go meanwhile; what cannot be read now counts as nothing.
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if st, err := d.Info(); err == nil {
					sum += st.Size()
				}
			}
			return nil
		})
		if sum > 4*e.opt.Output {
			cancel(errRoom)
			return
		}
	}
}

// run runs the program to its end, or kills it with all that it has started.
func (e *Engine) run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { e.watch(ctx, dir, cancel) })
	defer watching.Wait()
	defer cancel(nil)
	all := append([]string{"-c", limits, "sh", strconv.FormatInt(e.opt.Memory>>10, 10), strconv.FormatInt(e.opt.Output>>9, 10), e.program}, args...)
	cmd := exec.CommandContext(ctx, "/bin/sh", all...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "SAL_USE_VCLPLUGIN=svp"}
	attr := e.attr
	cmd.SysProcAttr = &attr
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	// The system ends the program when the thread that started it ends, so that
	// thread stays until the program has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind; mostly nothing
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errRoom) {
		err = cause
	}
	return out.b, err
}

// tail keeps the first bytes that a program writes.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	if room := 4096 - len(t.b); room > 0 {
		t.b = append(t.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}
