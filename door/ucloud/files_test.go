package ucloud_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/ucloud"
	"github.com/quire-docs/quire/lock"
)

func TestConflictPolicies(t *testing.T) {
	f := open(t, ucloud.Options{})
	create := func(id, kind, policy string) answer {
		return f.call(f.token, "POST", "/ucloud/quire/files/upload", fmt.Sprintf(`{"items":[{"resolvedCollection":{},"id":%q,"type":%q,"supportedProtocols":["CHUNKED","WEBSOCKET"],"conflictPolicy":%q}]}`, id, kind, policy))
	}
	f.store("/x.txt", "old")
	f.store("/dir/y.txt", "y")
	for _, test := range []struct {
		id, kind, policy string
		status           int
		made             string
	}{
		{"/main/x.txt", "FILE", "RENAME", 200, "/x(1).txt"},
		{"/main/x.txt", "FILE", "RENAME", 200, "/x(2).txt"},
		{"/main/x.txt", "FILE", "MERGE_RENAME", 200, "/x(3).txt"},
		{"/main/x.txt", "FILE", "", 200, "/x(4).txt"},
		{"/main/x.txt", "FILE", "REJECT", 409, ""},
		{"/main/x.txt", "FILE", "REPLACE", 200, "/x.txt"},
		{"/main/new.txt", "FILE", "REPLACE", 200, "/new.txt"},
		{"/main/.profile", "FILE", "RENAME", 200, "/.profile"},
		{"/main/.profile", "FILE", "RENAME", 200, "/.profile(1)"},
		{"/main/dir", "FILE", "REPLACE", 409, ""},
		{"/main/dir", "FILE", "RENAME", 200, "/dir(1)"},
		{"/main/dir", "FOLDER", "REJECT", 409, ""},
		{"/main/dir", "FOLDER", "RENAME", 200, "/dir(2)"},
		{"/main/dir", "FOLDER", "REPLACE", 200, "/dir"},
		{"/main/dir", "FOLDER", "MERGE_RENAME", 200, "/dir"},
		{"/main/x.txt", "FOLDER", "REPLACE", 409, ""},
		{"/main/x.txt", "FOLDER", "MERGE_RENAME", 200, "/x(5).txt"},
		{"/main/x.txt", "FILE", "OVERWRITE", 400, ""},
		{"/main/x.txt", "LINK", "RENAME", 400, ""},
		{"/main/../x", "FILE", "RENAME", 400, ""},
		{`/main/a\b`, "FILE", "RENAME", 400, ""},
		{"/main/a\u0000b", "FILE", "RENAME", 400, ""},
		{"/main//b", "FILE", "RENAME", 400, ""},
		{"main/b", "FILE", "RENAME", 400, ""},
		{"/", "FILE", "RENAME", 400, ""},
		{"/main", "FILE", "RENAME", 400, ""},
		{"/other/b", "FILE", "RENAME", 404, ""},
		{"/main:other/b", "FILE", "RENAME", 404, ""},
		{"/main:default/b", "FILE", "RENAME", 200, "/b"},
		{"/" + string(f.site.ID) + "/c", "FILE", "RENAME", 200, "/c"},
	} {
		a := create(test.id, test.kind, test.policy)
		if a.status != test.status {
			t.Errorf("%s %s %s: got %d %s, want %d", test.id, test.kind, test.policy, a.status, a.body, test.status)
		}
		if test.made != "" {
			if _, err := f.lib.Lookup(f.ctx, f.admin, test.made); err != nil {
				t.Errorf("%s %s %s: %s: %v", test.id, test.kind, test.policy, test.made, err)
			}
		}
	}
	f.has("/x.txt", "old")

	u := f.chunked("/main/x.txt", "REPLACE")
	f.put(u, 0, 6, "new", 200)
	f.has("/x.txt", "old")
	f.put(u, 3, 6, "est", 200)
	f.has("/x.txt", "newest")
	e, _ := f.lib.Lookup(f.ctx, f.admin, "/x.txt")
	if e.Revision != 2 {
		t.Errorf("revision %d: the old content must stay in the history", e.Revision)
	}
	f.clean()
}

func TestProtocols(t *testing.T) {
	f := open(t, ucloud.Options{})
	for i, test := range []struct{ kind, offered, want string }{
		{"FILE", `["CHUNKED","WEBSOCKET"]`, "CHUNKED"},
		{"FOLDER", `["CHUNKED","WEBSOCKET"]`, "WEBSOCKET_V2"},
		{"FILE", `["WEBSOCKET"]`, "WEBSOCKET_V1"},
		{"FILE", `["WEBSOCKET_V1"]`, "WEBSOCKET_V1"},
		{"FILE", `["WEBSOCKET_V2","CHUNKED"]`, "WEBSOCKET_V2"},
		{"FOLDER", `["WEBSOCKET_V1","WEBSOCKET_V2"]`, "WEBSOCKET_V2"},
		{"FILE", `["CARRIER_PIGEON"]`, ""},
		{"FILE", `[]`, ""},
		{"FOLDER", `["CHUNKED"]`, ""},
		{"FOLDER", `["WEBSOCKET_V1"]`, ""},
	} {
		a := f.call(f.token, "POST", "/api/files/upload", fmt.Sprintf(`{"items":[{"id":"/main/p%d","type":%q,"supportedProtocols":%s,"conflictPolicy":"RENAME"}]}`, i, test.kind, test.offered))
		if test.want == "" {
			if a.status != 400 {
				t.Errorf("%s %s: got %d %s", test.kind, test.offered, a.status, a.body)
			}
			continue
		}
		if a.status != 200 || !strings.Contains(a.body, `"protocol":"`+test.want+`"`) {
			t.Errorf("%s %s: got %d %s, want %s", test.kind, test.offered, a.status, a.body, test.want)
		}
	}
	// Answers keep the order of the items, also where many are made at a time.
	var items, paths []string
	for i := range 100 {
		items = append(items, fmt.Sprintf(`{"id":"/main/bulk/%d","supportedProtocols":["CHUNKED"],"conflictPolicy":"REJECT"}`, i))
		paths = append(paths, fmt.Sprintf("/bulk/%d", i))
	}
	a := f.call(f.token, "POST", "/api/files/upload", `{"items":[`+strings.Join(items, ",")+`]}`)
	var out struct{ Responses []upload }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || len(out.Responses) != 100 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	for i, u := range out.Responses {
		f.put(u, 0, int64(len(paths[i])), paths[i], 200)
		f.has(paths[i], paths[i])
	}
}

func TestFileOperations(t *testing.T) {
	f := open(t, ucloud.Options{})
	ok := func(method, path, body string, want ...string) answer {
		t.Helper()
		a := f.call(f.token, method, path, body)
		if a.status != 200 {
			t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
		}
		for _, w := range want {
			if !strings.Contains(a.body, w) {
				t.Errorf("%s %s: %s lacks %s", method, path, a.body, w)
			}
		}
		return a
	}
	absent := func(path string) {
		t.Helper()
		if _, err := f.lib.Lookup(f.ctx, f.admin, path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
	ok("POST", "/api/files/folder", `{"items":[{"id":"/main/a/b","conflictPolicy":"REJECT"},{"id":"/main/c","conflictPolicy":"RENAME"}]}`, `"id":"/main/a/b"`)
	ok("POST", "/ucloud/quire/files/folder", `{"items":[{"id":"/main/c","conflictPolicy":"RENAME"}]}`, `"id":"/main/c(1)"`)
	for i := range 5 {
		f.store(fmt.Sprintf("/a/file%d", i), strings.Repeat("x", 5-i))
	}
	a := ok("GET", "/api/files/browse?path=/main/a&itemsPerPage=2", "", `"id":"/main/a/b"`, `"type":"DIRECTORY"`, `"itemsPerPage":2`, `"id":"/main/a/file0"`, `"sizeInBytes":5`)
	var p struct{ Next *string }
	if json.Unmarshal([]byte(a.body), &p); p.Next == nil {
		t.Fatalf("no next: %s", a.body)
	}
	ok("GET", "/api/files/browse?path=/main/a&next="+*p.Next, "", `"id":"/main/a/file4"`, `"next":null`)
	a = ok("GET", "/api/files/browse?path=/main/a&sortBy=SIZE&sortDirection=descending&itemsPerPage=1", "", `file0`)
	for _, field := range []string{"createdAt", "modifiedAt", "accessedAt", "unixMode", "unixOwner", "unixGroup"} {
		if !strings.Contains(a.body, `"`+field+`":`) {
			t.Errorf("no %s: %s", field, a.body)
		}
	}
	ok("POST", "/ucloud/quire/files/browse", `{"resolvedCollection":{},"browse":{"flags":{"path":"/main/a"},"itemsPerPage":10,"next":null,"sortBy":"MODIFIED_AT","sortDirection":"ascending"}}`, `file3`)
	ok("POST", "/ucloud/quire/files/browse", `{"Browse":{"Flags":{"Path":"/main/a"}}}`, `file3`)
	ok("GET", "/api/files/browse?path=/", "", `"id":"/`+string(f.site.ID)+`"`)
	ok("GET", "/api/files/retrieve?id=/main/a/file1", "", `"id":"/main/a/file1"`, `"sizeInBytes":4`)
	ok("POST", "/ucloud/quire/files/retrieve", `{"retrieve":{"id":"/main/a","flags":{}}}`, `"type":"DIRECTORY"`)

	ok("POST", "/api/files/move", `{"items":[{"oldId":"/main/a/file0","newId":"/main/c/moved","conflictPolicy":"REJECT"}]}`, `"id":"/main/c/moved"`)
	ok("POST", "/api/files/move", `{"items":[{"oldId":"/main/a/file1","newId":"/main/c/moved","conflictPolicy":"RENAME"}]}`, `"id":"/main/c/moved(1)"`)
	if a := f.call(f.token, "POST", "/api/files/move", `{"items":[{"oldId":"/main/a/file2","newId":"/main/c/moved","conflictPolicy":"REJECT"}]}`); a.status != 409 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	ok("POST", "/api/files/move", `{"items":[{"oldId":"/main/a/file2","newId":"/main/c/moved","conflictPolicy":"REPLACE"}]}`)
	f.has("/c/moved", "xxx")
	ok("POST", "/api/files/copy", `{"items":[{"oldId":"/main/c","newId":"/main/d","conflictPolicy":"REJECT"}]}`)
	f.has("/d/moved", "xxx")

	// Merging: folders become one, files keep their content.
	f.store("/d/moved", "other")
	f.store("/d/sub/only", "1")
	f.store("/c/sub/both", "c")
	f.store("/d/sub/both", "d")
	ok("POST", "/api/files/copy", `{"items":[{"oldId":"/main/c","newId":"/main/d","conflictPolicy":"MERGE_RENAME"}]}`)
	f.has("/d/moved", "other")
	f.has("/d/moved(2)", "xxx")
	f.has("/d/sub/both", "d")
	f.has("/d/sub/both(1)", "c")
	ok("POST", "/api/files/move", `{"items":[{"oldId":"/main/c","newId":"/main/d","conflictPolicy":"REPLACE"}]}`)
	f.has("/d/moved", "xxx")
	f.has("/d/sub/both", "c")
	f.has("/d/sub/only", "1")
	absent("/c")
	if a := f.call(f.token, "POST", "/api/files/move", `{"items":[{"oldId":"/main/d","newId":"/main/d/sub","conflictPolicy":"MERGE_RENAME"}]}`); a.status != 400 {
		t.Errorf("a folder into itself: %d %s", a.status, a.body)
	}

	e := f.store("/locked", "1")
	if _, err := f.lib.Lock(f.ctx, f.admin, e.ID, lock.Request{Op: lock.Lock, ID: "L", Name: "Ann"}); err != nil {
		t.Fatal(err)
	}
	for _, test := range [][3]string{
		{"POST", "/api/files/trash", `{"items":[{"id":"/main/locked"}]}`},
		{"DELETE", "/api/files", `{"items":[{"id":"/main/locked"}]}`},
		{"POST", "/api/files/move", `{"items":[{"oldId":"/main/locked","newId":"/main/elsewhere"}]}`},
	} {
		if a := f.call(f.token, test[0], test[1], test[2]); a.status != 409 {
			t.Errorf("%s of a locked file: %d %s", test[1], a.status, a.body)
		}
	}
	ok("POST", "/api/files/trash", `{"items":[{"id":"/main/d/moved"}]}`)
	absent("/d/moved")
	if list, _, _ := f.lib.Trash(f.ctx, f.admin, "", 100); len(list) == 0 {
		t.Error("nothing in the trash")
	}
	ok("POST", "/api/files/emptyTrash", `{"items":[{"id":"/main/Trash"}]}`)
	if list, _, _ := f.lib.Trash(f.ctx, f.admin, "", 100); len(list) != 0 {
		t.Errorf("%d in the trash", len(list))
	}
	ok("DELETE", "/ucloud/quire/files", `{"items":[{"id":"/main/d"}]}`, `{"responses":[{}]}`)
	absent("/d")
	if list, _, _ := f.lib.Trash(f.ctx, f.admin, "", 100); len(list) != 0 {
		t.Errorf("%d in the trash after delete", len(list))
	}
	f.clean()
}

func TestRefusals(t *testing.T) {
	f := open(t, ucloud.Options{})
	_, viewer := f.user("viewer", quire.RoleMember, quire.Viewer)
	_, nobody := f.user("nobody", quire.RoleMember, quire.NoAccess)
	f.store("/a", "1")
	for _, test := range []struct {
		token, method, path, body string
		status                    int
	}{
		{"", "GET", "/api/files/browse?path=/main", "", 401},
		{"qt_wrong_token", "GET", "/api/files/browse?path=/main", "", 401},
		{nobody, "GET", "/api/files/browse?path=/main", "", 404},
		{viewer, "GET", "/api/files/browse?path=/main", "", 200},
		{viewer, "POST", "/api/files/folder", `{"items":[{"id":"/main/f"}]}`, 403},
		{viewer, "POST", "/api/files/upload", `{"items":[{"id":"/main/f","supportedProtocols":["CHUNKED"]}]}`, 403},
		{viewer, "POST", "/api/files/upload", `{"items":[{"id":"/main/a","supportedProtocols":["CHUNKED"],"conflictPolicy":"REPLACE"}]}`, 403},
		{viewer, "POST", "/api/files/trash", `{"items":[{"id":"/main/a"}]}`, 403},
		{viewer, "DELETE", "/api/files", `{"items":[{"id":"/main/a"}]}`, 403},
		{f.token, "POST", "/api/files/upload", `{"items":`, 400},
		{f.token, "POST", "/api/files/upload", `{"items":[]}`, 400},
		{f.token, "POST", "/api/files/upload", `[]`, 400},
		{f.token, "POST", "/api/files/upload", `{"items":[` + strings.Repeat(`{},`, 1000) + `{}]}`, 413},
		{f.token, "POST", "/api/files/upload", `{"items":[{"id":"` + strings.Repeat("x", 5<<20) + `"}]}`, 413},
		{f.token, "GET", "/api/files/upload", "", 405},
		{f.token, "GET", "/api/files/nothing", "", 404},
		{f.token, "GET", "/api/files/browse/x?path=/main", "", 404},
		{f.token, "GET", "/api/filesbrowse?path=/main", "", 404},
		{f.token, "POST", "/api/files/chunked", "", 404},
		{f.token, "GET", "/ucloud/other/files/browse", "", 404},
		{f.token, "GET", "/api/files/browse?path=/main&itemsPerPage=-1", "", 400},
		{f.token, "GET", "/api/files/browse?path=/main&itemsPerPage=many", "", 400},
		{f.token, "GET", "/api/files/browse?path=/main&sortBy=COLOUR", "", 400},
		{f.token, "GET", "/api/files/browse?path=/main&sortBy=SIZE&next=x", "", 400},
		{f.token, "GET", "/api/files/browse?path=/main/a", "", 400},
		{f.token, "GET", "/api/files/retrieve?id=/main/none", "", 404},
		{f.token, "POST", "/api/files/download", `{"items":[{"id":"/main"}]}`, 400},
		{f.token, "GET", "/ucloud/quire/download?token=x", "", 404},
		{f.token, "GET", "/ucloud/quire/upload?token=x", "", 404},
		{f.token, "GET", "/ucloud/quire/websocket/upload/x", "", 404},
	} {
		a := f.call(test.token, test.method, test.path, test.body)
		if a.status != test.status {
			t.Errorf("%s %s %.60s: got %d %s, want %d", test.method, test.path, test.body, a.status, a.body, test.status)
		}
		if a.status >= 400 && (!strings.HasPrefix(a.body, `{"why":"`) || !strings.HasSuffix(a.body, `,"errorCode":null}`)) {
			t.Errorf("%s %s: not a CommonErrorMessage: %s", test.method, test.path, a.body)
		}
	}
	f.clean()
}

func TestDownload(t *testing.T) {
	f := open(t, ucloud.Options{})
	name := "Måling 1 'β' 100%.txt"
	f.store("/"+name, "0123456789")
	a := f.call(f.token, "POST", "/api/files/download", `{"items":[{"id":"/main/`+name+`","usernameHint":"x"}]}`)
	var out struct {
		Responses []struct{ Endpoint string }
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || len(out.Responses) != 1 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	url := out.Responses[0].Endpoint
	get := func(method, ranges string) answer {
		r, _ := http.NewRequest(method, url, nil)
		if ranges != "" {
			r.Header.Set("Range", ranges)
		}
		return f.send(r)
	}
	a = get("GET", "")
	if a.status != 200 || a.body != "0123456789" || a.header.Get("Content-Disposition") != "attachment; filename*=UTF-8''M%C3%A5ling%201%20%27%CE%B2%27%20100%25.txt" {
		t.Errorf("got %d %q %v", a.status, a.body, a.header)
	}
	if a = get("HEAD", ""); a.status != 200 || a.header.Get("Content-Length") != "10" || a.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	for _, test := range []struct {
		ranges string
		status int
		body   string
	}{{"bytes=2-4", 206, "234"}, {"bytes=-3", 206, "789"}, {"bytes=8-", 206, "89"}, {"bytes=20-", 416, ""}} {
		if a = get("GET", test.ranges); a.status != test.status || test.body != "" && a.body != test.body {
			t.Errorf("%s: %d %q", test.ranges, a.status, a.body)
		}
	}
	// The link ends with its user's access.
	u, token := f.user("bob", quire.RoleMember, quire.Viewer)
	a = f.call(token, "POST", "/api/files/download", `{"items":[{"id":"/main/`+name+`"}]}`)
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatal(err)
	}
	url = out.Responses[0].Endpoint
	if a = get("GET", ""); a.status != 200 {
		t.Errorf("got %d", a.status)
	}
	if err := f.lib.Unshare(f.ctx, f.admin, f.site.Root, u.User); err != nil {
		t.Fatal(err)
	}
	if a = get("GET", ""); a.status != 404 {
		t.Errorf("without access: %d", a.status)
	}
}

func TestCORS(t *testing.T) {
	f := open(t, ucloud.Options{})
	r, _ := http.NewRequest("OPTIONS", f.url+"/ucloud/quire/chunked", nil)
	r.Header.Set("Origin", "https://cloud.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "chunked-upload-offset,chunked-upload-token,chunked-upload-total-size,ucloud-username")
	a := f.send(r)
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":  "*",
		"Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, HEAD, OPTIONS, PATCH",
		"Access-Control-Allow-Headers": "Authorization, chunked-upload-offset, chunked-upload-token, chunked-upload-total-size, ucloud-username, upload-name, content-type",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if a.status != 204 {
		t.Errorf("got %d", a.status)
	}
	// Errors can be read from another origin, too.
	if a := f.call("", "GET", "/api/files/browse", ""); a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("got %v", a.header)
	}
}
