package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blank"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/server"
)

// appPaths are the places of the application. All get the same page, and its
// script shows what the path names.
var appPaths = []string{"/files", "/files/{id}", "/shared", "/trash", "/search", "/account", "/account/{tab}", "/admin", "/admin/{tab}"}

// policy is that of the application's pages: nothing but our own files, no
// inline script or style, no text made into markup, framed by nobody.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; media-src 'self'; " +
	"frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// boot is what the application's script needs before its first request.
type boot struct {
	Form      string                `json:"form"`
	UID       quire.UserID          `json:"uid"`
	Name      string                `json:"name"`
	Admin     bool                  `json:"admin"`
	Root      quire.NodeID          `json:"root"`
	Files     bool                  `json:"files"` // the root is theirs to see
	Language  string                `json:"language"`
	Theme     string                `json:"theme"`
	Documents []string              `json:"documents"` // extensions of new documents
	Editors   map[string]editorKind `json:"editors"`
}

// editorKind is what the configured editors can do with a kind of file.
type editorKind string

const (
	canEdit editorKind = "edit"
	canView editorKind = "view"
)

// officeKinds are the extensions that editors are asked about.
var officeKinds = strings.Fields("doc docx docm dot dotx odt ott fodt rtf txt xls xlsx xlsm xlsb xltx ods ots fods csv ppt pptx pptm ppsx potx odp otp odg vsd vsdx pdf one epub html md")

func (d *Door) editors() map[string]editorKind {
	out := make(map[string]editorKind)
	if d.opt.Opens == nil {
		return out
	}
	for _, ext := range officeKinds {
		switch {
		case d.opt.Opens("."+ext, "edit"):
			out[ext] = canEdit
		case d.opt.Opens("."+ext, "view"):
			out[ext] = canView
		}
	}
	return out
}

// application answers with the page of the application.
func (d *Door) application(w http.ResponseWriter, r *http.Request) {
	s, err := d.ids.Session(r.Context(), identity.CookieOf(r))
	if err != nil {
		http.Redirect(w, r, "/signin?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	caller := s.Caller
	caller.Door, caller.Addr = quire.DoorWeb, server.ClientAddr(r.Context())
	site, _, err := d.lib.SiteOf(r.Context(), caller)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	sees, err := d.seesRoot(r, caller)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	v := d.view(r, "Quire")
	v.Entry = d.entry
	v.Boot = &boot{
		Form: s.FormToken(), UID: caller.User, Name: caller.Name, Admin: caller.Role == quire.RoleAdmin, Root: site.Root, Files: sees,
		Language: v.Language, Theme: v.Theme, Documents: blank.Extensions(), Editors: d.editors(),
	}
	d.page(w, http.StatusOK, "application", v)
}

// seesRoot says whether somebody may see the site's own folder; who may not has
// what was shared with them.
func (d *Door) seesRoot(r *http.Request, c quire.Caller) (bool, error) {
	_, err := d.lib.Lookup(r.Context(), c, "/")
	if errors.Is(err, quire.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
