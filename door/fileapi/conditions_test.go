package fileapi_test

import (
	"net/url"
	"strings"
	"testing"
)

// TestPutConditions is the table of what put does to a file that is at revision
// 2, and to one that is not there.
func TestPutConditions(t *testing.T) {
	rows := []struct {
		query, head, value string
		there, missing     string // the answer's status, and the name if it is 200
	}{
		{"", "", "", "200 f (1).txt", "200 f.txt"},
		{"overwrite=true", "", "", "200 f.txt", "200 f.txt"},
		{"overwrite=1", "", "", "200 f.txt", "200 f.txt"},
		{"overwrite=false", "", "", "200 f (1).txt", "200 f.txt"},
		{"overwrite=", "", "", "400", "400"},
		{"parent_revision=2", "", "", "200 f.txt", "409"},
		{"parent_revision=1", "", "", "409", "409"},
		{"parent_revision=3", "", "", "409", "409"},
		{"parent_revision=0", "", "", "409", "409"},
		{"parent_revision=", "", "", "400", "400"},
		{"parent_revision=2.0", "", "", "400", "400"},
		{"parent_revision=-0", "", "", "400", "400"},
		{"parent_revision=2&overwrite=false", "", "", "200 f.txt", "409"},
		{"parent_revision=1&overwrite=true", "", "", "409", "409"},
		{"", "If-None-Match", "*", "412", "200 f.txt"},
		{"overwrite=true", "If-None-Match", "*", "412", "200 f.txt"},
		{"", "If-None-Match", `"x-1"`, "400", "400"},
		{"", "If-Match", "*", "200 f.txt", "412"},
		{"", "If-Match", "ETAG", "200 f.txt", "412"},
		{"", "If-Match", "OLD", "412", "412"},
		{"", "If-Match", "WEAK", "412", "412"},
		{"", "If-Match", "OTHER", "412", "412"},
		{"", "If-Match", "LIST", "400", "400"},
		{"", "If-Match", "nonsense", "412", "412"},
		{"parent_revision=2", "If-Match", "ETAG", "200 f.txt", "412"},
		{"parent_revision=1", "If-Match", "ETAG", "400", "400"},
	}
	for _, r := range rows {
		name := r.query + " " + r.head + " " + r.value
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.put("/there/f.txt", "one")
			etag := f.put("/there/f.txt", "two").Header.Get("ETag")
			other := f.put("/other", "one")
			f.put("/other", "two")
			f.do("POST", "/api/v1/file/fileops/create_folder?path=/missing", nil)
			values := map[string]string{
				"ETAG": etag, "OLD": strings.Replace(etag, `-2"`, `-1"`, 1), "WEAK": "W/" + etag, "LIST": etag + ", " + etag,
				"OTHER": strings.Replace(other.Header.Get("ETag"), `-1"`, `-2"`, 1),
			}
			value, ok := values[r.value]
			if !ok {
				value = r.value
			}
			for where, want := range map[string]string{"there": r.there, "missing": r.missing} {
				before := f.state()
				status, saved, _ := strings.Cut(want, " ")
				for _, how := range []string{"put", "commit"} {
					if how == "commit" && status == "200" {
						continue // the table is for one save
					}
					var a answer
					head := []string{}
					if r.head != "" {
						head = []string{r.head, value}
					}
					path := "path=" + url.QueryEscape("/"+where+"/f.txt") + "&" + r.query
					if how == "put" {
						a = f.do("PUT", "/api/v1/file/put?"+path, strings.NewReader("three"), head...)
					} else {
						u := f.do("PUT", "/api/v1/file/chunked_upload", strings.NewReader("three")).json(t)
						id := u["upload_id"].(string)
						a = f.do("POST", "/api/v1/file/commit_chunked_upload?upload_id="+id+"&"+path, nil, head...)
						// What was refused can still be committed.
						b := f.do("POST", "/api/v1/file/commit_chunked_upload?upload_id="+id+"&path=/kept/"+where, nil)
						if b.StatusCode != 200 {
							t.Errorf("%s: the upload is lost: %d %s", where, b.StatusCode, b.body)
						}
						f.do("POST", "/api/v1/file/fileops/delete?path=/kept", nil)
					}
					if a.Status[:3] != status {
						t.Errorf("%s %s: %d %s, want %s", where, how, a.StatusCode, a.body, want)
						continue
					}
					m := a.json(t)
					switch status {
					case "200":
						if m["filename"] != saved {
							t.Errorf("%s: saved as %v, want %s", where, m["filename"], saved)
						}
					case "409":
						cur, told := m["current"]
						if !told || (where == "there") != (cur != nil) {
							t.Errorf("%s: %s", where, a.body)
						}
						if c, ok := cur.(map[string]any); ok && (c["revision"] != 2.0 || c["uid"] == "") {
							t.Errorf("%s: %s", where, a.body)
						}
					}
					if status != "200" && how == "put" && f.state() != before {
						t.Errorf("%s: something was stored", where)
					}
				}
			}
		})
	}
}

// TestChangeConditions: the other changes of a file know the conditions too.
func TestChangeConditions(t *testing.T) {
	f := open(t)
	f.put("/f.txt", "one")
	etag := f.put("/f.txt", "two").Header.Get("ETag")
	before := f.state()
	for _, call := range []string{"restore?revision=1&", "fileops/move?to_path=/g.txt&", "fileops/delete?"} {
		path := "/api/v1/file/" + call + "path=/f.txt"
		f.do("POST", path+"&parent_revision=1", nil).expect(t, call, 409, "conflict")
		f.do("POST", path, nil, "If-Match", strings.Replace(etag, "-2", "-1", 1)).expect(t, call, 412, "precondition_failed")
	}
	f.put("/taken", "x")
	f.do("POST", "/api/v1/file/fileops/move?path=/f.txt&to_path=/taken", nil, "If-Match", etag).expect(t, "taken", 409, "exists")
	f.do("POST", "/api/v1/file/fileops/delete?path=/taken", nil)
	if a := f.do("POST", "/api/v1/file/fileops/move?path=/f.txt&to_path=/g.txt", nil, "If-Match", etag); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := f.do("POST", "/api/v1/file/fileops/move?path=/g.txt&to_path=/f.txt&parent_revision=2", nil); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if after := f.do("GET", "/api/v1/content/metadata?path=/f.txt", nil).json(t); after["revision"] != 2.0 {
		t.Errorf("%v, before: %s", after, before)
	}
}
