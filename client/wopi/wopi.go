// Package wopi is a WOPI client for tests and operators: it makes any
// operation on any WOPI host, and checks hosts against the protocol's rules.
package wopi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// Resource is a file, a container or an ecosystem of a host: its URL and a
// token for it.
type Resource struct {
	Src   string // without the token
	Token string
	HTTP  *http.Client // nil is http.DefaultClient
}

// Open returns the resource that a URL with its token in the query names, as
// hosts give them in their answers.
func (r Resource) Open(text string) (Resource, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return r, fmt.Errorf("%.200q is not the URL of a resource", text)
	}
	token := u.Query().Get("access_token")
	if token == "" {
		return r, fmt.Errorf("the URL %s carries no access_token", strings.TrimSuffix(u.Scheme+"://"+u.Host+u.Path, "/"))
	}
	u.RawQuery = ""
	return Resource{Src: u.String(), Token: token, HTTP: r.HTTP}, nil
}

// Answer is a host's answer, read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Has says whether a header is there, be it empty.
func (a Answer) Has(name string) bool {
	_, ok := a.Header[http.CanonicalHeaderKey(name)]
	return ok
}

// JSON reads the body into v.
func (a Answer) JSON(v any) error {
	if kind := a.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return fmt.Errorf("the Content-Type is %q, not application/json", kind)
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("the body is not the JSON that was expected: %w", err)
	}
	return nil
}

// Do makes a request on a resource or what is below it ("/contents"). Headers
// are pairs of a name and a value; names are sent as WOPI writes them.
func (r Resource) Do(ctx context.Context, method, sub string, body []byte, headers ...string) (Answer, error) {
	u := r.Src + sub + "?access_token=" + url.QueryEscape(r.Token)
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := r.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	// A redirect is an answer too, and one that no host should give.
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := once.Do(req)
	if err != nil {
		return Answer{}, redact(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return Answer{resp.StatusCode, resp.Header, b}, err
}

// redact takes the URL, which has the token, out of an error.
func redact(err error) error {
	if e, ok := err.(*url.Error); ok {
		return fmt.Errorf("%s: %w", strings.ToLower(e.Op), e.Err)
	}
	return err
}

// Get is Do of a GET.
func (r Resource) Get(ctx context.Context, sub string, headers ...string) (Answer, error) {
	return r.Do(ctx, http.MethodGet, sub, nil, headers...)
}

// Op makes an operation that X-WOPI-Override names.
func (r Resource) Op(ctx context.Context, override string, headers ...string) (Answer, error) {
	return r.Do(ctx, http.MethodPost, "", nil, append([]string{"X-WOPI-Override", override}, headers...)...)
}

// Put saves a content under a lock; the empty lock is none.
func (r Resource) Put(ctx context.Context, content, lock string, headers ...string) (Answer, error) {
	if lock != "" {
		headers = append(headers, "X-WOPI-Lock", lock)
	}
	return r.Do(ctx, http.MethodPost, "/contents", []byte(content), append([]string{"X-WOPI-Override", "PUT"}, headers...)...)
}

// FileInfo is what CheckFileInfo tells, as far as the checks need it.
type FileInfo struct {
	BaseFileName, OwnerId, UserId, Version                         *string
	Size                                                           *int64
	FileExtension, LastModifiedTime, SHA256, FileUrl               string
	SupportsLocks, SupportsGetLock, SupportsUpdate, SupportsRename bool
	SupportsDeleteFile, SupportsContainers, SupportsEcosystem      bool
	SupportsUserInfo, SupportsAddActivities, SupportsCoauth        bool
	SupportsCobalt, SupportsFolders                                bool
	UserCanWrite, UserCanRename, UserCanNotWriteRelative, ReadOnly bool
	UserInfo, UserFriendlyName                                     string
	IsAnonymousUser, IsEduUser, LicenseCheckForEditIsEnabled       *bool
	SupportedShareUrlTypes                                         []string
	HostEditUrl, HostViewUrl, CloseUrl, FileSharingUrl, SignoutUrl string
	FileNameMaxLength                                              int64
}

// Info makes CheckFileInfo.
func (r Resource) Info(ctx context.Context) (info FileInfo, err error) {
	a, err := r.Get(ctx, "")
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("CheckFileInfo was answered %d", a.Status)
	}
	if err == nil {
		err = a.JSON(&info)
	}
	return info, err
}

// timeText is the form of LastModifiedTime.
const timeText = time.RFC3339Nano
