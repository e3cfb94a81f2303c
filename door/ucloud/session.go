package ucloud

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/server"
)

// A session is one of the library's uploads. For a file it collects the bytes;
// for a folder it only says where to, and lives and ends as one.

// What a session's Meta has, beside library.MetaBase.
const (
	metaType   = "type"   // typeFile or typeFolder
	metaPolicy = "policy" // the conflictPolicy
	metaTurn   = "turn"   // which of the session's tokens is the one that counts
	metaIdle   = "idle"   // set where everything that was listed is done
)

// The types of upload.
const (
	typeFile   = "FILE"
	typeFolder = "FOLDER"
)

// uploadPurpose is what upload tokens are signed for.
const uploadPurpose = "ucloud upload"

// tokenLife is how long a token can be opened. Its session ends before.
const tokenLife = 59 * 24 * time.Hour

// ticket is what an upload token carries. It gives nothing but its own
// session, and that only for as long as its owner may do what it is for.
type ticket struct {
	Upload quire.UploadID `json:"u"`
	Owner  quire.UserID   `json:"o"`
	Turn   string         `json:"t,omitempty"`
}

// session is an upload as the holder of its token has it.
type session struct {
	*Door
	caller quire.Caller
	upload quire.Upload
	// checked is when the owner was looked up last.
	checked time.Time
}

// recheck is how long a connection goes on before its owner is looked up again.
const recheck = time.Minute

// still refuses to go on for an owner who may not sign in any more, or who has
// become somebody else. What they may do to a file the library looks up each
// time.
func (s *session) still(ctx context.Context) error {
	if time.Since(s.checked) < recheck {
		return nil
	}
	now, err := s.ids.Caller(ctx, s.caller.User, quire.ScopeWrite)
	if err != nil {
		return err
	}
	if now.Role != s.caller.Role || now.Site != s.caller.Site {
		return quire.ErrForbidden
	}
	s.checked = time.Now()
	return nil
}

func (d *Door) token(ctx context.Context, u quire.Upload) (string, error) {
	b, err := json.Marshal(ticket{u.ID, u.Owner, u.Meta[metaTurn]})
	if err != nil {
		return "", err
	}
	return d.ids.Sign(ctx, uploadPurpose, b, time.Now().Add(tokenLife))
}

// superseded refuses a token whose upload goes on with a newer one.
func superseded() error {
	return &statusError{http.StatusConflict, "this upload goes on in another session: use that one, or start again"}
}

// session returns what a token is for. Its owner is looked up as they are now:
// who may not sign in, or has lost access to the target, has no session.
func (c *call) session(token string) (*session, error) {
	if token == "" {
		return nil, quire.ErrUnauthenticated
	}
	b, _, err := c.ids.Open(c.ctx, uploadPurpose, token)
	if errors.Is(err, quire.ErrUnauthenticated) {
		return nil, quire.ErrUploadGone
	}
	if err != nil {
		return nil, err
	}
	var t ticket
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, err
	}
	caller, err := c.ids.Caller(c.ctx, t.Owner, quire.ScopeWrite)
	if err != nil {
		return nil, err
	}
	if err := server.AdmitUser(c.ctx, caller.User); err != nil {
		return nil, err
	}
	s := &session{Door: c.Door, caller: c.dress(caller), checked: time.Now()}
	if s.upload, err = c.lib.Upload(c.ctx, s.caller, t.Upload); err != nil {
		return nil, err
	}
	if s.upload.Meta[metaTurn] != t.Turn {
		return nil, superseded()
	}
	e, err := c.lib.Stat(c.ctx, s.caller, s.upload.Target.Node)
	if err != nil {
		return nil, err
	}
	if e.Access < quire.Editor {
		return nil, quire.ErrForbidden
	}
	return s, nil
}

func (s *session) folder() bool { return s.upload.Meta[metaType] == typeFolder }

// attach gives an unfinished upload a new token and makes the old ones stop.
func (d *Door) attach(ctx context.Context, c quire.Caller, u quire.Upload) (quire.Upload, error) {
	return d.lib.DescribeUpload(ctx, c, u.ID, func(u *quire.Upload) error {
		turn, _ := strconv.Atoi(u.Meta[metaTurn])
		u.Meta = with(u.Meta, metaTurn, strconv.Itoa(turn+1))
		return nil
	})
}

// with returns a copy of m where one key has a value; "" removes it.
func with(m map[string]string, key, value string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = make(map[string]string)
	}
	if m[key] = value; value == "" {
		delete(m, key)
	}
	return m
}

// align makes an upload ready for bytes at an offset, where the sender says how
// long the whole is; -1 is that they do not.
func (s *session) align(ctx context.Context, at, total int64) error {
	u := &s.upload
	if at < 0 || at > u.Received {
		return bad("the offset is beyond the bytes that are here, " + strconv.FormatInt(u.Received, 10) + ": go on from there")
	}
	if total < 0 || total == u.Declared {
		return nil
	}
	var err error
	switch {
	case at == 0 && (u.Declared >= 0 || u.Received > total):
		// Another content under the same name.
		s.upload, err = s.lib.RestartUpload(ctx, s.caller, u.ID, total)
	case u.Declared >= 0 || u.Received > total:
		return bad("the total size is not what it was: send the upload from the beginning")
	default:
		s.upload, err = s.lib.DescribeUpload(ctx, s.caller, u.ID, func(u *quire.Upload) error {
			u.Declared = total
			return nil
		})
	}
	return err
}

// finish makes what was received the file's content. A file that the session
// made and somebody else has changed since is left alone: the upload goes
// beside it.
func (s *session) finish(ctx context.Context, mtime time.Time) error {
	_, done, err := s.lib.FinishUpload(ctx, s.caller, s.upload.ID, mtime)
	if err == nil {
		s.upload.Done = &done
	}
	return err
}

// settle publishes what the caller's own unfinished uploads have for a file
// that they want to look at now.
func (c *call) settle(id quire.NodeID) error {
	open, err := c.lib.OpenUploads(c.ctx, c.caller)
	if err != nil {
		return err
	}
	for _, u := range open {
		if u.Target.Node != id || u.Declared >= 0 || u.Received == 0 || u.Meta[metaType] != typeFile || !c.caller.Scope.Allows(quire.ScopeWrite) {
			continue
		}
		// Where it cannot be published now, the background work says so later.
		if err := c.lib.PublishUpload(c.ctx, c.caller, u.ID); err != nil {
			c.log.Info("an unfinished upload cannot be shown yet", "upload", u.ID, "error", err)
		}
	}
	return nil
}
