package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/quire-docs/quire/client"
)

// remote is where a command finds the server.
type remote struct {
	Server string `help:"The server's URL." env:"QUIRE_SERVER" default:"http://127.0.0.1:8080"`
	Token  string `help:"A personal access token." env:"QUIRE_TOKEN" required:""`
}

func (r *remote) client() (*client.Client, error) {
	c, err := client.New(r.Server, r.Token)
	if err != nil {
		return nil, &settingError{"server, token", err.Error()}
	}
	return c, nil
}

// remotePath makes a path on the server of an argument.
func remotePath(s string) string { return "/" + strings.Trim(s, "/") }

type putCmd struct {
	remote
	Local  string `arg:"" help:"The file to upload; - is standard input." type:"path"`
	Remote string `arg:"" optional:"" help:"Where to put it: a path, or a folder if it ends with a slash. The root folder if it is not given."`
	Rename bool   `help:"Pick a free name if the name is taken, instead of saving a new revision."`
	Parent int64  `help:"The revision that the file must be at." name:"parent-revision"`

	Chunked bool `help:"Send only the chunks that the server does not have, as coauthoring editors do. The file must not be locked by an editor for itself."`
}

func (c *putCmd) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	f, name, done, err := c.source(a)
	if err != nil {
		return err
	}
	defer done()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.IsDir() {
		return &settingError{"LOCAL", "it is a folder: name a file"}
	}
	target := c.Remote
	if target == "" || strings.HasSuffix(target, "/") {
		target += name
	}
	if c.Chunked {
		return c.sendChunks(a, cl, f, st.Size(), remotePath(target))
	}
	u := client.Upload{Path: remotePath(target), Overwrite: !c.Rename, ParentRevision: c.Parent}
	bar := a.progress(name, st.Size())
	u.Progress = bar.set
	// An upload that was interrupted goes on where it was.
	state := uploadState(c.Server, u.Path, f.Name(), st)
	if c.Local != "-" && st.Size() > client.ChunkSize {
		u.Session = readState(state)
		u.Begun = func(session string) { writeState(state, session) }
	}
	m, err := cl.Put(a.ctx, f, st.Size(), u)
	bar.end()
	if err != nil {
		return fmt.Errorf("put %s: %w", u.Path, err)
	}
	_ = os.Remove(state) // it only saves time
	return a.print(m, "%s revision %d, %d bytes\n", m.Path, m.Revision, m.Bytes)
}

// source opens what is to be uploaded. Standard input is kept in a temporary
// file first, since an upload may have to read it again.
func (c *putCmd) source(a *app) (f *os.File, name string, done func(), err error) {
	if c.Local != "-" && filepath.Base(c.Local) != "-" {
		f, err = os.Open(c.Local)
		return f, filepath.Base(c.Local), func() { f.Close() }, err
	}
	if c.Remote == "" || strings.HasSuffix(c.Remote, "/") {
		return nil, "", nil, &settingError{"REMOTE", "standard input has no name: give a path"}
	}
	if f, err = os.CreateTemp("", "quire-put-"); err != nil {
		return nil, "", nil, err
	}
	done = func() { f.Close(); os.Remove(f.Name()) }
	if _, err = io.Copy(f, os.Stdin); err != nil {
		done()
	}
	return f, path.Base(c.Remote), done, err
}

// uploadState is the file that remembers an upload's session between runs: of
// this file, as it is now, to that place.
func uploadState(server, target, local string, st fs.FileInfo) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%d\n%d", server, target, local, st.Size(), st.ModTime().UnixNano()))
	return filepath.Join(dir, "quire", "uploads", hex.EncodeToString(sum[:16]))
}

func readState(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// writeState is only a convenience for the next run, so its failure is not
// this run's.
func writeState(file, session string) {
	if os.MkdirAll(filepath.Dir(file), 0o700) == nil {
		_ = os.WriteFile(file, []byte(session+"\n"), 0o600)
	}
}

type getCmd struct {
	remote
	Remote   string `arg:"" help:"The file's path on the server."`
	Local    string `arg:"" optional:"" help:"Where to save it; - is standard output. The file's name if it is not given."`
	Revision int64  `help:"An old revision instead of the current one."`
	Chunked  bool   `help:"Fetch only the chunks that the local file does not have, as coauthoring editors do."`
}

func (c *getCmd) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	d := client.Download{Path: remotePath(c.Remote), Revision: c.Revision}
	if c.Local == "-" {
		_, err := cl.Get(a.ctx, a.out, d)
		return err
	}
	local := c.Local
	if local == "" {
		local = path.Base(d.Path)
	}
	if st, err := os.Stat(local); err == nil && st.IsDir() {
		local = filepath.Join(local, path.Base(d.Path))
	}
	if c.Chunked {
		return c.fetchChunks(a, cl, d, local)
	}
	size, err := c.download(a, cl, d, local)
	if err != nil {
		return fmt.Errorf("get %s: %w", d.Path, err)
	}
	return a.print(map[string]any{"path": d.Path, "file": local, "bytes": size}, "%s %d bytes\n", local, size)
}

// partial says which content the beginning of a download is of.
type partial struct {
	ETag string `json:"etag"`
}

// download writes to a file beside the final one, which it goes on with if it
// was interrupted, and renames it when it is whole.
func (c *getCmd) download(a *app, cl *client.Client, d client.Download, local string) (int64, error) {
	part, note := local+".part", local+".part.json"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if b, err := os.ReadFile(note); err == nil {
		var p partial
		if st, serr := f.Stat(); serr == nil && json.Unmarshal(b, &p) == nil {
			d.ETag, d.Offset = p.ETag, st.Size()
		}
	}
	for {
		if d.ETag == "" {
			d.Offset = 0
			if err := f.Truncate(0); err != nil {
				return 0, err
			}
		}
		if _, err := f.Seek(d.Offset, io.SeekStart); err != nil {
			return 0, err
		}
		bar := a.progress(path.Base(d.Path), 0)
		d.Progress = bar.set
		d.Begun = func(etag string, size int64) {
			bar.size = size
			if b, err := json.Marshal(partial{etag}); err == nil {
				_ = os.WriteFile(note, b, 0o600) // it only saves time
			}
		}
		size, err := cl.Get(a.ctx, f, d)
		bar.end()
		if errors.Is(err, client.ErrChanged) && d.ETag != "" {
			d.ETag = ""
			continue
		}
		if err != nil {
			return size, err
		}
		if err := errors.Join(f.Sync(), f.Close(), os.Rename(part, local)); err != nil {
			return size, err
		}
		_ = os.Remove(note)
		return size, nil
	}
}

type lsCmd struct {
	remote
	Path string `arg:"" optional:"" help:"A folder on the server." default:"/"`
}

func (c *lsCmd) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	list := []client.Metadata{}
	err = cl.List(a.ctx, remotePath(c.Path), func(m client.Metadata) error {
		list = append(list, m)
		return nil
	})
	if err != nil {
		return fmt.Errorf("ls %s: %w", c.Path, err)
	}
	return a.table(list, "BYTES\tREVISION\tMODIFIED\tNAME", len(list), func(i int) []any {
		m := list[i]
		name := m.Filename
		if m.IsDir {
			name += "/"
		}
		return []any{m.Bytes, m.Revision, m.Time().Format(time.DateTime), name}
	})
}

type rmCmd struct {
	remote
	Path string `arg:"" help:"What to move to the trash."`
}

func (c *rmCmd) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	m, err := cl.Remove(a.ctx, remotePath(c.Path))
	if err != nil {
		return fmt.Errorf("rm %s: %w", c.Path, err)
	}
	return a.print(m, "%s is in the trash\n", remotePath(c.Path))
}

type historyCmd struct {
	remote
	Path  string `arg:"" help:"A file on the server."`
	Limit int    `help:"How many revisions to list." default:"100"`
}

func (c *historyCmd) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	list, err := cl.History(a.ctx, remotePath(c.Path), c.Limit)
	if err != nil {
		return fmt.Errorf("history %s: %w", c.Path, err)
	}
	if list == nil {
		list = []client.Revision{}
	}
	return a.table(list, "REVISION\tBYTES\tMODIFIED\tDOOR\tKIND\tLABEL", len(list), func(i int) []any {
		r := list[i]
		return []any{r.Revision, r.Bytes, r.Time().Format(time.DateTime), r.Door, r.Kind, r.Label}
	})
}

type revertCmd struct {
	remote
	Path     string `arg:"" help:"A file on the server."`
	Revision int64  `arg:"" help:"The revision to make current again."`
}

func (c *revertCmd) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	m, err := cl.Restore(a.ctx, remotePath(c.Path), c.Revision)
	if err != nil {
		return fmt.Errorf("revert %s: %w", c.Path, err)
	}
	return a.print(m, "%s is at revision %d\n", m.Path, m.Revision)
}

type uploadsCmd struct {
	List   uploadsListCmd   `cmd:"" help:"List your uploads."`
	Cancel uploadsCancelCmd `cmd:"" help:"End an upload and give up what it received."`
}

type uploadsListCmd struct{ remote }

func (c *uploadsListCmd) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	list, err := cl.Uploads(a.ctx)
	if err != nil {
		return err
	}
	if list == nil {
		list = []client.Session{}
	}
	return a.table(list, "ID\tDOOR\tRECEIVED\tSIZE\tEXPIRES", len(list), func(i int) []any {
		u := list[i]
		return []any{u.UploadID, u.Door, u.Offset, u.Size, u.Expires}
	})
}

type uploadsCancelCmd struct {
	remote
	ID string `arg:"" help:"The upload's id, as 'quire uploads list' shows it."`
}

func (c *uploadsCancelCmd) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if err := cl.CancelUpload(a.ctx, c.ID); err != nil {
		return fmt.Errorf("upload %s: %w", c.ID, err)
	}
	return a.print(map[string]string{"cancelled": c.ID}, "cancelled %s\n", c.ID)
}

// bar shows how far a transfer is, on a terminal.
type bar struct {
	w     io.Writer // nil shows nothing
	name  string
	size  int64
	unit  string // bytes if it is empty
	shown time.Time
	began time.Time
}

func (a *app) progress(name string, size int64) *bar {
	b := &bar{name: name, size: size, began: time.Now()}
	if f, ok := a.errOut.(*os.File); ok && term.IsTerminal(int(f.Fd())) && !a.json {
		b.w = f
	}
	return b
}

func (b *bar) set(n int64) {
	if b.w == nil || time.Since(b.shown) < 100*time.Millisecond {
		return
	}
	b.shown = time.Now()
	percent := int64(100)
	if b.size > 0 {
		percent = min(100, n*100/b.size)
	}
	full := int(percent * 30 / 100)
	if b.unit != "" && b.unit != "bytes" {
		fmt.Fprintf(b.w, "\r%-24.24s [%s%s] %3d%% %d %s ", b.name, strings.Repeat("#", full), strings.Repeat(".", 30-full), percent, n, b.unit)
		return
	}
	rate := float64(n) / 1e6 / max(time.Since(b.began).Seconds(), 0.001)
	fmt.Fprintf(b.w, "\r%-24.24s [%s%s] %3d%% %7.1f MB/s ", b.name, strings.Repeat("#", full), strings.Repeat(".", 30-full), percent, rate)
}

func (b *bar) end() {
	if b.w != nil && !b.shown.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
