package ucloud

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// The protocols of an upload.
const (
	protoChunked = "CHUNKED"
	protoSocket  = "WEBSOCKET"
	protoV1      = "WEBSOCKET_V1"
	protoV2      = "WEBSOCKET_V2"
)

// policy is a conflictPolicy.
type policy string

const (
	policyRename      policy = "RENAME"
	policyReject      policy = "REJECT"
	policyReplace     policy = "REPLACE"
	policyMergeRename policy = "MERGE_RENAME"
)

// parsePolicy reads a conflictPolicy; none is the one that loses nothing.
func parsePolicy(text string) (policy, error) {
	switch p := policy(text); p {
	case "":
		return policyRename, nil
	case policyRename, policyReject, policyReplace, policyMergeRename:
		return p, nil
	}
	return "", bad("conflictPolicy must be RENAME, REJECT, REPLACE or MERGE_RENAME")
}

// files returns what the policy means for a file.
func (p policy) files() quire.OnConflict {
	switch p {
	case policyReject:
		return quire.Reject
	case policyReplace:
		return quire.Replace
	}
	return quire.RenameClose
}

// merges says whether a folder may become one with another.
func (p policy) merges() bool { return p == policyReplace || p == policyMergeRename }

type uploadItem struct {
	ID        string   `json:"id"`
	Type      string   `json:"type"`
	Protocols []string `json:"supportedProtocols"`
	Policy    string   `json:"conflictPolicy"`
}

type uploadAnswer struct {
	Endpoint string `json:"endpoint"`
	Protocol string `json:"protocol"`
	Token    string `json:"token"`
}

// createUpload begins uploads.
func createUpload(c *call) error {
	open, err := c.lib.OpenUploads(c.ctx, c.caller)
	if err != nil {
		return err
	}
	return bulk(c, true, func(item uploadItem) (uploadAnswer, error) {
		proto, err := negotiate(item)
		if err != nil {
			return uploadAnswer{}, err
		}
		_, path, err := c.locate(item.ID)
		if err != nil {
			return uploadAnswer{}, err
		}
		p, err := parsePolicy(item.Policy)
		if err != nil {
			return uploadAnswer{}, err
		}
		u, found := unfinished(open, item.Type, path, p)
		switch {
		case found:
			if u, err = c.attach(c.ctx, c.caller, u); errors.Is(err, quire.ErrUploadGone) {
				u, err = c.begin(item.Type, path, p)
			}
		default:
			u, err = c.begin(item.Type, path, p)
		}
		if err != nil {
			return uploadAnswer{}, err
		}
		token, err := c.token(c.ctx, u)
		if err != nil {
			return uploadAnswer{}, err
		}
		a := uploadAnswer{Protocol: proto, Token: token}
		switch proto {
		case protoChunked:
			a.Endpoint = c.endpoint("chunked", false)
		case protoV1:
			a.Endpoint = c.endpoint("websocket/upload/"+token, true)
		case protoV2:
			a.Endpoint = c.endpoint("upload?token="+token, true)
		}
		return a, nil
	})
}

// negotiate picks the first protocol of the client's that can do what it
// wants.
func negotiate(item uploadItem) (string, error) {
	if item.Type != "" && item.Type != typeFile && item.Type != typeFolder {
		return "", bad("type must be FILE or FOLDER")
	}
	folder := item.Type == typeFolder
	for _, p := range item.Protocols {
		switch {
		case p == protoV2, p == protoSocket && folder:
			return protoV2, nil
		case folder:
		case p == protoV1, p == protoSocket:
			return protoV1, nil
		case p == protoChunked:
			return protoChunked, nil
		}
	}
	if folder {
		return "", bad("folders need the protocol WEBSOCKET_V2")
	}
	return "", bad("no protocol in common: offer CHUNKED, WEBSOCKET, WEBSOCKET_V1 or WEBSOCKET_V2")
}

// unfinished returns the newest upload to the same place that has something to
// go on from. After a reload a browser begins anew, but sends its first chunk
// at the offset that it remembers.
func unfinished(open []quire.Upload, kind, path string, p policy) (quire.Upload, bool) {
	if kind == "" {
		kind = typeFile
	}
	for _, u := range slices.Backward(open) {
		if u.Door != quire.DoorUCloud || u.Meta[metaType] != kind || u.Meta[metaPolicy] != string(p) || !strings.EqualFold(u.Target.Path, path) {
			continue
		}
		if kind == typeFolder && u.Meta[metaIdle] == "" || u.Received > 0 {
			return u, true
		}
	}
	return quire.Upload{}, false
}

// begin makes the file or folder that an upload is for, and its session.
func (c *call) begin(kind, path string, p policy) (quire.Upload, error) {
	if kind == typeFolder {
		return c.beginFolder(path, p)
	}
	t := quire.Target{Path: path, OnConflict: p.files()}
	meta := map[string]string{metaType: typeFile, metaPolicy: string(p)}
	made := quire.NodeID("")
	e, err := c.existing(path, p)
	if err != nil {
		return quire.Upload{}, err
	}
	if e == nil {
		first := t
		if p == policyReplace {
			first.OnConflict = quire.Reject // what has come meanwhile stays
		}
		// The browser sends no chunk for an empty file, so it has to exist now.
		f, _, err := c.lib.Save(c.ctx, c.caller, first, strings.NewReader(""), library.Save{Sized: true})
		var taken *quire.Exists
		if p == policyReplace && errors.As(err, &taken) {
			f, err = c.lib.Stat(c.ctx, c.caller, taken.Node)
		} else if err == nil {
			made, meta[library.MetaBase] = f.ID, "1"
		}
		if err != nil {
			return quire.Upload{}, err
		}
		e = &f
	}
	t.Node = e.ID
	if p != policyReplace {
		t.OnConflict = quire.RenameClose
	}
	u, err := c.lib.CreateUpload(c.ctx, c.caller, library.NewUpload{Target: t, Declared: -1, Life: c.opt.Life, Meta: meta})
	if err != nil && made != "" {
		c.discard(made)
	}
	return u, err
}

// existing returns the file that a REPLACE is for, if it is there.
func (c *call) existing(path string, p policy) (*library.Entry, error) {
	if p != policyReplace {
		return nil, nil
	}
	e, err := c.lib.Lookup(c.ctx, c.caller, path)
	switch {
	case errors.Is(err, quire.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case e.IsContainer():
		return nil, &quire.Exists{Node: e.ID, Name: e.Name, Free: e.Name + "(1)"}
	case e.Access < quire.Editor:
		return nil, quire.ErrForbidden
	}
	return &e, nil
}

// discard removes an empty file whose upload could not begin.
func (c *call) discard(id quire.NodeID) {
	ctx := context.WithoutCancel(c.ctx)
	err := c.lib.Delete(ctx, c.caller, id, quire.Precondition{}, nil)
	if err == nil {
		err = c.lib.Purge(ctx, c.caller, id)
	}
	if err != nil {
		c.log.Warn("an empty file stays of an upload that could not begin", "node", id, "error", err)
	}
}

func (c *call) beginFolder(path string, p policy) (quire.Upload, error) {
	e, _, err := c.makeFolder(path, p)
	if err != nil {
		return quire.Upload{}, err
	}
	return c.lib.CreateUpload(c.ctx, c.caller, library.NewUpload{
		Target: quire.Target{Node: e.ID, Path: path}, Declared: -1, Life: c.opt.Life,
		Meta: map[string]string{metaType: typeFolder, metaPolicy: string(p)},
	})
}

// makeFolder makes a folder at a path, as the policy says.
func (c *call) makeFolder(path string, p policy) (e library.Entry, created bool, err error) {
	if path == "/" && p.merges() {
		e, err = c.lib.Lookup(c.ctx, c.caller, path)
		return e, false, err
	}
	t := quire.Target{Path: path, OnConflict: p.files()}
	if p.merges() {
		t.OnConflict = quire.Replace
	}
	e, created, err = c.lib.CreateContainer(c.ctx, c.caller, t)
	var taken *quire.Exists
	if p == policyMergeRename && errors.As(err, &taken) {
		t.OnConflict = quire.RenameClose // a file has the name
		e, created, err = c.lib.CreateContainer(c.ctx, c.caller, t)
	}
	return e, created, err
}
