package wopi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// getFile is GetFile (WOPI §2). Locks never stand in its way.
func getFile(c *call) error {
	in, err := c.lib.Open(c.ctx, c.caller, c.id, c.rev)
	if err != nil {
		return err
	}
	defer in.Close()
	if text := c.header("X-WOPI-MaxExpectedSize"); text != "" {
		most, err := strconv.ParseInt(text, 10, 64)
		if err != nil || most < 0 {
			return badRequest("X-WOPI-MaxExpectedSize is not a number")
		}
		if in.Size > most {
			return &statusError{http.StatusPreconditionFailed, "the file is larger than X-WOPI-MaxExpectedSize"}
		}
	}
	c.w.Header().Set("X-WOPI-ItemVersion", version(in.Sequence))
	return c.serveContent(in)
}

// putFile is PutFile (WOPI §2, §8).
func putFile(c *call) error {
	e, err := c.file()
	if err != nil {
		return err
	}
	key, err := c.lockKey()
	if err != nil {
		return err
	}
	p := c.profile()
	o := library.Save{
		Precondition: quire.Precondition{Key: key, Unlocked: p.unlocked},
		SameLock:     p.sameLock, Max: c.opt.MaxSize, Authors: c.editors(),
		Kind: c.saveKind(p, key), Session: sessionOf(key.WOPI),
	}
	if c.r.ContentLength >= 0 {
		o.Length, o.Sized = c.r.ContentLength, true
	}
	if text := c.coolHeader("Timestamp"); text != "" {
		if o.Modified, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return badRequest("the timestamp header is not a time as LastModifiedTime gives it")
		}
	}
	// An editor that holds the lock asks its user about a conflict. One that
	// does not, or that is closing, has nobody to ask.
	o.Rescue = p.rescue && (!c.hasLock(e, key) || strings.EqualFold(c.coolHeader("IsExitSave"), "true"))
	e, _, err = c.lib.Save(c.ctx, c.caller, quire.Target{Node: c.id}, c.r.Body, o)
	var conflict *quire.Conflict
	if errors.As(err, &conflict) {
		return c.documentChanged(conflict)
	}
	if err != nil {
		return err
	}
	c.setVersion(e)
	return c.answer(struct{ LastModifiedTime string }{timeText(e.Modified)})
}

// documentChanged is the answer that makes Collabora ask its user instead of
// overwriting (WOPI §3).
func (c *call) documentChanged(conflict *quire.Conflict) error {
	setEmpty(c.w.Header(), "X-WOPI-Lock")
	c.w.Header().Set("X-WOPI-ServerError", asciiLine(conflict.Error()))
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusConflict)
	return ignoreGone(json.NewEncoder(c.w).Encode(map[string]int{"COOLStatusCode": 1010, "LOOLStatusCode": 1010}))
}

// coolHeader returns a header of the family that Collabora sends under two
// names.
func (c *call) coolHeader(name string) string {
	if v := c.header("X-COOL-WOPI-" + name); v != "" {
		return v
	}
	return c.header("X-LOOL-WOPI-" + name)
}

// saveKind says why the editor saves, as far as it tells.
func (c *call) saveKind(p profile, key quire.LockKey) quire.SaveKind {
	switch {
	case strings.EqualFold(c.coolHeader("IsExitSave"), "true"):
		return quire.SaveExit
	case strings.EqualFold(c.coolHeader("IsAutosave"), "true"):
		return quire.SaveAutosave
	case p.autosaves && key.WOPI != "":
		return quire.SaveAutosave
	}
	return quire.SaveManual
}

// sessionOf names the editing session of a lock, so that its autosaves can
// collapse in the history.
func sessionOf(lockID string) string {
	if lockID == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(lockID))
	return hex.EncodeToString(sum[:8])
}

// editors reads who contributed to a save. Only what a proof key signed is
// believed; otherwise it is the caller.
func (c *call) editors() []quire.UserID {
	if !c.signed {
		return nil
	}
	var list []quire.UserID
	for id := range strings.SplitSeq(c.header("X-WOPI-Editors"), ",") {
		id = strings.TrimSpace(id)
		if id == "" || len(id) > 64 || len(list) == 100 {
			continue
		}
		if _, err := c.lib.UserByID(c.ctx, c.caller, quire.UserID(id)); err == nil {
			list = append(list, quire.UserID(id))
		}
	}
	return list
}
