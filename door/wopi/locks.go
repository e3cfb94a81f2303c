package wopi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

// lockFile is Lock, or UnlockAndRelock where an old lock is named (WOPI §2).
func lockFile(c *call) error {
	r := lock.Request{Op: lock.Lock, ID: c.r.Header.Get("X-WOPI-Lock")}
	if old := c.r.Header.Get("X-WOPI-OldLock"); strings.TrimSpace(old) != "" {
		r.Op, r.OldID = lock.UnlockAndRelock, old
	}
	return c.lock(r)
}

// refreshLock is RefreshLock (WOPI §2).
func refreshLock(c *call) error {
	return c.lock(lock.Request{Op: lock.Refresh, ID: c.r.Header.Get("X-WOPI-Lock")})
}

// unlockFile is Unlock (WOPI §2).
func unlockFile(c *call) error {
	return c.lock(lock.Request{Op: lock.Unlock, ID: c.r.Header.Get("X-WOPI-Lock")})
}

// lock does one operation on the WOPI lock.
func (c *call) lock(r lock.Request) error {
	r.Visible = c.flag("X-WOPI-LockUserVisible")
	r.Same = c.profile().sameLock
	c.holder(&r)
	var err error
	if text := c.header("X-WOPI-LockExpirationTimeout"); text != "" && r.Op != lock.Unlock {
		if r.Timeout, err = seconds(text); err != nil {
			return err
		}
	}
	e, err := c.lib.Lock(c.ctx, c.caller, c.id, r)
	if err != nil {
		// Clients learn the current lock from a 400 as well.
		var invalid *quire.Invalid
		if errors.As(err, &invalid) {
			if now, serr := c.file(); serr == nil && now.Access >= quire.Editor && now.Lock.WOPI != nil {
				c.w.Header().Set("X-WOPI-Lock", now.Lock.WOPI.ID)
			}
		}
		return err
	}
	c.setVersion(e)
	return c.done()
}

// holder says who asks for a lock.
func (c *call) holder(r *lock.Request) {
	r.User, r.Name, r.Editor = c.caller.User, c.caller.Name, c.caller.Editor
}

// seconds reads a timeout.
func seconds(text string) (time.Duration, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n < uint64(lock.MinTimeout/time.Second) || n > uint64(lock.MaxTimeout/time.Second) {
		return 0, badRequest("the lock timeout must be a number of seconds from 60 to 3600")
	}
	return time.Duration(n) * time.Second, nil
}

// getLock is GetLock (WOPI §2).
func getLock(c *call) error {
	e, err := c.file()
	if err != nil {
		return err
	}
	if e.Access < quire.Editor {
		return quire.ErrNotFound
	}
	switch lock.What(e.Lock) {
	case lock.None:
		setEmpty(c.w.Header(), "X-WOPI-Lock")
	case lock.ByWOPI:
		c.w.Header().Set("X-WOPI-Lock", e.Lock.WOPI.ID)
	default: // coauth locks cannot be told as a WOPI lock
		return &quire.Locked{State: e.Lock, Reason: "the file is being edited by several people at once"}
	}
	c.setVersion(e)
	return c.done()
}

// getCoauthLock is GetCoauthLock (CSPP Plus §2).
func getCoauthLock(c *call) error {
	return c.coauth(lock.Request{Op: lock.GetCoauth, Type: quire.CoauthType(c.header("X-WOPI-CoauthLockType"))})
}

// refreshCoauthLock is RefreshCoauthLock (CSPP Plus §2).
func refreshCoauthLock(c *call) error { return c.coauth(lock.Request{Op: lock.RefreshCoauth}) }

// unlockCoauthLock is UnlockCoauthLock (CSPP Plus §2).
func unlockCoauthLock(c *call) error { return c.coauth(lock.Request{Op: lock.UnlockCoauth}) }

// coauth does one operation on the coauth table and answers with the table.
func (c *call) coauth(r lock.Request) error {
	r.ID = c.r.Header.Get("X-WOPI-CoauthLockId")
	c.holder(&r)
	if r.Op != lock.UnlockCoauth {
		var err error
		if r.Timeout, err = seconds(c.header("X-WOPI-CoauthLockExpirationTimeout")); err != nil {
			return err
		}
		if r.Metadata, err = c.metadata(); err != nil {
			return err
		}
	}
	e, err := c.lib.Lock(c.ctx, c.caller, c.id, r)
	if err != nil {
		return coauthConflict(c, err)
	}
	if r.Op == lock.UnlockCoauth {
		return c.done()
	}
	return c.table(e)
}

// metadata reads a coauth lock's metadata. A body wins over the header.
func (c *call) metadata() (string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, 64<<10))
	if err != nil {
		return "", err
	}
	if len(body) == 0 {
		return c.r.Header.Get("X-WOPI-CoauthLockMetadata"), nil
	}
	var m struct{ CoauthLockMetadata *string }
	if err := json.Unmarshal(body, &m); err != nil {
		return "", badRequest("the body is not JSON with CoauthLockMetadata")
	}
	if m.CoauthLockMetadata == nil {
		return "", nil
	}
	return *m.CoauthLockMetadata, nil
}

// coauthConflict adds what a refusal of a coauth operation tells beyond that
// of a WOPI one (CSPP Plus §2, rule 9).
func coauthConflict(c *call, err error) error {
	var locked *quire.Locked
	if errors.As(err, &locked) && locked.State.WOPI != nil {
		c.w.Header().Set("X-WOPI-ConflictingMechanism", "WOPI-Lock")
	}
	return err
}

// getCoauthTable is GetCoauthTable (CSPP Plus §2). It needs no edit permission
// and writes nothing.
func getCoauthTable(c *call) error {
	e, err := c.file()
	if err != nil {
		return err
	}
	if e.Lock.WOPI != nil {
		return coauthConflict(c, &quire.Locked{State: e.Lock, Reason: "the file is being edited by one person: it has no coauth locks"})
	}
	v := lock.TableVersion(e.Lock)
	if strings.EqualFold(c.header("X-WOPI-CoauthTableVersion"), v) {
		c.w.Header().Set("X-WOPI-CoauthTableVersion", v)
		return c.done()
	}
	return c.table(e)
}

// table answers with the coauth table: these members and no others.
func (c *call) table(e library.Entry) error {
	type row struct {
		CoauthLockID       string `json:"CoauthLockId"`
		CoauthLockMetadata string
		CoauthLockType     quire.CoauthType
		UserFriendlyName   string
		CoauthLockTime     int64
	}
	rows := make([]row, len(e.Lock.Coauth))
	for i, l := range e.Lock.Coauth {
		rows[i] = row{l.ID, l.Metadata, l.Type, l.Name, l.Since.UnixMilli()}
	}
	c.w.Header().Set("X-WOPI-CoauthTableVersion", lock.TableVersion(e.Lock))
	return c.answer(struct{ CoauthTable []row }{rows})
}

// getSequenceNumber is GetSequenceNumber (CSPP Plus §3).
func getSequenceNumber(c *call) error {
	e, err := c.file()
	if err != nil {
		return err
	}
	c.setSequence(e.Sequence)
	return c.done()
}

func (c *call) setSequence(n int64) {
	c.w.Header().Set("X-WOPI-SequenceNumber", strconv.FormatInt(n, 10))
}
