package wopi

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Check looks whether a host keeps one rule.
type Check struct {
	Name string // of the operation and what of it, for example "Lock: another id"
	Rule string // in a sentence
	run  func(*probe)
}

// Result is what became of a check.
type Result struct {
	Name    string   `json:"name"`
	Rule    string   `json:"rule"`
	Broken  []string `json:"broken,omitempty"`  // what the host did instead
	Skipped string   `json:"skipped,omitempty"` // why it was not made
}

// Passed says whether the rule was kept.
func (r Result) Passed() bool { return len(r.Broken) == 0 && r.Skipped == "" }

// Checks returns all checks, in the order in which they are made.
func Checks() []Check {
	var all []Check
	for _, part := range [][]Check{infoChecks, contentChecks, lockChecks, relativeChecks, nameChecks, tokenChecks, containerChecks, coauthChecks} {
		all = append(all, part...)
	}
	return all
}

// Run makes the checks whose name has a text in it, on a host that it knows by
// one of its files, and reports each result. Every check works on a file of its
// own, which it makes beside the given one and deletes; the given file is never
// changed. The user must be allowed to write there.
func Run(ctx context.Context, file Resource, only string, report func(Result)) (failed int) {
	for _, c := range Checks() {
		if !strings.Contains(strings.ToLower(c.Name), strings.ToLower(only)) {
			continue
		}
		r := one(ctx, file, c)
		if len(r.Broken) > 0 {
			failed++
		}
		report(r)
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// stopped ends a check early.
type stopped struct{}

func one(ctx context.Context, file Resource, c Check) (r Result) {
	p := &probe{ctx: ctx, given: file, result: Result{Name: c.Name, Rule: c.Rule}}
	defer func() {
		if e := recover(); e != nil {
			if _, ok := e.(stopped); !ok {
				panic(e)
			}
		}
		p.clean()
		r = p.result
	}()
	c.run(p)
	return r
}

// probe is one check at work.
type probe struct {
	ctx    context.Context
	given  Resource
	made   []madeFile
	result Result
}

// madeFile is something that a check made and has to delete.
type madeFile struct {
	Resource
	override string // that deletes it
}

// fail notes that the rule is broken.
func (p *probe) fail(format string, args ...any) {
	p.result.Broken = append(p.result.Broken, fmt.Sprintf(format, args...))
}

// must ends the check on an error that leaves nothing to look at.
func (p *probe) must(what string, err error) {
	if err != nil {
		p.fail("%s: %v", what, err)
		panic(stopped{})
	}
}

// skip ends the check because it has nothing to look at on this host.
func (p *probe) skip(why string) {
	p.result.Skipped = why
	panic(stopped{})
}

// clean deletes what the check made. A file that is still locked is unlocked
// first.
func (p *probe) clean() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 20*time.Second)
	defer cancel()
	for i := len(p.made) - 1; i >= 0; i-- {
		f := p.made[i]
		a, err := f.Op(ctx, f.override)
		if err == nil && a.Status == http.StatusConflict && a.Header.Get("X-WOPI-Lock") != "" {
			if _, err = f.Op(ctx, "UNLOCK", "X-WOPI-Lock", a.Header.Get("X-WOPI-Lock")); err == nil {
				_, err = f.Op(ctx, f.override)
			}
		}
		if err != nil && len(p.result.Broken) == 0 {
			p.fail("what the check made could not be deleted: %v", err)
		}
	}
}

// name is a file's name that nothing has yet.
func name(ext string) string { return "wopi-check-" + strings.ToLower(rand.Text()[:10]) + ext }

// pointer is how hosts answer with a resource.
type pointer struct {
	Name, Url, HostViewUrl, HostEditUrl string
	Version                             string
	Size                                int64
	LastModifiedTime                    string
}

// file makes a file beside the given one, with some content.
func (p *probe) file(content string) Resource {
	r, _ := p.named(name(".wopitest"), content)
	return r
}

func (p *probe) named(name, content string) (Resource, pointer) {
	a := p.do(p.given.Do(p.ctx, http.MethodPost, "", []byte(content), "X-WOPI-Override", "PUT_RELATIVE",
		"X-WOPI-SuggestedTarget", name, "X-WOPI-Size", strconv.Itoa(len(content))))
	if a.Status != http.StatusOK {
		p.fail("PutRelativeFile, which makes a file to work on, was answered %d", a.Status)
		panic(stopped{})
	}
	return p.pointed("PutRelativeFile", a, "DELETE")
}

// pointed reads an answer that points to a resource which the check has made.
func (p *probe) pointed(what string, a Answer, override string) (Resource, pointer) {
	var to pointer
	p.must(what, a.JSON(&to))
	r, err := p.given.Open(to.Url)
	p.must(what, err)
	p.made = append(p.made, madeFile{r, override})
	return r, to
}

// do passes an answer on, or ends the check if there is none.
func (p *probe) do(a Answer, err error) Answer {
	p.must("the request", err)
	return a
}

// want notes what of an answer is not as it should be. Headers are pairs of a
// name and a value; the value "*" is any that is not empty, "?" is none or any.
func (p *probe) want(what string, a Answer, status int, headers ...string) Answer {
	if a.Status != status {
		p.fail("%s: the answer is %d, not %d", what, a.Status, status)
		return a
	}
	for i := 0; i+1 < len(headers); i += 2 {
		h, v := headers[i], headers[i+1]
		got := a.Header.Get(h)
		switch {
		case v == "*" && got == "":
			p.fail("%s: %s is missing", what, h)
		case v == "" && !a.Has(h):
			p.fail("%s: %s is missing; it should be there and empty", what, h)
		case v != "*" && got != v:
			p.fail("%s: %s is %q, not %q", what, h, got, v)
		}
	}
	return a
}

// op makes an operation and looks at its answer.
func (p *probe) op(r Resource, status int, override string, headers ...string) Answer {
	return p.want(override, p.do(r.Op(p.ctx, override, headers...)), status)
}

// lock makes a lock operation and looks at its answer: the status, and the lock
// that X-WOPI-Lock tells.
func (p *probe) lock(r Resource, override, id string, status int, tells ...string) Answer {
	a := p.do(r.Op(p.ctx, override, "X-WOPI-Lock", id))
	var headers []string
	for _, t := range tells {
		headers = append(headers, "X-WOPI-Lock", t)
	}
	return p.want(fmt.Sprintf("%s of %q", override, id), a, status, headers...)
}

func (p *probe) info(r Resource) FileInfo {
	i, err := r.Info(p.ctx)
	p.must("CheckFileInfo", err)
	return i
}

// content looks whether a file has a content.
func (p *probe) content(r Resource, want string) {
	a := p.want("GetFile", p.do(r.Get(p.ctx, "/contents")), http.StatusOK)
	if a.Status == http.StatusOK && !bytes.Equal(a.Body, []byte(want)) {
		p.fail("GetFile: it has %d bytes that are not the %d that were saved", len(a.Body), len(want))
	}
}

// ErrNoFile is the error of a URL that is not a file's.
var ErrNoFile = errors.New("this is not the URL of a WOPI file: it ends with /files/ and an id")

// File returns the file of a WopiSrc. Where token is empty it is in the URL.
func File(src, token string, client *http.Client) (Resource, error) {
	r := Resource{Src: src, Token: token, HTTP: client}
	if strings.Contains(src, "access_token=") {
		var err error
		if r, err = r.Open(src); err != nil {
			return r, err
		}
		if token != "" {
			r.Token = token
		}
	}
	if i := strings.LastIndex(r.Src, "/files/"); i < 0 || strings.Contains(r.Src[i+7:], "/") || r.Src[i+7:] == "" {
		return r, ErrNoFile
	}
	return r, nil
}
