package wopi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var plainID = regexp.MustCompile(`^[A-Za-z0-9]+$`)

var infoChecks = []Check{
	{"CheckFileInfo: required properties", "BaseFileName, OwnerId, Size, UserId and Version are always there and of the right kind", func(p *probe) {
		r, to := p.named(name(".wopitest"), "12345")
		i := p.info(r)
		switch {
		case i.BaseFileName == nil || i.OwnerId == nil || i.Size == nil || i.UserId == nil || i.Version == nil:
			p.fail("one of them is missing")
			return
		case *i.BaseFileName != to.Name || strings.ContainsAny(*i.BaseFileName, "/\\"):
			p.fail("BaseFileName is %q, and the file was made as %q", *i.BaseFileName, to.Name)
		case *i.Size != 5:
			p.fail("Size is %d, not 5", *i.Size)
		case !plainID.MatchString(*i.UserId) || !plainID.MatchString(*i.OwnerId):
			p.fail("UserId %q and OwnerId %q are letters and digits only", *i.UserId, *i.OwnerId)
		case *i.Version == "":
			p.fail("Version is empty")
		}
		if i.FileExtension != "" && i.FileExtension != ".wopitest" {
			p.fail("FileExtension is %q, not .wopitest", i.FileExtension)
		}
	}},
	{"CheckFileInfo: URLs", "A URL that is not set is left out; one that is there is absolute", func(p *probe) {
		a := p.want("CheckFileInfo", p.do(p.given.Get(p.ctx, "")), 200, "X-WOPI-ServerVersion", "*", "X-WOPI-MachineName", "*")
		var all map[string]any
		p.must("CheckFileInfo", a.JSON(&all))
		for k, v := range all {
			if !strings.HasSuffix(k, "Url") {
				continue
			}
			text, ok := v.(string)
			u, err := url.Parse(text)
			if !ok || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				p.fail("%s is %.100v", k, v)
			}
		}
	}},
	{"CheckFileInfo: user", "IsEduUser and LicenseCheckForEditIsEnabled are always there", func(p *probe) {
		i := p.info(p.given)
		if i.IsEduUser == nil || i.LicenseCheckForEditIsEnabled == nil {
			p.fail("one of them is missing")
		}
	}},
	{"CheckFileInfo: times", "LastModifiedTime is ISO 8601 with a fraction, and the same text each time until the content changes", func(p *probe) {
		r := p.file("x")
		one, two := p.info(r).LastModifiedTime, p.info(r).LastModifiedTime
		if one != two {
			p.fail("it is %q and then %q", one, two)
		}
		if _, err := time.Parse(timeText, one); err != nil || !strings.Contains(one, ".") || !strings.HasSuffix(one, "Z") {
			p.fail("it is %q", one)
		}
		p.lock(r, "LOCK", "L", 200)
		if three := p.info(r).LastModifiedTime; three != one {
			p.fail("a lock changes it from %q to %q", one, three)
		}
	}},
	{"CheckFileInfo: version", "Version changes with each PutFile and on nothing else", func(p *probe) {
		r := p.file("x")
		seen := map[string]bool{*p.info(r).Version: true}
		last := *p.info(r).Version
		p.lock(r, "LOCK", "L", 200)
		p.lock(r, "REFRESH_LOCK", "L", 200)
		if v := *p.info(r).Version; v != last {
			p.fail("locking changes it from %q to %q", last, v)
		}
		for _, content := range []string{"one", "two", "two", ""} {
			a := p.want("PutFile", p.do(r.Put(p.ctx, content, "L")), 200, "X-WOPI-ItemVersion", "*")
			v := *p.info(r).Version
			if a.Header.Get("X-WOPI-ItemVersion") != v {
				p.fail("PutFile tells %q and CheckFileInfo %q", a.Header.Get("X-WOPI-ItemVersion"), v)
			}
			if seen[v] {
				p.fail("the version %q was there before", v)
			}
			seen[v] = true
		}
	}},
	{"CheckFileInfo: FileUrl", "FileUrl can be fetched without a header and gives the content", func(p *probe) {
		r := p.file("the content")
		i := p.info(r)
		if i.FileUrl == "" {
			p.skip("the host has no FileUrl")
		}
		u, err := url.Parse(i.FileUrl)
		p.must("FileUrl", err)
		client := r.HTTP
		if client == nil {
			client = http.DefaultClient
		}
		req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, u.String(), nil)
		p.must("FileUrl", err)
		resp, err := client.Do(req)
		p.must("FileUrl", err)
		defer resp.Body.Close()
		b := make([]byte, 100)
		n, _ := resp.Body.Read(b)
		if resp.StatusCode != 200 || string(b[:n]) != "the content" {
			p.fail("it is answered %d with %q", resp.StatusCode, b[:n])
		}
	}},
	{"PutUserInfo", "What a user put comes back to that user as UserInfo, 1024 characters at most", func(p *probe) {
		i := p.info(p.given)
		if !i.SupportsUserInfo {
			p.skip("the host does not support it")
		}
		defer func() {
			p.want("PutUserInfo", p.do(p.given.Do(p.ctx, "POST", "", []byte(i.UserInfo), "X-WOPI-Override", "PUT_USER_INFO")), 200)
		}()
		text := name("")
		p.want("PutUserInfo", p.do(p.given.Do(p.ctx, "POST", "", []byte(text), "X-WOPI-Override", "PUT_USER_INFO")), 200)
		if got := p.info(p.given).UserInfo; got != text {
			p.fail("UserInfo is %q, not %q", got, text)
		}
		a := p.do(p.given.Do(p.ctx, "POST", "", []byte(strings.Repeat("x", 2000)), "X-WOPI-Override", "PUT_USER_INFO"))
		if a.Status == 200 {
			p.fail("2000 characters were accepted")
		}
	}},
	{"AddActivities", "Each activity is answered by its id; a bad one does not fail the others", func(p *probe) {
		r := p.file("x")
		if !p.info(r).SupportsAddActivities {
			p.skip("the host does not support it")
		}
		body := `{"Activities":[{"Type":"comment","Id":"A-1","Timestamp":"2026-01-01T00:00:00Z","Data":{"ContentId":"c","ContentAction":"created","NavigationId":"n"},"People":[],"Unknown":1},{"Type":"No such type","Id":"B-2","Timestamp":"2026-01-01T00:00:00Z","Data":{}}]}`
		a := p.want("AddActivities", p.do(r.Do(p.ctx, "POST", "", []byte(body), "X-WOPI-Override", "ADD_ACTIVITIES")), 200)
		var out struct {
			ActivityResponses []struct {
				Id     string
				Status int
			}
		}
		p.must("AddActivities", a.JSON(&out))
		status := make(map[string]int)
		for _, r := range out.ActivityResponses {
			status[r.Id] = r.Status
		}
		one, hasOne := status["A-1"]
		two, hasTwo := status["B-2"]
		switch {
		case len(status) != 2 || !hasOne || !hasTwo:
			p.fail("the answer is %s", a.Body)
		case one != 0 && one != 3:
			p.fail("a comment has the status %d, not 0, or 3 for a type that is not supported", one)
		case two != 3:
			p.fail("an unknown type has the status %d, not 3", two)
		}
	}},
	{"GetShareUrl", "ReadOnly and ReadWrite give a URL; anything else is 501", func(p *probe) {
		r := p.file("x")
		for _, kind := range p.info(r).SupportedShareUrlTypes {
			a := p.op(r, 200, "GET_SHARE_URL", "X-WOPI-UrlType", kind)
			var out struct{ ShareUrl string }
			p.must(kind, a.JSON(&out))
			if u, err := url.Parse(out.ShareUrl); err != nil || u.Host == "" {
				p.fail("%s: the URL is %q", kind, out.ShareUrl)
			}
		}
		p.op(r, 501, "GET_SHARE_URL", "X-WOPI-UrlType", "Something")
		p.op(r, 501, "GET_SHARE_URL")
	}},
	{"Operations: unsupported", "Unknown and retired operations are 501", func(p *probe) {
		r := p.file("x")
		for _, op := range []string{"GET_RESTRICTED_LINK", "REVOKE_RESTRICTED_LINK", "READ_SECURE_STORE", "COBALT", "NO_SUCH_OPERATION", ""} {
			p.op(r, 501, op)
		}
	}},
}

var contentChecks = []Check{
	{"GetFile", "The body is the content, with its length and version", func(p *probe) {
		r := p.file("some content")
		a := p.want("GetFile", p.do(r.Get(p.ctx, "/contents")), 200, "Content-Length", "12", "X-WOPI-ItemVersion", *p.info(r).Version)
		if string(a.Body) != "some content" {
			p.fail("the body is %q", a.Body)
		}
	}},
	{"GetFile: MaxExpectedSize", "A file that is larger than X-WOPI-MaxExpectedSize is 412", func(p *probe) {
		r := p.file("12345")
		p.want("size 4", p.do(r.Get(p.ctx, "/contents", "X-WOPI-MaxExpectedSize", "4")), 412)
		p.want("size 5", p.do(r.Get(p.ctx, "/contents", "X-WOPI-MaxExpectedSize", "5")), 200)
	}},
	{"GetFile: locked", "A lock does not keep anybody from reading", func(p *probe) {
		r := p.file("x")
		p.lock(r, "LOCK", "L", 200)
		p.content(r, "x")
	}},
	{"PutFile: empty and unlocked", "A file of 0 bytes may be saved without a lock", func(p *probe) {
		r := p.file("")
		p.want("PutFile", p.do(r.Put(p.ctx, "first", "")), 200)
		p.content(r, "first")
	}},
	{"PutFile: unlocked", "A file that is not empty is saved only under a lock: 409 with an empty X-WOPI-Lock", func(p *probe) {
		r := p.file("old")
		p.want("PutFile", p.do(r.Put(p.ctx, "new", "")), 409, "X-WOPI-Lock", "")
		p.content(r, "old")
	}},
	{"PutFile: its lock", "A save under the file's lock replaces the content", func(p *probe) {
		r := p.file("old")
		p.lock(r, "LOCK", "L", 200)
		p.want("PutFile", p.do(r.Put(p.ctx, "new", "L")), 200, "X-WOPI-ItemVersion", "*")
		p.content(r, "new")
		if s := *p.info(r).Size; s != 3 {
			p.fail("Size is %d", s)
		}
		p.lock(r, "GET_LOCK", "", 200, "L")
	}},
	{"PutFile: another lock", "A save under another lock is 409 with the file's lock, and changes nothing", func(p *probe) {
		r := p.file("old")
		p.lock(r, "LOCK", "L", 200)
		for _, id := range []string{"M", ""} {
			p.want(fmt.Sprintf("PutFile under %q", id), p.do(r.Put(p.ctx, "new", id)), 409, "X-WOPI-Lock", "L")
		}
		p.content(r, "old")
	}},
	{"PutFile: editors", "X-WOPI-Editors does not keep a save from being made", func(p *probe) {
		r := p.file("old")
		user := *p.info(r).UserId
		p.lock(r, "LOCK", "L", 200)
		for _, editors := range []string{"", user, user + ",somebody"} {
			p.want("PutFile", p.do(r.Put(p.ctx, "new", "L", "X-WOPI-Editors", editors)), 200)
		}
	}},
	{"PutFile: large", "A megabyte comes back as it was sent", func(p *probe) {
		r := p.file("")
		large := strings.Repeat("0123456789abcdef", 65536)
		p.want("PutFile", p.do(r.Put(p.ctx, large, "")), 200)
		p.content(r, large)
	}},
	{"DeleteFile", "A file that was deleted is 404 for everything", func(p *probe) {
		r := p.file("x")
		p.op(r, 200, "DELETE")
		p.want("CheckFileInfo", p.do(r.Get(p.ctx, "")), 404)
		p.want("GetFile", p.do(r.Get(p.ctx, "/contents")), 404)
		p.want("PutFile", p.do(r.Put(p.ctx, "x", "")), 404)
		for _, op := range []string{"LOCK", "GET_LOCK", "REFRESH_LOCK", "UNLOCK", "DELETE", "RENAME_FILE"} {
			p.want(op, p.do(r.Op(p.ctx, op, "X-WOPI-Lock", "L", "X-WOPI-RequestedName", "x")), 404)
		}
		p.made = nil
	}},
	{"DeleteFile: locked", "A locked file is not deleted: 409 with its lock", func(p *probe) {
		r := p.file("x")
		p.lock(r, "LOCK", "L", 200)
		p.want("DeleteFile", p.do(r.Op(p.ctx, "DELETE")), 409, "X-WOPI-Lock", "L")
		p.content(r, "x")
	}},
}

var lockChecks = []Check{
	{"Lock", "An unlocked file is locked, and GetLock tells the id", func(p *probe) {
		r := p.file("x")
		p.lock(r, "GET_LOCK", "", 200, "")
		p.lock(r, "LOCK", "the lock", 200)
		p.lock(r, "GET_LOCK", "", 200, "the lock")
	}},
	{"Lock: same id", "The same id refreshes the lock", func(p *probe) {
		r := p.file("x")
		p.lock(r, "LOCK", "L", 200)
		p.lock(r, "LOCK", "L", 200)
		p.lock(r, "GET_LOCK", "", 200, "L")
	}},
	{"Lock: another id", "Another id is 409 with the file's lock", func(p *probe) {
		r := p.file("x")
		p.lock(r, "LOCK", "L", 200)
		p.lock(r, "LOCK", "M", 409, "L")
		p.lock(r, "GET_LOCK", "", 200, "L")
	}},
	{"Lock: case of ids", "Ids are compared exactly", func(p *probe) {
		r := p.file("x")
		p.lock(r, "LOCK", "abc", 200)
		p.lock(r, "LOCK", "ABC", 409, "abc")
	}},
	{"Lock: long id", "An id has up to 1024 characters, and comes back whole; a longer or empty one is 400", func(p *probe) {
		r := p.file("x")
		long := strings.Repeat("0123456789abcdef", 64)
		p.lock(r, "LOCK", long, 200)
		p.lock(r, "GET_LOCK", "", 200, long)
		p.lock(r, "UNLOCK", long, 200)
		p.lock(r, "LOCK", long+"x", 400)
		p.lock(r, "LOCK", "", 400)
		p.lock(r, "GET_LOCK", "", 200, "")
	}},
	{"RefreshLock", "Only the file's lock can be refreshed: else 409 with that lock", func(p *probe) {
		r := p.file("x")
		p.lock(r, "REFRESH_LOCK", "L", 409, "")
		p.lock(r, "LOCK", "L", 200)
		p.lock(r, "REFRESH_LOCK", "L", 200)
		p.lock(r, "REFRESH_LOCK", "M", 409, "L")
	}},
	{"Unlock", "Only the file's lock unlocks it: else 409 with that lock", func(p *probe) {
		r := p.file("x")
		p.lock(r, "UNLOCK", "L", 409, "")
		p.lock(r, "LOCK", "L", 200)
		p.lock(r, "UNLOCK", "M", 409, "L")
		p.want("Unlock", p.do(r.Op(p.ctx, "UNLOCK", "X-WOPI-Lock", "L")), 200, "X-WOPI-ItemVersion", *p.info(r).Version)
		p.lock(r, "GET_LOCK", "", 200, "")
		p.lock(r, "UNLOCK", "L", 409, "")
	}},
	{"UnlockAndRelock", "X-WOPI-OldLock swaps the file's lock if it is that: else 409 with the lock it has", func(p *probe) {
		r := p.file("x")
		swap := func(old, id string, status int, tells ...string) {
			a := p.do(r.Op(p.ctx, "LOCK", "X-WOPI-Lock", id, "X-WOPI-OldLock", old))
			var headers []string
			for _, t := range tells {
				headers = append(headers, "X-WOPI-Lock", t)
			}
			p.want(fmt.Sprintf("UnlockAndRelock of %q for %q", old, id), a, status, headers...)
		}
		swap("L", "M", 409, "")
		p.lock(r, "LOCK", "L", 200)
		swap("X", "M", 409, "L")
		swap("L", "M", 200)
		p.lock(r, "GET_LOCK", "", 200, "M")
		swap("M", "M", 200)
	}},
	{"Locks: renaming", "A locked file is renamed only under its lock", func(p *probe) {
		r := p.file("x")
		if !p.info(r).SupportsRename {
			p.skip("the host does not support renaming")
		}
		p.lock(r, "LOCK", "L", 200)
		to := name("")
		p.want("RenameFile without it", p.do(r.Op(p.ctx, "RENAME_FILE", "X-WOPI-RequestedName", to)), 409, "X-WOPI-Lock", "L")
		p.want("RenameFile under another", p.do(r.Op(p.ctx, "RENAME_FILE", "X-WOPI-RequestedName", to, "X-WOPI-Lock", "M")), 409, "X-WOPI-Lock", "L")
		p.want("RenameFile under it", p.do(r.Op(p.ctx, "RENAME_FILE", "X-WOPI-RequestedName", to, "X-WOPI-Lock", "L")), 200)
		p.lock(r, "GET_LOCK", "", 200, "L")
	}},
}

// relativeIn makes a PutRelativeFile and returns the answer.
func (p *probe) relative(r Resource, content string, headers ...string) Answer {
	return p.do(r.Do(p.ctx, http.MethodPost, "", []byte(content), append([]string{"X-WOPI-Override", "PUT_RELATIVE"}, headers...)...))
}

var relativeChecks = []Check{
	{"PutRelativeFile: suggested name", "A suggested name that is free is taken", func(p *probe) {
		want := name(".wopitest")
		r, to := p.named(want, "content")
		if to.Name != want {
			p.fail("the name is %q, not %q", to.Name, want)
		}
		p.content(r, "content")
	}},
	{"PutRelativeFile: suggested name taken", "A suggested name that is taken is adjusted, and nothing is overwritten", func(p *probe) {
		r, to := p.named(name(".wopitest"), "first")
		other, second := p.named(to.Name, "second")
		if second.Name == to.Name || !strings.HasSuffix(second.Name, ".wopitest") {
			p.fail("the second is called %q", second.Name)
		}
		p.content(r, "first")
		p.content(other, "second")
	}},
	{"PutRelativeFile: suggested extension", "A suggestion that starts with a dot is an extension for the file's own name", func(p *probe) {
		r, from := p.named(name(".wopitest"), "x")
		a := p.want("PutRelativeFile", p.relative(r, "y", "X-WOPI-SuggestedTarget", ".newtest"), 200)
		_, to := p.pointed("PutRelativeFile", a, "DELETE")
		if want := strings.TrimSuffix(from.Name, ".wopitest") + ".newtest"; to.Name != want {
			p.fail("the name is %q, not %q", to.Name, want)
		}
	}},
	{"PutRelativeFile: suggested, illegal", "An illegal suggestion is adjusted and never refused", func(p *probe) {
		for _, suggestion := range []string{name("") + "/\\:*?<>|.wopitest", strings.Repeat("long", 100) + ".wopitest", "../" + name(".wopitest"), "CON.wopitest"} {
			a := p.want(fmt.Sprintf("a suggestion of %.40q", suggestion), p.relative(p.given, "x", "X-WOPI-SuggestedTarget", suggestion), 200)
			if a.Status == 200 {
				if _, to := p.pointed("PutRelativeFile", a, "DELETE"); !strings.HasSuffix(to.Name, ".wopitest") || strings.ContainsAny(to.Name, "/\\") {
					p.fail("%.40q became %q", suggestion, to.Name)
				}
			}
		}
	}},
	{"PutRelativeFile: UTF-7", "Names in headers are UTF-7, those in JSON UTF-8", func(p *probe) {
		stem := name("")
		a := p.want("PutRelativeFile", p.relative(p.given, "x", "X-WOPI-SuggestedTarget", stem+" +ZeVnLA- +2D3eAA-.wopitest"), 200)
		if _, to := p.pointed("PutRelativeFile", a, "DELETE"); to.Name != stem+" 日本 😀.wopitest" {
			p.fail("the name is %q", to.Name)
		}
	}},
	{"PutRelativeFile: relative name", "A relative name is taken exactly; one that is taken is 409 with X-WOPI-ValidRelativeTarget", func(p *probe) {
		want := name(".wopitest")
		a := p.want("PutRelativeFile", p.relative(p.given, "first", "X-WOPI-RelativeTarget", want), 200)
		r, to := p.pointed("PutRelativeFile", a, "DELETE")
		if to.Name != want {
			p.fail("the name is %q, not %q", to.Name, want)
		}
		p.want("the same name again", p.relative(p.given, "second", "X-WOPI-RelativeTarget", want), 409, "X-WOPI-ValidRelativeTarget", "*")
		p.want("without overwriting", p.relative(p.given, "second", "X-WOPI-RelativeTarget", want, "X-WOPI-OverwriteRelativeTarget", "false"), 409)
		p.content(r, "first")
		a = p.want("overwriting", p.relative(p.given, "second", "X-WOPI-RelativeTarget", want, "X-WOPI-OverwriteRelativeTarget", "True"), 200)
		p.must("overwriting", a.JSON(&to))
		same, err := p.given.Open(to.Url)
		p.must("overwriting", err)
		if same.Src != r.Src {
			p.fail("overwriting makes another file")
		}
		p.content(r, "second")
	}},
	{"PutRelativeFile: overwriting a locked file", "A locked target is not overwritten: 409 with its lock", func(p *probe) {
		r, to := p.named(name(".wopitest"), "first")
		p.lock(r, "LOCK", "L", 200)
		p.want("PutRelativeFile", p.relative(p.given, "second", "X-WOPI-RelativeTarget", to.Name, "X-WOPI-OverwriteRelativeTarget", "true"), 409, "X-WOPI-Lock", "L")
		p.content(r, "first")
	}},
	{"PutRelativeFile: relative, illegal", "An illegal relative name is 400", func(p *probe) {
		for _, bad := range []string{"a/b.wopitest", "..", "a\\b.wopitest", strings.Repeat("long", 100) + ".wopitest"} {
			p.want(fmt.Sprintf("%.40q", bad), p.relative(p.given, "x", "X-WOPI-RelativeTarget", bad), 400)
		}
	}},
	{"PutRelativeFile: both targets", "Both targets at once, or none, are refused with 400 or 501", func(p *probe) {
		a := p.relative(p.given, "x", "X-WOPI-RelativeTarget", name(".a"), "X-WOPI-SuggestedTarget", name(".b"))
		if a.Status != 400 && a.Status != 501 {
			p.fail("both: the answer is %d", a.Status)
		}
		if a = p.relative(p.given, "x"); a.Status != 400 && a.Status != 501 {
			p.fail("none: the answer is %d", a.Status)
		}
	}},
	{"PutRelativeFile: X-WOPI-Size", "A body of another length than X-WOPI-Size makes no file", func(p *probe) {
		want := name(".wopitest")
		if a := p.relative(p.given, "12345", "X-WOPI-RelativeTarget", want, "X-WOPI-Size", "4"); a.Status == 200 {
			p.pointed("PutRelativeFile", a, "DELETE")
			p.fail("it was accepted")
		}
		a := p.want("the name is free", p.relative(p.given, "12345", "X-WOPI-RelativeTarget", want, "X-WOPI-Size", "5"), 200)
		p.pointed("PutRelativeFile", a, "DELETE")
	}},
}

// rename makes a RenameFile and returns the name that it answers.
func (p *probe) rename(r Resource, to string) string {
	a := p.want(fmt.Sprintf("RenameFile to %.60q", to), p.do(r.Op(p.ctx, "RENAME_FILE", "X-WOPI-RequestedName", to)), 200)
	var out struct{ Name string }
	p.must("RenameFile", a.JSON(&out))
	return out.Name
}

var nameChecks = []Check{
	{"RenameFile", "The new name has no extension, and the extension stays; so does the id", func(p *probe) {
		r := p.file("x")
		if !p.info(r).SupportsRename {
			p.skip("the host does not support renaming")
		}
		to := name("")
		if got := p.rename(r, to); got != to {
			p.fail("the answer's name is %q, not %q", got, to)
		}
		if got := *p.info(r).BaseFileName; got != to+".wopitest" {
			p.fail("then it is called %q", got)
		}
		p.content(r, "x")
	}},
	{"RenameFile: taken", "A name that is taken is adjusted", func(p *probe) {
		_, first := p.named(name(".wopitest"), "x")
		r := p.file("y")
		if !p.info(r).SupportsRename {
			p.skip("the host does not support renaming")
		}
		stem := strings.TrimSuffix(first.Name, ".wopitest")
		if got := p.rename(r, stem); got == stem || got == "" {
			p.fail("it is called %q like the other", got)
		}
	}},
	{"RenameFile: UTF-7", "The requested name is UTF-7", func(p *probe) {
		r := p.file("x")
		if !p.info(r).SupportsRename {
			p.skip("the host does not support renaming")
		}
		stem := name("")
		if got := p.rename(r, stem+" +ZeVnLA-"); got != stem+" 日本" {
			p.fail("the name is %q", got)
		}
	}},
	{"RenameFile: illegal", "An illegal name is adjusted, or refused with 400 and X-WOPI-InvalidFileNameError", func(p *probe) {
		r := p.file("x")
		if !p.info(r).SupportsRename {
			p.skip("the host does not support renaming")
		}
		for _, bad := range []string{"a/b", "..", "*", "", strings.Repeat("long", 100)} {
			a := p.do(r.Op(p.ctx, "RENAME_FILE", "X-WOPI-RequestedName", bad))
			switch {
			case a.Status == 200:
				if got := *p.info(r).BaseFileName; strings.ContainsAny(got, "/*") || got == ".." || !strings.HasSuffix(got, ".wopitest") {
					p.fail("%.20q: then it is called %q", bad, got)
				}
			case a.Status != 400:
				p.fail("%.20q: the answer is %d", bad, a.Status)
			case a.Header.Get("X-WOPI-InvalidFileNameError") == "":
				p.fail("%.20q: X-WOPI-InvalidFileNameError is missing", bad)
			}
		}
	}},
}

var tokenChecks = []Check{
	{"Tokens: wrong", "A missing, wrong or changed token is 401, or 404", func(p *probe) {
		r := p.file("x")
		tokens := map[string]string{"no token": "", "another text": "x", "a shorter one": r.Token[:len(r.Token)-2]}
		flip := []byte(r.Token)
		flip[len(flip)/2] ^= 1
		tokens["a changed one"] = string(flip)
		for what, token := range tokens {
			other := r
			other.Token = token
			for _, a := range []Answer{p.do(other.Get(p.ctx, "")), p.do(other.Get(p.ctx, "/contents")), p.do(other.Op(p.ctx, "LOCK", "X-WOPI-Lock", "L")), p.do(other.Put(p.ctx, "y", "L"))} {
				if a.Status != 401 && a.Status != 404 {
					p.fail("%s: the answer is %d", what, a.Status)
				}
			}
		}
		p.lock(r, "GET_LOCK", "", 200, "")
		p.content(r, "x")
	}},
	{"Tokens: another file's", "A token is good for one resource", func(p *probe) {
		one, two := p.file("one"), p.file("two")
		one.Token = two.Token
		if a := p.do(one.Get(p.ctx, "")); a.Status != 401 && a.Status != 404 {
			p.fail("the answer is %d", a.Status)
		}
	}},
	{"Files: unknown", "A file that does not exist is 404 or 401", func(p *probe) {
		r := p.given
		r.Src = r.Src[:strings.LastIndex(r.Src, "/")+1] + "nosuchfile" + strings.ToLower(name(""))[11:]
		if a := p.do(r.Get(p.ctx, "")); a.Status != 404 && a.Status != 401 {
			p.fail("the answer is %d", a.Status)
		}
	}},
	{"Tokens: in the header", "A token in Authorization is accepted where the query has none", func(p *probe) {
		r := p.given
		r.Token = ""
		p.want("CheckFileInfo", p.do(r.Get(p.ctx, "", "Authorization", "Bearer "+p.given.Token)), 200)
	}},
	{"Errors", "A failure says why in X-WOPI-ServerError, in one line, without the token", func(p *probe) {
		r := p.file("x")
		for _, a := range []Answer{p.do(r.Op(p.ctx, "NO_SUCH_OPERATION")), p.do(r.Put(p.ctx, "y", "")), p.do(r.Get(p.ctx, "/contents", "X-WOPI-MaxExpectedSize", "0"))} {
			why := a.Header.Get("X-WOPI-ServerError")
			if why == "" {
				p.fail("after a %d it is missing", a.Status)
			}
			if strings.Contains(why, r.Token) || strings.ContainsAny(why, "\r\n") {
				p.fail("after a %d it has the token or more than a line", a.Status)
			}
		}
	}},
}

// container is the container that the given file is in.
func (p *probe) container() Resource {
	if !p.info(p.given).SupportsContainers {
		p.skip("the host does not support containers")
	}
	a := p.want("EnumerateAncestors", p.do(p.given.Get(p.ctx, "/ancestry")), 200)
	var out struct{ AncestorsWithRootFirst []pointer }
	p.must("EnumerateAncestors", a.JSON(&out))
	if len(out.AncestorsWithRootFirst) == 0 {
		p.fail("the file has no ancestors")
		panic(stopped{})
	}
	r, err := p.given.Open(out.AncestorsWithRootFirst[len(out.AncestorsWithRootFirst)-1].Url)
	p.must("EnumerateAncestors", err)
	return r
}

// folder makes a container in the one of the given file.
func (p *probe) folder() (Resource, string) {
	a := p.want("CreateChildContainer", p.do(p.container().Op(p.ctx, "CREATE_CHILD_CONTAINER", "X-WOPI-SuggestedTarget", name(""))), 200)
	return p.contained("CreateChildContainer", a)
}

// contained reads an answer with a container and its properties.
func (p *probe) contained(what string, a Answer) (Resource, string) {
	var out struct {
		ContainerPointer pointer
		ContainerInfo    map[string]any
	}
	p.must(what, a.JSON(&out))
	r, err := p.given.Open(out.ContainerPointer.Url)
	p.must(what, err)
	if out.ContainerInfo["Name"] != out.ContainerPointer.Name {
		p.fail("%s: the ContainerInfo is of %v, the pointer of %q", what, out.ContainerInfo["Name"], out.ContainerPointer.Name)
	}
	p.made = append(p.made, madeFile{r, "DELETE_CONTAINER"})
	return r, out.ContainerPointer.Name
}

// children lists a container.
func (p *probe) children(r Resource, filter string) (files, folders map[string]pointer) {
	a := p.want("EnumerateChildren", p.do(r.Get(p.ctx, "/children", "X-WOPI-FileExtensionFilterList", filter)), 200)
	var out struct{ ChildContainers, ChildFiles *[]pointer }
	p.must("EnumerateChildren", a.JSON(&out))
	if out.ChildContainers == nil || out.ChildFiles == nil {
		p.fail("EnumerateChildren: a list is missing")
		panic(stopped{})
	}
	files, folders = make(map[string]pointer), make(map[string]pointer)
	for _, c := range *out.ChildFiles {
		files[c.Name] = c
	}
	for _, c := range *out.ChildContainers {
		folders[c.Name] = c
	}
	return files, folders
}

var containerChecks = []Check{
	{"EnumerateAncestors", "The containers above a file are listed from the root, each with a token; the root has none above it", func(p *probe) {
		p.container()
		a := p.want("EnumerateAncestors", p.do(p.given.Get(p.ctx, "/ancestry")), 200)
		var out struct{ AncestorsWithRootFirst []pointer }
		p.must("EnumerateAncestors", a.JSON(&out))
		for i, c := range out.AncestorsWithRootFirst {
			r, err := p.given.Open(c.Url)
			p.must("EnumerateAncestors", err)
			a := p.want("CheckContainerInfo", p.do(r.Get(p.ctx, "")), 200)
			var info struct{ Name string }
			p.must("CheckContainerInfo", a.JSON(&info))
			if info.Name != c.Name {
				p.fail("it is called %q there and %q by itself", c.Name, info.Name)
			}
			a = p.want("EnumerateAncestors of a container", p.do(r.Get(p.ctx, "/ancestry")), 200)
			var above struct{ AncestorsWithRootFirst *[]pointer }
			p.must("EnumerateAncestors of a container", a.JSON(&above))
			if above.AncestorsWithRootFirst == nil || len(*above.AncestorsWithRootFirst) != i {
				p.fail("%q has not %d containers above it", c.Name, i)
			}
		}
	}},
	{"CheckContainerInfo", "Name, the user's rights and the properties that a file has too are there, and equal to the file's", func(p *probe) {
		r, _ := p.folder()
		a := p.want("CheckContainerInfo", p.do(r.Get(p.ctx, "")), 200)
		var info map[string]any
		p.must("CheckContainerInfo", a.JSON(&info))
		for _, k := range []string{"Name", "UserCanCreateChildContainer", "UserCanCreateChildFile", "UserCanDelete", "UserCanRename", "IsEduUser", "LicenseCheckForEditIsEnabled"} {
			if info[k] == nil {
				p.fail("%s is missing", k)
			}
		}
		i := p.info(p.given)
		if i.IsEduUser != nil && info["IsEduUser"] != *i.IsEduUser || i.LicenseCheckForEditIsEnabled != nil && info["LicenseCheckForEditIsEnabled"] != *i.LicenseCheckForEditIsEnabled {
			p.fail("IsEduUser or LicenseCheckForEditIsEnabled differ from the file's")
		}
	}},
	{"CreateChildFile", "A file of 0 bytes is made and listed with its version, size and time", func(p *probe) {
		r, _ := p.folder()
		want := name(".wopitest")
		a := p.want("CreateChildFile", p.do(r.Op(p.ctx, "CREATE_CHILD_FILE", "X-WOPI-SuggestedTarget", want)), 200)
		f, to := p.pointed("CreateChildFile", a, "DELETE")
		if to.Name != want {
			p.fail("the name is %q", to.Name)
		}
		p.content(f, "")
		files, _ := p.children(r, "")
		c, ok := files[want]
		if !ok {
			p.fail("it is not listed")
			return
		}
		i := p.info(f)
		if c.Version != *i.Version || c.Size != 0 || c.LastModifiedTime != i.LastModifiedTime {
			p.fail("it is listed as %+v", c)
		}
		listed, err := p.given.Open(c.Url)
		p.must("the listed URL", err)
		p.want("CheckFileInfo by the listed URL", p.do(listed.Get(p.ctx, "")), 200)
	}},
	{"CreateChildFile: taken", "Suggested names are adjusted; a relative one that is taken is 409 with X-WOPI-ValidRelativeTarget; both at once are 501", func(p *probe) {
		r, _ := p.folder()
		n := name(".wopitest")
		a := p.want("CreateChildFile", p.do(r.Op(p.ctx, "CREATE_CHILD_FILE", "X-WOPI-RelativeTarget", n)), 200)
		p.pointed("CreateChildFile", a, "DELETE")
		p.want("again", p.do(r.Op(p.ctx, "CREATE_CHILD_FILE", "X-WOPI-RelativeTarget", n)), 409, "X-WOPI-ValidRelativeTarget", "*")
		a = p.want("suggested", p.do(r.Op(p.ctx, "CREATE_CHILD_FILE", "X-WOPI-SuggestedTarget", n)), 200)
		if _, to := p.pointed("CreateChildFile", a, "DELETE"); to.Name == n {
			p.fail("two files have the name %q", n)
		}
		p.want("both", p.do(r.Op(p.ctx, "CREATE_CHILD_FILE", "X-WOPI-SuggestedTarget", "a.b", "X-WOPI-RelativeTarget", "a.b")), 501)
		p.want("illegal", p.do(r.Op(p.ctx, "CREATE_CHILD_FILE", "X-WOPI-RelativeTarget", "a/b.c")), 400)
	}},
	{"CreateChildContainer", "Suggested names are adjusted; a relative one that is taken is 409", func(p *probe) {
		r, _ := p.folder()
		n := name("")
		a := p.want("CreateChildContainer", p.do(r.Op(p.ctx, "CREATE_CHILD_CONTAINER", "X-WOPI-RelativeTarget", n)), 200)
		p.contained("CreateChildContainer", a)
		p.want("again", p.do(r.Op(p.ctx, "CREATE_CHILD_CONTAINER", "X-WOPI-RelativeTarget", n)), 409)
		a = p.want("suggested", p.do(r.Op(p.ctx, "CREATE_CHILD_CONTAINER", "X-WOPI-SuggestedTarget", n)), 200)
		if _, got := p.contained("CreateChildContainer", a); got == n {
			p.fail("two containers have the name %q", n)
		}
		if _, folders := p.children(r, ""); len(folders) != 2 {
			p.fail("%d containers are listed, not 2", len(folders))
		}
		p.want("both", p.do(r.Op(p.ctx, "CREATE_CHILD_CONTAINER", "X-WOPI-SuggestedTarget", "a", "X-WOPI-RelativeTarget", "a")), 501)
	}},
	{"EnumerateChildren: filter", "X-WOPI-FileExtensionFilterList lists only files of those extensions", func(p *probe) {
		r, _ := p.folder()
		for _, ext := range []string{".aaa", ".bbb", ".ccc"} {
			a := p.want("CreateChildFile", p.do(r.Op(p.ctx, "CREATE_CHILD_FILE", "X-WOPI-SuggestedTarget", name(ext))), 200)
			p.pointed("CreateChildFile", a, "DELETE")
		}
		for filter, n := range map[string]int{"": 3, ".aaa": 1, ".AAA,.bbb": 2, ".zzz": 0} {
			if files, _ := p.children(r, filter); len(files) != n {
				p.fail("with %q there are %d files, not %d", filter, len(files), n)
			}
		}
	}},
	{"RenameContainer", "A container takes the requested name, or refuses it with X-WOPI-InvalidContainerNameError", func(p *probe) {
		r, _ := p.folder()
		to := name("")
		a := p.want("RenameContainer", p.do(r.Op(p.ctx, "RENAME_CONTAINER", "X-WOPI-RequestedName", to)), 200)
		var out struct{ Name string }
		p.must("RenameContainer", a.JSON(&out))
		if out.Name != to {
			p.fail("the answer's name is %q", out.Name)
		}
		p.want("an illegal name", p.do(r.Op(p.ctx, "RENAME_CONTAINER", "X-WOPI-RequestedName", "a/b")), 400, "X-WOPI-InvalidContainerNameError", "*")
	}},
	{"DeleteContainer", "A container that is not empty stays: 409; an empty one goes", func(p *probe) {
		r, _ := p.folder()
		a := p.want("CreateChildFile", p.do(r.Op(p.ctx, "CREATE_CHILD_FILE", "X-WOPI-SuggestedTarget", name(".wopitest"))), 200)
		f, _ := p.pointed("CreateChildFile", a, "DELETE")
		p.op(r, 409, "DELETE_CONTAINER")
		p.op(f, 200, "DELETE")
		p.op(r, 200, "DELETE_CONTAINER")
		p.want("CheckContainerInfo", p.do(r.Get(p.ctx, "")), 404)
		p.made = nil
	}},
	{"Ecosystem", "The ecosystem pointer leads to the ecosystem, and that to the root container", func(p *probe) {
		if !p.info(p.given).SupportsEcosystem {
			p.skip("the host has no ecosystem")
		}
		follow := func(what string, a Answer) Resource {
			var out struct{ Url string }
			p.must(what, a.JSON(&out))
			r, err := p.given.Open(out.Url)
			p.must(what, err)
			return r
		}
		r := follow("GetEcosystem", p.want("GetEcosystem", p.do(p.given.Get(p.ctx, "/ecosystem_pointer")), 200))
		a := p.want("CheckEcosystem", p.do(r.Get(p.ctx, "")), 200)
		var eco map[string]any
		p.must("CheckEcosystem", a.JSON(&eco))
		a = p.want("GetRootContainer", p.do(r.Get(p.ctx, "/root_container_pointer")), 200)
		root, _ := p.contained("GetRootContainer", a)
		p.made = nil // it is nobody's to delete
		p.want("CheckContainerInfo", p.do(root.Get(p.ctx, "")), 200)
		follow("GetEcosystem of a container", p.want("GetEcosystem of a container", p.do(root.Get(p.ctx, "/ecosystem_pointer")), 200))
	}},
}

var coauthChecks = []Check{
	{"Coauth locks", "Several may hold coauth locks; the table names them; a WOPI lock is refused meanwhile", func(p *probe) {
		r := p.file("x")
		join := func(id string) Answer {
			return p.do(r.Op(p.ctx, "GET_COAUTH_LOCK", "X-WOPI-CoauthLockId", id, "X-WOPI-CoauthLockType", "Coauth", "X-WOPI-CoauthLockExpirationTimeout", "3600"))
		}
		a := join("one")
		if a.Status == 501 {
			p.skip("the host does not support coauthoring")
		}
		p.want("GetCoauthLock", a, 200)
		p.want("GetCoauthLock of a second", join("two"), 200)
		p.want("Lock", p.do(r.Op(p.ctx, "LOCK", "X-WOPI-Lock", "L")), 409)
		table := p.op(r, 200, "GET_COAUTH_TABLE")
		var out map[string]json.RawMessage
		p.must("GetCoauthTable", table.JSON(&out))
		for _, id := range []string{"one", "two"} {
			if !strings.Contains(string(table.Body), `"`+id+`"`) {
				p.fail("the table lacks %q: %.300s", id, table.Body)
			}
		}
		p.want("RefreshCoauthLock of none", p.do(r.Op(p.ctx, "REFRESH_COAUTH_LOCK", "X-WOPI-CoauthLockId", "three", "X-WOPI-CoauthLockExpirationTimeout", "3600")), 409)
		for _, id := range []string{"one", "two"} {
			p.want("UnlockCoauthLock", p.do(r.Op(p.ctx, "UNLOCK_COAUTH_LOCK", "X-WOPI-CoauthLockId", id)), 200)
		}
		p.lock(r, "LOCK", "L", 200)
	}},
	{"GetSequenceNumber", "The number rises with each change of the content", func(p *probe) {
		r := p.file("")
		number := func() int64 {
			a := p.do(r.Op(p.ctx, "GET_SEQUENCE_NUMBER"))
			if a.Status == 501 {
				p.skip("the host does not support coauthoring")
			}
			p.want("GetSequenceNumber", a, 200, "X-WOPI-SequenceNumber", "*")
			n, err := strconv.ParseInt(a.Header.Get("X-WOPI-SequenceNumber"), 10, 64)
			p.must("X-WOPI-SequenceNumber", err)
			return n
		}
		before := number()
		p.want("PutFile", p.do(r.Put(p.ctx, "x", "")), 200)
		if after := number(); after <= before {
			p.fail("it was %d and is %d", before, after)
		}
	}},
}
