package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestAuditOfAccounts: who signs in, tries to, and changes credentials is
// recorded with where from, and nothing in the record is of use to sign in with.
func TestAuditOfAccounts(t *testing.T) {
	data := t.TempDir()
	s, err := launch(data)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	quireOutput(t, data, "user", "add", "ann", "--access", "editor") // its password is quireOutput's
	admin := quireOutput(t, data, "token", "create", "--user", "admin", "--scope", "admin")

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	signIn := func(login, password string, want int) {
		t.Helper()
		resp, err := browser.PostForm(s.url+"/signin", url.Values{"login": {login}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Fatalf("signing in as %q: %d", login, resp.StatusCode)
		}
	}
	signIn("ann", "not her password", 401)
	signIn("hunter2 in the wrong field", "x", 401)
	signIn("ann", "a long password", 303)

	// A program that keeps a copy asks the file API.
	resp, text := ask(t, "GET", s.url+"/api/v1/admin/events?after=0", admin, "")
	var page struct {
		Events []struct {
			Kind    string
			Refused bool
			Name    string
			Door    string
			Addr    string
			Detail  map[string]any
		}
	}
	if err := json.Unmarshal([]byte(text), &page); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %v: %s", resp.StatusCode, err, text)
	}
	type seen struct {
		kind, name, door string
		refused          bool
		why, user        any
	}
	var got []seen
	for _, e := range page.Events {
		if e.Kind == "signin" {
			got = append(got, seen{e.Kind, e.Name, e.Door, e.Refused, e.Detail["refused"], e.Detail["user"]})
			if e.Addr != "127.0.0.1" {
				t.Errorf("%s came from %q", e.Kind, e.Addr)
			}
		}
	}
	want := []seen{
		{"signin", "", "signin", true, "password", "ann"},
		{"signin", "", "signin", true, "login", nil},
		{"signin", "ann", "signin", false, nil, nil},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("sign-in %d: got %+v, want %+v", i, got[i], want[i])
		}
	}

	// Only administrators may look.
	member := quireOutput(t, data, "token", "create", "--user", "ann")
	if resp, _ := ask(t, "GET", s.url+"/api/v1/admin/events?after=0", member, ""); resp.StatusCode != 403 {
		t.Errorf("a member sees the record: %d", resp.StatusCode)
	}
	quireOutput(t, data, "token", "revoke", strings.Split(member, "_")[1])

	out := quireOutput(t, data, "audit", "export")
	for _, want := range []string{`"revoked":"` + strings.Split(member, "_")[1] + `"`, `"kind":"signin","outcome":"refused"`} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %s in\n%s", want, out)
		}
	}
	secrets := []string{admin, strings.Split(admin, "_")[2], strings.Split(member, "_")[2], "a long password", "correct horse", "not her password", "hunter2"}
	u, _ := url.Parse(s.url)
	for _, c := range jar.Cookies(u) {
		secrets = append(secrets, c.Value)
	}
	for _, secret := range secrets {
		if secret == "" || strings.Contains(out, secret) {
			t.Errorf("the record has the secret %q", secret)
		}
	}
	for line := range bytes.Lines([]byte(out)) {
		var e auditLine
		if err := json.Unmarshal(line, &e); err != nil || e.Seq == 0 || time.Since(e.Time).Abs() > time.Hour || e.Site != "main/default" {
			t.Errorf("%v: %s", err, line)
		}
	}
}

func TestAuditRow(t *testing.T) {
	e := auditLine{Seq: 7, Time: time.Date(2026, 1, 31, 8, 0, 0, 5e6, time.UTC), Site: "a/b", Kind: "new", Outcome: "done", Name: "=cmd()", Path: "/a,\"b\"", Detail: map[string]any{"n": 1}}
	row, err := e.row()
	if err != nil || strings.Join(row, "|") != `7|2026-01-31T08:00:00.005Z|a/b|new|done||'=cmd()||||/a,"b"|{"n":1}` || len(row) != len(auditColumns) {
		t.Errorf("got %q, %v", row, err)
	}
}
