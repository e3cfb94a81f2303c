package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"github.com/quire-docs/quire/client"
	"github.com/quire-docs/quire/library"
)

type importCmd struct {
	remote
	Local    string `arg:"" help:"The folder to upload." type:"path"`
	To       string `help:"The folder of the server that is to have what is in it; made if there is none." default:"/"`
	Replace  bool   `help:"Save files that differ from one that is there as its next revision. Else they are reported and left out."`
	Parallel int    `help:"How many files are sent at a time." default:"4"`
	DryRun   bool   `help:"Say what would be done, and change nothing." name:"dry-run"`
}

// imported is what an import did, or would do.
type imported struct {
	Folders int      `json:"folders"` // made
	Sent    int      `json:"sent"`
	Bytes   int64    `json:"bytes"` // of the files that were sent
	Same    int      `json:"same"`  // were there already
	LeftOut []remark `json:"left_out"`
	Failed  []remark `json:"failed"`
	DryRun  bool     `json:"dry_run"`
}

// remark says why a file or folder is not on the server.
type remark struct {
	Path   string `json:"path"` // below the folder that is imported
	Reason string `json:"reason"`
}

// importer is an import that is under way.
type importer struct {
	c       *importCmd
	a       *app
	client  *client.Client
	meter   *meter
	context context.Context // of the command; it ends with the first failure that concerns all files
	stop    context.CancelCauseFunc
	work    chan importFile

	mu  sync.Mutex // guards the rest
	sum imported
}

// importFile is a file that waits for its turn.
type importFile struct {
	local, remote, name string // name is the path below the imported folder
	there               *client.Metadata
}

// Run walks the folder and uploads what the server does not have. A run that
// was interrupted is gone on with by the same command.
func (c *importCmd) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	st, err := os.Stat(c.Local)
	if err != nil {
		return &settingError{"LOCAL", err.Error()}
	}
	if !st.IsDir() {
		return &settingError{"LOCAL", "it is a file: use 'quire put', or name a folder"}
	}
	if c.Parallel < 1 || c.Parallel > 64 {
		return &settingError{"parallel", "use a number from 1 to 64"}
	}
	_, size := c.measure()
	ctx, stop := context.WithCancelCause(a.ctx)
	defer stop(nil)
	im := &importer{c: c, a: a, client: cl, meter: a.meter("import", "bytes", size), context: ctx, stop: stop, work: make(chan importFile)}
	im.sum = imported{LeftOut: []remark{}, Failed: []remark{}, DryRun: c.DryRun}
	var all sync.WaitGroup
	for range c.Parallel {
		all.Go(func() {
			for f := range im.work {
				if ctx.Err() == nil {
					im.file(f)
				}
			}
		})
	}
	if there, err := im.top(remotePath(c.To)); err != nil {
		stop(err)
	} else {
		im.folder(c.Local, remotePath(c.To), "", there)
	}
	close(im.work)
	all.Wait()
	im.meter.end()
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("import: %w: run the same command again to go on; %d files were sent", cause, im.sum.Sent)
	}
	return im.report()
}

func (im *importer) report() error {
	s := &im.sum
	byPath := func(a, b remark) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) }
	slices.SortFunc(s.LeftOut, byPath)
	slices.SortFunc(s.Failed, byPath)
	if !im.a.json {
		for _, r := range s.LeftOut {
			fmt.Fprintf(im.a.errOut, "quire: left out %s: %s\n", r.Path, r.Reason)
		}
		for _, r := range s.Failed {
			fmt.Fprintf(im.a.errOut, "quire: %s: %s\n", r.Path, r.Reason)
		}
	}
	word := "imported"
	if s.DryRun {
		word = "would import"
	}
	if err := im.a.print(s, word+" %d files of %d bytes and %d folders; %d files were there, %d left out, %d failed\n",
		s.Sent, s.Bytes, s.Folders, s.Same, len(s.LeftOut), len(s.Failed)); err != nil {
		return err
	}
	if len(s.Failed) > 0 {
		return exitError(exitFailed)
	}
	return nil
}

// measure counts what there is, for the display only.
func (c *importCmd) measure() (files int, size int64) {
	// What cannot be read is reported when its turn comes.
	_ = filepath.WalkDir(c.Local, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil {
				files++
				size += st.Size()
			}
		}
		return nil
	})
	return files, size
}

// top makes the folder that is imported to and those above it, and says whether
// it was there.
func (im *importer) top(p string) (there bool, err error) {
	m, err := im.client.Stat(im.context, p)
	var no *client.Error
	switch {
	case err == nil && !m.IsDir:
		return false, &settingError{"to", "there is a file of that name: name a folder"}
	case err == nil:
		return true, nil
	case !errors.As(err, &no) || no.Status != http.StatusNotFound:
		return false, err
	}
	if parent := path.Dir(p); parent != p {
		if _, err := im.top(parent); err != nil {
			return false, err
		}
	}
	return false, im.make(p)
}

func (im *importer) make(p string) error {
	if !im.c.DryRun {
		if _, err := im.client.CreateFolder(im.context, p); err != nil && !isCode(err, "exists") {
			return err
		}
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.sum.Folders++
	return nil
}

func isCode(err error, code string) bool {
	var e *client.Error
	return errors.As(err, &e) && e.Code == code
}

// folder hands out the files of a folder and goes on with the folders in it.
// there says whether the server has it.
func (im *importer) folder(local, remote, name string, there bool) {
	list, err := os.ReadDir(local)
	if err != nil {
		im.fail(name, reason(err))
		return
	}
	have := make(map[string]client.Metadata)
	if there {
		err := im.client.List(im.context, remote, func(m client.Metadata) error {
			_, key, err := library.CheckName(m.Filename)
			if err == nil {
				have[key] = m
			}
			return nil
		})
		if err != nil {
			im.failed(name, err)
			return
		}
	}
	seen := make(map[string]string)
	for _, e := range list {
		if im.context.Err() != nil {
			return
		}
		below := path.Join(name, e.Name())
		clean, key, err := library.CheckName(e.Name())
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			im.leaveOut(below, "it is a symbolic link, and those are not followed")
			continue
		case !e.IsDir() && !e.Type().IsRegular():
			im.leaveOut(below, "it is neither a file nor a folder")
			continue
		case err != nil:
			im.fail(below, err.Error())
			continue
		case seen[key] != "":
			im.fail(below, fmt.Sprintf("on the server it has the same name as %s: rename one of them", seen[key]))
			continue
		}
		seen[key] = e.Name()
		at := path.Join(remote, clean)
		m, known := have[key]
		switch {
		case known && m.IsDir != e.IsDir():
			im.fail(below, "the server has a folder where this is a file, or the other way round: rename one of them")
		case e.IsDir() && known:
			im.folder(filepath.Join(local, e.Name()), m.Path, below, true)
		case e.IsDir():
			if err := im.make(at); err != nil {
				im.failed(below, err)
				continue
			}
			im.folder(filepath.Join(local, e.Name()), at, below, false)
		default:
			f := importFile{local: filepath.Join(local, e.Name()), remote: at, name: below}
			if known {
				f.there, f.remote = &m, m.Path
			}
			select {
			case im.work <- f:
			case <-im.context.Done():
			}
		}
	}
}

// file uploads a file, unless it is there.
func (im *importer) file(f importFile) {
	local, err := os.Open(f.local)
	if err != nil {
		im.fail(f.name, reason(err))
		return
	}
	defer local.Close()
	st, err := local.Stat()
	if err != nil {
		im.fail(f.name, reason(err))
		return
	}
	same, err := im.compare(f, local, st)
	if err == nil && !same && f.there != nil && !im.c.Replace {
		im.fail(f.name, "the server has another file of that name: --replace saves this one as its next revision")
		return
	}
	if err == nil && !same && !im.c.DryRun {
		same, err = im.send(f, local, st)
	}
	now, serr := os.Stat(f.local)
	if serr == nil && (now.Size() != st.Size() || !now.ModTime().Equal(st.ModTime())) {
		im.fail(f.name, "it was changed while it was read: import again")
		return
	}
	if err != nil {
		im.failed(f.name, err)
		return
	}
	im.meter.add(st.Size())
	im.mu.Lock()
	defer im.mu.Unlock()
	if same {
		im.sum.Same++
		return
	}
	im.sum.Sent++
	im.sum.Bytes += st.Size()
}

// compare says whether the server's file has the same content. Where both have
// the size and the time that the client gave, it is not read.
func (im *importer) compare(f importFile, local *os.File, st fs.FileInfo) (bool, error) {
	if f.there == nil || f.there.Bytes != st.Size() {
		return false, nil
	}
	if ms := st.ModTime().UnixMilli(); ms > 0 && f.there.ClientTime().UnixMilli() == ms {
		return true, nil
	}
	_, err := im.client.Get(im.context, &comparer{local: local}, client.Download{Path: f.there.Path, Revision: f.there.Revision})
	if errors.Is(err, errDiffers) {
		return false, nil
	}
	return err == nil, err
}

// comparer fails as soon as what is written is not what the file has.
type comparer struct {
	local io.Reader
	buf   []byte
}

var errDiffers = errors.New("the contents differ")

// Write implements io.Writer.
func (c *comparer) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	if n, err := io.ReadFull(c.local, c.buf[:len(p)]); err != nil || !bytes.Equal(c.buf[:n], p) {
		return 0, errDiffers
	}
	return len(p), nil
}

// send uploads a file, on the condition that the server's is as it was. It says
// same if somebody else, or a request whose answer was lost, has saved the
// content meanwhile.
func (im *importer) send(f importFile, local *os.File, st fs.FileInfo) (same bool, err error) {
	u := client.Upload{Path: f.remote, Modified: st.ModTime(), New: f.there == nil, Overwrite: f.there != nil}
	if f.there != nil {
		u.ParentRevision = f.there.Revision
	}
	state := uploadState(im.c.Server, u.Path, f.local, st)
	if st.Size() > client.ChunkSize {
		u.Session = readState(state)
		u.Begun = func(session string) { writeState(state, session) }
	}
	_, err = im.client.Put(im.context, local, st.Size(), u)
	var no *client.Error
	if errors.As(err, &no) && (no.Status == http.StatusPreconditionFailed || no.Status == http.StatusConflict) {
		now, serr := im.client.Stat(im.context, f.remote)
		if serr == nil && !now.IsDir {
			f.there = &now
			if _, serr := local.Seek(0, io.SeekStart); serr != nil {
				return false, serr
			}
			if same, serr := im.compare(f, local, st); same || serr != nil {
				return same, serr
			}
		}
	}
	if err == nil {
		_ = os.Remove(state) // it only saves time
	}
	return false, err
}

// failed notes what came of a request. What will be the same for every file ends
// the import.
func (im *importer) failed(name string, err error) {
	var e *client.Error
	var local *fs.PathError
	switch {
	case im.context.Err() != nil:
	case errors.As(err, &local):
		im.fail(name, reason(err))
	case !errors.As(err, &e), e.Status == http.StatusUnauthorized, e.Status == http.StatusInsufficientStorage:
		im.stop(fmt.Errorf("%s: %w", name, err))
	default:
		im.fail(name, err.Error())
	}
}

func (im *importer) fail(name, why string) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.sum.Failed = append(im.sum.Failed, remark{orTop(name), why})
}

func (im *importer) leaveOut(name, why string) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.sum.LeftOut = append(im.sum.LeftOut, remark{name, why})
}

// orTop names the imported folder itself.
func orTop(name string) string {
	if name == "" {
		return "."
	}
	return name
}

// reason is an error of the file system without the path, which is told beside
// it.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
