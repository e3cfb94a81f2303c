package wopi_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/wopi"
)

// Programs without a browser get what they need for WOPI with a personal
// access token; it never does more than the token.
func TestAccessAPI(t *testing.T) {
	f := open(t, nil)
	e := f.save("/d/a.docx", "one")
	f.save("/d/a.docx", "two")
	ctx := context.Background()
	pat := func(c quire.Caller, scope quire.Scope) string {
		text, _, err := f.ids.CreateToken(ctx, c.User, "", scope, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ask := func(method, bearer, query string) answer {
		r := f.at(f.base + wopi.AccessPath + "?" + query)
		return r.send(method, "", nil, "Authorization", "Bearer "+bearer)
	}
	editor, reader, viewer := pat(f.bob, quire.ScopeWrite), pat(f.bob, quire.ScopeRead), pat(f.eve, quire.ScopeWrite)
	use := func(bearer, query string) resource {
		a := ask("POST", bearer, query)
		if a.StatusCode != 200 {
			t.Fatalf("%s: %d %s", query, a.StatusCode, a.body)
		}
		m := a.json(t)
		return f.at(m["wopisrc"].(string) + "?access_token=" + url.QueryEscape(m["access_token"].(string)))
	}
	byPath := use(editor, "path=/d/a.docx")
	if a := byPath.get("/contents"); string(a.body) != "two" {
		t.Errorf("it reads %q", a.body)
	}
	want(t, "lock", byPath.lock("L"), 200)
	want(t, "unlock", byPath.op("UNLOCK", "X-WOPI-Lock", "L"), 200)
	if a := use(editor, "uid="+string(e.ID)+"&revision=1").get("/contents"); string(a.body) != "one" {
		t.Errorf("the old revision reads %q", a.body)
	}
	for who, r := range map[string]resource{"a token that may read": use(reader, "path=/d/a.docx"), "a viewer": use(viewer, "path=/d/a.docx")} {
		if a := r.get("/contents"); string(a.body) != "two" {
			t.Errorf("%s reads %q", who, a.body)
		}
		if a := r.lock("L"); a.StatusCode == 200 {
			t.Errorf("%s may lock", who)
		}
	}
	if a := use(editor, "path=/d").get(""); a.json(t)["Name"] != "d" {
		t.Errorf("a folder: %s", a.body)
	}
	for _, row := range []struct {
		what, method, bearer, query string
		status                      int
	}{
		{"no token", "POST", "", "path=/d/a.docx", 401},
		{"a wrong token", "POST", editor[:len(editor)-1], "path=/d/a.docx", 401},
		{"a WOPI token", "POST", strings.TrimPrefix(byPath.q, "access_token="), "path=/d/a.docx", 401},
		{"GET", "GET", editor, "path=/d/a.docx", 405},
		{"nothing named", "POST", editor, "", 400},
		{"both named", "POST", editor, "path=/d&uid=x", 400},
		{"a bad path", "POST", editor, "path=/../x", 400},
		{"a file that is not there", "POST", editor, "path=/none", 404},
		{"an id that is not there", "POST", editor, "uid=none", 404},
		{"no revision's number", "POST", editor, "path=/d/a.docx&revision=-1", 400},
	} {
		a := ask(row.method, row.bearer, row.query)
		if a.StatusCode != row.status || !strings.Contains(string(a.body), `"msg"`) {
			t.Errorf("%s: %d %s, want %d", row.what, a.StatusCode, a.body, row.status)
		}
		if a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: it may be cached", row.what)
		}
	}
}
