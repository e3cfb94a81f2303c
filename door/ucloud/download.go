package ucloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/server"
)

// downloadPurpose is what download tokens are signed for.
const downloadPurpose = "ucloud download"

// pass is what a download's token carries: one file, as its user may read it.
type pass struct {
	User quire.UserID `json:"u"`
	Node quire.NodeID `json:"n"`
}

type downloadAnswer struct {
	Endpoint string `json:"endpoint"`
}

// createDownload gives URLs that a file can be had from, for a while, without
// more credentials.
func createDownload(c *call) error {
	return bulk(c, false, func(item fileItem) (downloadAnswer, error) {
		_, e, err := c.lookup(item.ID)
		if err != nil {
			return downloadAnswer{}, err
		}
		if e.IsContainer() {
			return downloadAnswer{}, quire.ErrNotAFile
		}
		if err := c.settle(e.ID); err != nil {
			return downloadAnswer{}, err
		}
		b, err := json.Marshal(pass{c.caller.User, e.ID})
		if err != nil {
			return downloadAnswer{}, err
		}
		token, err := c.ids.Sign(c.ctx, downloadPurpose, b, time.Now().Add(c.opt.DownloadLife))
		return downloadAnswer{c.endpoint("download?token="+token, false)}, err
	})
}

// download sends the current content of the file that a token is for, or the
// ranges of it that are asked for.
func download(c *call) error {
	b, _, err := c.ids.Open(c.ctx, downloadPurpose, c.r.URL.Query().Get("token"))
	if errors.Is(err, quire.ErrUnauthenticated) {
		return &statusError{http.StatusNotFound, "this link is not valid or has expired: create another one"}
	}
	if err != nil {
		return err
	}
	var p pass
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	caller, err := c.ids.Caller(c.ctx, p.User, quire.ScopeRead)
	if err != nil {
		return err
	}
	caller = c.dress(caller)
	caller.Within = p.Node
	in, err := c.lib.Open(c.ctx, caller, p.Node, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	h := c.w.Header()
	// Always an attachment in a sandbox: what somebody uploaded never runs as
	// a page of ours.
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment; filename*=UTF-8''"+extValue(in.Entry.Name))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-store")
	h.Set("ETag", fmt.Sprintf(`"%s-%d"`, in.Entry.ID, in.Revision))
	begun, err := server.ServeContent(c.w, c.r, mtime(in.Entry.Node), in.Reader(0, in.Size))
	if begun {
		return nil // the client sees what is missing
	}
	return err
}

// extValue encodes text as RFC 8187 has it.
func extValue(s string) string {
	const plain = "!#$&+-.^_`|~"
	var b strings.Builder
	for i := range len(s) {
		ch := s[i]
		if isLetter(ch) || ch >= '0' && ch <= '9' || strings.IndexByte(plain, ch) >= 0 {
			b.WriteByte(ch)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", ch)
	}
	return b.String()
}
