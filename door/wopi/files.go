package wopi

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/wopi/utf7"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
	"github.com/quire-docs/quire/server"
)

// fileInfo is the answer of CheckFileInfo (WOPI §3). Members that do not apply
// are left out; those without omitempty say something by being false.
type fileInfo struct {
	BaseFileName string
	OwnerID      string `json:"OwnerId"`
	Size         int64
	UserID       string `json:"UserId"`
	Version      string

	SupportsLocks              bool
	SupportsGetLock            bool
	SupportsExtendedLockLength bool
	SupportsUpdate             bool
	SupportsRename             bool
	SupportsDeleteFile         bool
	SupportsContainers         bool
	SupportsEcosystem          bool
	SupportsUserInfo           bool
	SupportsAddActivities      bool
	SupportsFileCreation       bool
	SupportsGetFileWopiSrc     bool
	SupportedShareURLTypes     []string `json:"SupportedShareUrlTypes"`
	SupportsCobalt             bool
	SupportsFolders            bool
	SupportsScenarioLinks      bool
	SupportsSecureStore        bool

	UserFriendlyName             string
	UserPrincipalName            string `json:",omitempty"`
	UserInfo                     string `json:",omitempty"`
	IsAnonymousUser              bool   `json:",omitempty"`
	IsEduUser                    bool
	LicenseCheckForEditIsEnabled bool

	ReadOnly                bool
	UserCanWrite            bool
	UserCanRename           bool
	UserCanNotWriteRelative bool
	UserCanReview           bool
	WebEditingDisabled      bool `json:",omitempty"`

	FileExtension     string `json:",omitempty"`
	FileNameMaxLength int
	LastModifiedTime  string
	UniqueContentID   string `json:"UniqueContentId,omitempty"`
	FileURL           string `json:"FileUrl"`
	DownloadURL       string `json:"DownloadUrl"`
	TenantID          string `json:"TenantId"`

	HostEditURL          string `json:"HostEditUrl,omitempty"`
	HostViewURL          string `json:"HostViewUrl"`
	CloseURL             string `json:"CloseUrl"`
	SignoutURL           string `json:"SignoutUrl,omitempty"`
	BreadcrumbBrandName  string
	BreadcrumbBrandURL   string `json:"BreadcrumbBrandUrl"`
	BreadcrumbDocName    string
	BreadcrumbFolderName string `json:",omitempty"`

	PostMessageOrigin   string
	ClosePostMessage    bool
	EditModePostMessage bool

	// Collabora's and OnlyOffice's own.
	IsAdminUser            *bool             `json:",omitempty"`
	UserExtraInfo          map[string]string `json:",omitempty"`
	EnableOwnerTermination bool              `json:",omitempty"`

	*coauthInfo
}

// checkFileInfo is CheckFileInfo (WOPI §3).
func checkFileInfo(c *call) error {
	e, err := c.file()
	if err != nil {
		return err
	}
	info, err := c.info(e)
	if err != nil {
		return err
	}
	return c.answer(info)
}

func (c *call) info(e library.Entry) (*fileInfo, error) {
	_, r, err := c.lib.Revision(c.ctx, c.caller, e.ID, c.rev)
	if err != nil {
		return nil, err
	}
	modified, seq, size := e.Modified, e.Sequence, e.Size
	if c.rev != 0 {
		modified, seq, size = r.Created, r.Sequence, r.Size
	}
	canWrite := c.rev == 0 && e.Access >= quire.Editor && c.caller.Scope.Allows(quire.ScopeWrite)
	up, complete, err := c.lib.Ancestors(c.ctx, c.caller, e.ID)
	if err != nil {
		return nil, err
	}
	var parent *library.Entry
	if len(up) > 0 && up[len(up)-1].ID == e.Parent {
		parent = &up[len(up)-1]
	}
	id := url.PathEscape(fileID(e.ID, c.rev))
	info := &fileInfo{
		BaseFileName: e.Name, OwnerID: ownerID(e), Size: size, UserID: c.userID(), Version: version(seq),

		SupportsLocks: true, SupportsGetLock: true, SupportsExtendedLockLength: true, SupportsUpdate: true,
		SupportsRename: true, SupportsDeleteFile: true, SupportsContainers: true, SupportsEcosystem: true,
		SupportsUserInfo: true, SupportsAddActivities: true, SupportsFileCreation: true, SupportsGetFileWopiSrc: true,
		SupportedShareURLTypes: []string{"ReadOnly", "ReadWrite"},

		UserFriendlyName: c.caller.Name, IsAnonymousUser: c.caller.User == "",
		IsEduUser: c.opt.Education, LicenseCheckForEditIsEnabled: c.opt.Business,

		ReadOnly: !canWrite, UserCanWrite: canWrite, UserCanRename: canWrite,
		UserCanNotWriteRelative: !canWrite || parent == nil || parent.Access < quire.Editor,

		FileExtension: path.Ext(e.Name), FileNameMaxLength: quire.MaxNameBytes - len(path.Ext(e.Name)),
		LastModifiedTime: timeText(modified), TenantID: string(e.Site),

		HostViewURL: c.base() + "/view/" + id, CloseURL: c.base() + "/",
		BreadcrumbBrandName: "Quire", BreadcrumbBrandURL: c.base() + "/", BreadcrumbDocName: e.Name,

		PostMessageOrigin: c.base(), ClosePostMessage: true, EditModePostMessage: true,
	}
	if parent != nil && complete && parent.Name != "" {
		info.BreadcrumbFolderName = parent.Name
	}
	if canWrite {
		info.HostEditURL = c.base() + "/edit/" + id
	}
	if r.Sum != nil {
		info.UniqueContentID = base64.StdEncoding.EncodeToString(r.Sum)
	}
	if c.caller.User != "" {
		u, err := c.lib.UserByID(c.ctx, c.caller, c.caller.User)
		if err != nil {
			return nil, err
		}
		info.UserInfo, info.UserPrincipalName = u.Info, u.Login
		info.SignoutURL = c.base() + "/signout"
		if c.profile().collabora {
			admin := u.Role == quire.RoleAdmin
			info.IsAdminUser = &admin
			info.EnableOwnerTermination = e.Owner == u.ID
			if u.Email != "" {
				info.UserExtraInfo = map[string]string{"mail": u.Email}
			}
		}
	}
	for target, attach := range map[*string]bool{&info.FileURL: false, &info.DownloadURL: true} {
		if *target, err = c.rawURL(e.ID, attach); err != nil {
			return nil, err
		}
	}
	info.coauthInfo, err = c.coauthInfo(e)
	return info, err
}

// userID is stable and made of letters and digits only. Guests of a share link
// have one for as long as their token lives.
func (c *call) userID() string {
	if c.caller.User != "" {
		return string(c.caller.User)
	}
	return "guest" + c.tok.Guest
}

func ownerID(e library.Entry) string {
	if e.Owner == "" {
		return string(e.Site)
	}
	return string(e.Owner)
}

// A raw URL gives a file's bytes to whoever holds it, without a header: for
// FileUrl and DownloadUrl. It expires with the token that it was made for.
const rawPurpose = "wopi-file"

type rawToken struct {
	token
	Attach bool `json:"a,omitempty"`
}

func (c *call) rawURL(id quire.NodeID, attach bool) (string, error) {
	t := rawToken{token: c.tok, Attach: attach}
	t.Node = id
	b, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	text, err := c.ids.Sign(c.ctx, rawPurpose, b, c.tok.expires)
	return c.base() + "/wopi/raw/" + text, err
}

func (c *call) rawFile(sig string) error {
	payload, _, err := c.ids.Open(c.ctx, rawPurpose, sig)
	if err != nil {
		return err
	}
	var t rawToken
	if err := json.Unmarshal(payload, &t); err != nil {
		return quire.ErrUnauthenticated
	}
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return &statusError{http.StatusMethodNotAllowed, "use GET"}
	}
	if c.caller, err = c.callerOf(c.ctx, t.token); err != nil {
		return err
	}
	in, err := c.lib.Open(c.ctx, c.caller, t.Node, t.Revision)
	if err != nil {
		return err
	}
	defer in.Close()
	if t.Attach {
		c.w.Header().Set("Content-Disposition", "attachment; filename*=UTF-8''"+strings.ReplaceAll(url.QueryEscape(in.Entry.Name), "+", "%20"))
	}
	return c.serveContent(in)
}

// serveContent sends a file's bytes, or the range that is asked for.
func (c *call) serveContent(in *library.Content) error {
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("ETag", `"`+string(in.Entry.ID)+"-"+version(in.Sequence)+`"`)
	begun, err := server.ServeContent(c.w, c.r, time.Time{}, in.Reader(0, in.Size))
	if begun {
		return nil // the client sees what is missing
	}
	return err
}

// renameFile is RenameFile (WOPI §2).
func renameFile(c *call) error {
	key, err := c.lockKey()
	if err != nil {
		return err
	}
	wish, err := utf7.Decode(c.r.Header.Get("X-WOPI-RequestedName"))
	if err != nil || strings.TrimSpace(wish) == "" {
		c.w.Header().Set("X-WOPI-InvalidFileNameError", "the requested name is missing or not UTF-7")
		return badRequest("X-WOPI-RequestedName is missing or not UTF-7")
	}
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(c.w, c.r.Body, 1<<20)) // Collabora attaches a body
	e, err := c.file()
	if err != nil {
		return err
	}
	ext := path.Ext(e.Name)
	if len(wish) > len(ext) && strings.EqualFold(path.Ext(wish), ext) && ext != "" {
		wish = wish[:len(wish)-len(ext)]
	}
	name := library.SanitizeName(wish + ext)
	e, err = c.lib.Move(c.ctx, c.caller, c.id, quire.Target{Name: name}, quire.Precondition{Key: key}, c.profile().sameLock)
	if err != nil {
		return err
	}
	u, err := c.pointer(aFile, e.ID)
	if err != nil {
		return err
	}
	c.setVersion(e)
	return c.answer(struct {
		Name string
		URL  string `json:"Url"`
	}{strings.TrimSuffix(e.Name, path.Ext(e.Name)), u})
}

// lockKey reads what a request presents to the file's lock.
func (c *call) lockKey() (quire.LockKey, error) {
	k := quire.LockKey{WOPI: c.r.Header.Get("X-WOPI-Lock"), Coauth: c.r.Header.Get("X-WOPI-CoauthLockId")}
	if strings.TrimSpace(k.WOPI) == "" {
		k.WOPI = ""
	}
	if strings.TrimSpace(k.Coauth) == "" {
		k.Coauth = ""
	}
	if k.WOPI != "" && k.Coauth != "" {
		return k, badRequest("present X-WOPI-Lock or X-WOPI-CoauthLockId, not both")
	}
	if len(k.WOPI) > quire.MaxLockID || len(k.Coauth) > quire.MaxLockID {
		return k, badRequest("the lock id is too long: use at most 1024 characters")
	}
	return k, nil
}

// deleteFile is DeleteFile (WOPI §2).
func deleteFile(c *call) error {
	if _, err := c.file(); err != nil {
		return err
	}
	if err := c.lib.Delete(c.ctx, c.caller, c.id, quire.Precondition{}, nil); err != nil {
		return err
	}
	return c.done()
}

// putUserInfo is PutUserInfo (WOPI §2).
func putUserInfo(c *call) error {
	if _, err := c.file(); err != nil {
		return err
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, quire.MaxUserInfo))
	if err != nil {
		return err
	}
	if c.caller.User == "" {
		return errUnsupported // there is no user to keep it for
	}
	if err := c.lib.SetUserInfo(c.ctx, c.caller, string(b)); err != nil {
		return err
	}
	return c.done()
}

// enumerateAncestors is EnumerateAncestors for files and containers (WOPI §2).
func enumerateAncestors(c *call) error {
	if c.tok.Kind == aFile {
		if _, err := c.file(); err != nil {
			return err
		}
	} else if _, err := c.container(); err != nil {
		return err
	}
	up, complete, err := c.lib.Ancestors(c.ctx, c.caller, c.id)
	if err != nil {
		return err
	}
	list := make([]namedURL, len(up))
	for i, e := range up {
		if list[i], err = c.named(aContainer, e); err != nil {
			return err
		}
	}
	if !complete {
		c.w.Header().Set("X-WOPI-EnumerationIncomplete", "true")
	}
	return c.answer(struct{ AncestorsWithRootFirst []namedURL }{list})
}

// namedURL is a resource as lists name it.
type namedURL struct {
	Name string
	URL  string `json:"Url"`
}

func (c *call) named(kind resource, e library.Entry) (namedURL, error) {
	u, err := c.pointer(kind, e.ID)
	return namedURL{displayName(e), u}, err
}

// displayName is a node's name; a site's root has none of its own.
func displayName(e library.Entry) string {
	if e.Parent == "" {
		return "Documents"
	}
	return e.Name
}

// getShareURL is GetShareUrl for files and containers (WOPI §2).
func getShareURL(c *call) error {
	access, ok := map[string]quire.Access{"ReadOnly": quire.Viewer, "ReadWrite": quire.Editor}[c.header("X-WOPI-UrlType")]
	if !ok {
		return errUnsupported
	}
	k, err := c.lib.StandingLink(c.ctx, c.caller, c.id, access)
	if err != nil {
		return err
	}
	return c.answer(struct {
		ShareURL string `json:"ShareUrl"`
	}{c.base() + "/s/" + string(k.ID)})
}

// hasLock says whether the caller presents the lock that a file has.
func (c *call) hasLock(e library.Entry, key quire.LockKey) bool {
	return lock.MayChange(e.Lock, lock.Attempt{Change: lock.Rename, Key: key, Same: c.profile().sameLock}, time.Now()) == nil && !lock.Empty(key) && lock.What(e.Lock) != lock.None
}
