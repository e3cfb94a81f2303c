package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quire-docs/quire/client/wopi"
)

// crooked is a proxy in front of the real server that breaks a rule.
type crooked struct {
	http.Handler
	change atomic.Pointer[func(*http.Response)]
}

// TestWopiCheck makes all checks on the real server, which must keep every
// rule, and then on one that breaks them one by one, which must be found out.
func TestWopiCheck(t *testing.T) {
	var target atomic.Pointer[url.URL]
	c := new(crooked)
	c.Handler = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target.Load()) },
		ModifyResponse: func(r *http.Response) error {
			if f := c.change.Load(); f != nil {
				(*f)(r)
			}
			return nil
		},
	}
	proxy := httptest.NewServer(c)
	defer proxy.Close()
	s, err := launch(t.TempDir(), "--public-url", proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	// The ready line has the public URL; where the server listens is told too.
	direct, err := url.Parse("http://" + s.listen)
	if err != nil {
		t.Fatal(err)
	}
	target.Store(direct)
	local := filepath.Join(t.TempDir(), "given.docx")
	if err := os.WriteFile(local, []byte("the given file"), 0o600); err != nil {
		t.Fatal(err)
	}
	quire := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(program(t), args...)
		cmd.Env = append(os.Environ(), "QUIRE_SERVER="+proxy.URL, "QUIRE_TOKEN="+newToken(t, s.data), "QUIRE_DATA="+s.data, "QUIRE_PUBLIC_URL="+proxy.URL)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("quire %s: %v\n%s", args[0], err, out)
		}
		return string(out)
	}
	quire("put", local, "papers/")
	var access struct {
		Src   string `json:"wopisrc"`
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(quire("wopi", "url", "/papers/given.docx", "--user", "admin")), &access); err != nil {
		t.Fatal(err)
	}
	out := quire("wopi", "check", access.Src, "--token", access.Token)
	if !strings.HasSuffix(strings.TrimSpace(out), "0 failed, 0 skipped") {
		t.Errorf("%s", out)
	}
	if list := quire("ls", "papers"); strings.Count(list, "\n") != 2 || !strings.Contains(list, "given.docx") {
		t.Errorf("the checks leave something behind:\n%s", list)
	}
	if got := quire("get", "papers/given.docx", "-"); got != "the given file" {
		t.Errorf("the given file is %q", got)
	}

	file, err := wopi.File(access.Src, access.Token, proxy.Client())
	if err != nil {
		t.Fatal(err)
	}
	is := func(r *http.Response, method, override string) bool {
		return r.Request.Method == method && r.Request.Header.Get("X-WOPI-Override") == override
	}
	replace := func(r *http.Response, old, new string) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		b = bytes.ReplaceAll(b, []byte(old), []byte(new))
		r.Body = io.NopCloser(bytes.NewReader(b))
		r.ContentLength = int64(len(b))
		r.Header.Del("Content-Length")
	}
	for _, fault := range []struct {
		what, check string
		change      func(*http.Response)
	}{
		{"Lock of another id is accepted", "Lock: another id", func(r *http.Response) {
			if is(r, "POST", "LOCK") && r.StatusCode == 409 {
				r.StatusCode = 200
			}
		}},
		{"X-WOPI-Lock is left out of a 409", "PutFile: another lock", func(r *http.Response) {
			if r.StatusCode == 409 {
				r.Header.Del("X-WOPI-Lock")
			}
		}},
		{"the empty X-WOPI-Lock is left out", "PutFile: unlocked", func(r *http.Response) {
			if r.Header.Get("X-WOPI-Lock") == "" {
				r.Header.Del("X-WOPI-Lock")
			}
		}},
		{"a wrong id in X-WOPI-Lock", "UnlockAndRelock", func(r *http.Response) {
			if r.Header.Get("X-WOPI-Lock") == "M" {
				r.Header.Set("X-WOPI-Lock", "L")
			}
		}},
		{"unknown operations are 400", "Operations: unsupported", func(r *http.Response) {
			if r.StatusCode == 501 {
				r.StatusCode = 400
			}
		}},
		{"what is gone is 403", "DeleteFile", func(r *http.Response) {
			if r.StatusCode == 404 {
				r.StatusCode = 403
			}
		}},
		{"no version after a save", "CheckFileInfo: version", func(r *http.Response) {
			if is(r, "POST", "PUT") {
				r.Header.Del("X-WOPI-ItemVersion")
			}
		}},
		{"a property is null", "CheckFileInfo: required properties", func(r *http.Response) {
			if r.Request.Method == "GET" {
				replace(r, `"OwnerId":"`, `"OwnerIdentity":"`)
			}
		}},
		{"a size is text", "CheckFileInfo: required properties", func(r *http.Response) {
			if r.Request.Method == "GET" {
				replace(r, `"Size":5`, `"Size":"5"`)
			}
		}},
		{"an empty URL", "CheckFileInfo: URLs", func(r *http.Response) {
			if r.Request.Method == "GET" {
				replace(r, `"BaseFileName"`, `"TestUrl":"","BaseFileName"`)
			}
		}},
		{"JSON without its type", "EnumerateAncestors", func(r *http.Response) { r.Header.Set("Content-Type", "text/html") }},
		{"412 is 200", "GetFile: MaxExpectedSize", func(r *http.Response) {
			if r.StatusCode == 412 {
				r.StatusCode = 200
			}
		}},
		{"a byte is changed", "PutFile: its lock", func(r *http.Response) {
			if strings.HasSuffix(r.Request.URL.Path, "/contents") && r.Request.Method == "GET" {
				replace(r, "new", "old")
			}
		}},
		{"no suggestion for a taken name", "PutRelativeFile: relative name", func(r *http.Response) { r.Header.Del("X-WOPI-ValidRelativeTarget") }},
		{"a taken suggestion is refused", "PutRelativeFile: suggested name taken", func(r *http.Response) {
			if is(r, "POST", "PUT_RELATIVE") {
				replace(r, " (1).", ".")
			}
		}},
		{"no reason for a bad name", "RenameFile: illegal", func(r *http.Response) {
			if is(r, "POST", "RENAME_FILE") && r.StatusCode >= 400 {
				r.Header.Del("X-WOPI-InvalidFileNameError")
				r.StatusCode = 400
			} else if is(r, "POST", "RENAME_FILE") {
				r.StatusCode = 500
			}
		}},
		{"no reason for a failure", "Errors", func(r *http.Response) { r.Header.Del("X-WOPI-ServerError") }},
		{"wrong tokens are 200", "Tokens: wrong", func(r *http.Response) {
			if r.StatusCode == 401 {
				r.StatusCode = 200
			}
		}},
		{"a list is missing", "EnumerateChildren: filter", func(r *http.Response) { replace(r, `"ChildContainers":[]`, `"Nothing":[]`) }},
		{"a container that is not empty goes", "DeleteContainer", func(r *http.Response) {
			if is(r, "POST", "DELETE_CONTAINER") && r.StatusCode == 409 {
				r.StatusCode = 200
			}
		}},
		{"the sequence number stands still", "GetSequenceNumber", func(r *http.Response) {
			if r.Header.Get("X-WOPI-SequenceNumber") != "" {
				r.Header.Set("X-WOPI-SequenceNumber", "7")
			}
		}},
		{"a lock beside coauth locks", "Coauth locks", func(r *http.Response) {
			if is(r, "POST", "LOCK") && r.StatusCode == 409 {
				r.StatusCode = 200
			}
		}},
		{"a redirect", "GetFile", func(r *http.Response) {
			if strings.HasSuffix(r.Request.URL.Path, "/contents") && r.Request.Method == "GET" {
				r.StatusCode = 302
				r.Header.Set("Location", "/elsewhere")
			}
		}},
	} {
		t.Run(fault.what, func(t *testing.T) {
			c.change.Store(&fault.change)
			defer c.change.Store(nil)
			found := false
			failed := wopi.Run(context.Background(), file, fault.check, func(r wopi.Result) {
				if r.Name == fault.check && len(r.Broken) > 0 {
					found = true
				}
			})
			if !found {
				t.Errorf("%q does not find it; %d checks fail", fault.check, failed)
			}
		})
	}
}
