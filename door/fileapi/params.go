package fileapi

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// maxForm bounds the parameters in a body, in bytes.
const maxForm = 1 << 20

// params reads the parameters: of the query and, unless it is content, of the
// body of a POST.
func (c *call) params(content bool) error {
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	if c.r.Method == http.MethodPost && !content && c.r.ContentLength != 0 {
		more, err := c.bodyParams()
		if err != nil {
			return err
		}
		for k, v := range more {
			if _, ok := q[k]; ok {
				return badParam(clip(k), "it is given more than once")
			}
			q[k] = v
		}
	}
	c.q = q
	return nil
}

// parseQuery reads a query or a form, in which every name stands once.
func parseQuery(text string) (url.Values, error) {
	q, err := url.ParseQuery(text)
	if err != nil {
		return nil, badParam("query", "it cannot be read: percent-encode it")
	}
	if many := q["targets"]; len(many) > 1 { // the one that may be repeated
		q.Set("targets", strings.Join(many, ","))
	}
	for k, v := range q {
		if err := checkParam(k, v); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func checkParam(k string, v []string) error {
	switch {
	case len(v) > 1:
		return badParam(clip(k), "it is given more than once")
	case !utf8.ValidString(k) || !utf8.ValidString(v[0]):
		return badParam(clip(k), "it is not valid UTF-8")
	case strings.ContainsRune(v[0], 0):
		return badParam(clip(k), "it has a zero character: leave that out")
	}
	return nil
}

// bodyParams reads a form or a JSON object.
func (c *call) bodyParams() (url.Values, error) {
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch kind {
	case "application/x-www-form-urlencoded", "application/json":
	default:
		return nil, nil // it is of no concern to a call that takes none
	}
	text, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxForm))
	if err != nil {
		return nil, err
	}
	if kind == "application/json" {
		return parseJSON(text)
	}
	return parseQuery(string(text))
}

// parseJSON reads an object of texts, numbers and booleans, in which every name
// stands once. What is null is not given.
func parseJSON(text []byte) (url.Values, error) {
	q := url.Values{}
	if len(bytes.TrimSpace(text)) == 0 {
		return q, nil
	}
	bad := func(reason string) (url.Values, error) { return nil, badParam("body", reason) }
	if !utf8.Valid(text) {
		return bad("it is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return bad("send a JSON object of parameters")
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return bad("it is no JSON")
		}
		t, err = d.Token()
		if err != nil {
			return bad("it is no JSON")
		}
		var value string
		switch t := t.(type) {
		case nil:
			continue
		case string:
			value = t
		case json.Number:
			value = t.String()
		case bool:
			value = strconv.FormatBool(t)
		default:
			return nil, badParam(clip(name), "use text, a number, true or false")
		}
		q.Add(name, value)
		if err := checkParam(name, q[name]); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return bad("it is no JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return bad("there is something after the JSON object: leave it out")
	}
	return q, nil
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 40)], "?") }

// has says whether a parameter is given, be it empty.
func (c *call) has(name string) bool {
	_, ok := c.q[name]
	return ok
}

// number reads a parameter that is a plain decimal number, 0 or more; byDefault
// if it is not given. The names are for one thing, so only one may be given.
func (c *call) number(byDefault int64, names ...string) (n int64, err error) {
	n, _, err = c.given(names...)
	if !c.any(names) {
		n = byDefault
	}
	return n, err
}

func (c *call) any(names []string) bool {
	for _, name := range names {
		if c.has(name) {
			return true
		}
	}
	return false
}

// given reads a number that may be missing.
func (c *call) given(names ...string) (n int64, ok bool, err error) {
	for _, name := range names {
		if !c.has(name) {
			continue
		}
		if ok {
			return 0, false, badParam(strings.Join(names, ", "), "give one of them")
		}
		if n, err = decimal(c.q.Get(name)); err != nil {
			return 0, false, badParam(name, "use a whole number, 0 or more")
		}
		ok = true
	}
	return n, ok, nil
}

// decimal reads a number that is digits and nothing else.
func decimal(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

// revisionNumber reads which revision is meant; 0 is the current one, which is
// meant if none is named.
func (c *call) revisionNumber() (int64, error) {
	n, ok, err := c.given("revision", "rev")
	if err == nil && ok && n == 0 {
		err = badParam("revision", "they begin with 1: leave it out for the current one")
	}
	return n, err
}

// limit reads how many entries a page may have.
func (c *call) limit(byDefault int64) (int, error) {
	n, err := c.number(byDefault, "limit")
	if err == nil && (n < 1 || n > library.MaxPage) {
		err = badParam("limit", "use a number from 1 to "+strconv.Itoa(library.MaxPage))
	}
	return int(n), err
}

// flag reads a boolean parameter.
func (c *call) flag(name string, byDefault bool) (bool, error) {
	if !c.has(name) {
		return byDefault, nil
	}
	switch strings.ToLower(c.q.Get(name)) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, badParam(name, "use true or false")
}

// seconds reads a time in seconds since 1970, which may have a fraction; the
// zero time if it is not given.
func (c *call) seconds(name string) (time.Time, error) {
	if !c.has(name) {
		return time.Time{}, nil
	}
	text := c.q.Get(name)
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || s > 1e11 || strings.Trim(text, "0123456789.") != "" {
		return time.Time{}, badParam(name, "use seconds since 1970")
	}
	return time.UnixMilli(int64(math.Round(s * 1000))).UTC(), nil
}

// subject returns what uid or path names: exactly one of them.
func (c *call) subject() (library.Entry, error) {
	uid, path := c.q.Get("uid"), c.q.Get("path")
	switch {
	case (uid == "") == (path == ""):
		return library.Entry{}, badParam("uid, path", "give exactly one of them")
	case uid != "":
		return c.lib.Stat(c.ctx, c.caller, quire.NodeID(uid))
	}
	return c.lib.Lookup(c.ctx, c.caller, path)
}

// subjectOrRoot is subject for calls that mean the whole site if nothing is
// named.
func (c *call) subjectOrRoot() (library.Entry, error) {
	if c.q.Get("uid") == "" && c.q.Get("path") == "" {
		return c.lib.Lookup(c.ctx, c.caller, "/")
	}
	return c.subject()
}
