package tus

import (
	"encoding/base64"
	"net/http"
	"path"
	"strings"
	"testing"
)

// What is accepted can be told again in the protocol's form and means the same.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{"", "filename d29ybGQ=", "a,b MQ==", "a MQ==,a MQ==", "a  MQ==", ", ,", "filename ====", "relativePath Li4vLi4veA==,filename eA=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseMetadata(s)
		if err != nil {
			return
		}
		var list []string
		for k, v := range m {
			list = append(list, k+" "+base64.StdEncoding.EncodeToString([]byte(v)))
		}
		again, err := parseMetadata(strings.Join(list, ","))
		if err != nil && len(strings.Join(list, ",")) <= maxMetadata {
			t.Fatalf("%q: %v", list, err)
		}
		for k, v := range m {
			if err == nil && again[k] != v {
				t.Errorf("%s: %q, then %q", k, v, again[k])
			}
		}
		where, _, err := m.target()
		if err != nil {
			return
		}
		if _, given := m["path"]; !given && where.Path != "" && m["folder"] == "" && path.Clean(where.Path) != where.Path && !strings.Contains(where.Path, "//") {
			t.Errorf("%v goes to %q", m, where.Path)
		}
		if strings.Contains(where.Name, "..") && path.Clean("/"+where.Name) != "/"+where.Name {
			t.Errorf("%v goes to %q", m, where.Name)
		}
	})
}

func FuzzConcat(f *testing.F) {
	for _, s := range []string{"", "partial", "final;/uploads/a /uploads/b", "final;https://h.example/uploads/a", "final;/uploads/../x", "final;/uploads/", "final; "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseConcat(s)
		if err != nil {
			return
		}
		if c.final && c.partial || c.final != (len(c.parts) > 0) {
			t.Errorf("%q: %+v", s, c)
		}
		for _, id := range c.parts {
			if id == "" || strings.Contains(string(id), "/") {
				t.Errorf("%q has the part %q", s, id)
			}
		}
	})
}

func FuzzChecksum(f *testing.F) {
	for _, s := range []string{"", "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "SHA1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "md5 AAAA", "crc32 x", "sha1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseChecksum(s)
		if err != nil || s == "" {
			if c != nil {
				t.Errorf("%q: %v and %v", s, c, err)
			}
			return
		}
		if len(c.want) != c.Size() {
			t.Errorf("%q wants %d bytes", s, len(c.want))
		}
		if c.want != string(c.Sum(nil)) && c.verify() == nil {
			t.Errorf("%q is verified", s)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"", "0", "-1", "9223372036854775807", "9223372036854775808", "+1", "1_0", " 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := number(http.Header{"Upload-Offset": {s}}, "Upload-Offset")
		if err == nil && (n < -1 || n == -1 && s != "" || strings.Trim(s, "0123456789") != "") {
			t.Errorf("%q is %d", s, n)
		}
	})
}
