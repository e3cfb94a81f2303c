package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// quireOutput runs the program on a server's data.
func quireOutput(t *testing.T, data string, args ...string) string {
	t.Helper()
	bin, err := exec.LookPath("quire")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "QUIRE_DATA="+data)
	cmd.Stdin = strings.NewReader("a long password\n") // for those that ask for one
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("quire %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// ask sends a request, and returns its answer with the whole body.
func ask(t *testing.T, method, url, token, body string, head ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestRateOfUser: a user who asks too much is refused at every door, in the
// door's own shape, and others are not.
func TestRateOfUser(t *testing.T) {
	data := t.TempDir()
	s, err := launch(data, "--rate-user", "0.001", "--rate-burst", "3")
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	token := quireOutput(t, data, "token", "create", "--user", "admin")
	quireOutput(t, data, "user", "add", "ann", "--access", "editor")
	other := quireOutput(t, data, "token", "create", "--user", "ann")

	resp, text := ask(t, "PUT", s.url+"/api/v1/file/put?path=/a.txt", token, "text")
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		t.Fatalf("put: %d %s", resp.StatusCode, text)
	}
	resp, text = ask(t, "POST", s.url+"/api/v1/wopi/url?path=/a.txt", token, "")
	var access struct {
		Source string `json:"wopisrc"`
		Token  string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &access); err != nil || access.Token == "" {
		t.Fatalf("wopi url: %d %s", resp.StatusCode, text)
	}
	if resp, text = ask(t, "GET", s.url+"/api/v1/account", token, ""); resp.StatusCode != http.StatusOK {
		t.Fatalf("the third request: %d %s", resp.StatusCode, text)
	}
	for _, door := range []struct {
		name, method, url, token string
		head                     []string
		shape                    func(*http.Response, string) bool
	}{
		{"file API", "GET", "/api/v1/account", token, nil, func(_ *http.Response, text string) bool {
			return strings.HasPrefix(text, `{"error":"too_many","msg":"`)
		}},
		{"Dropbox", "GET", "/1/account/info", token, nil, func(_ *http.Response, text string) bool { return strings.HasPrefix(text, `{"error":"you send`) }},
		{"WOPI token", "POST", "/api/v1/wopi/url?path=/a.txt", token, nil, func(_ *http.Response, text string) bool {
			return strings.HasPrefix(text, `{"error":"too_many","msg":"`)
		}},
		{"tus", "POST", "/uploads", token, []string{"Tus-Resumable", "1.0.0", "Upload-Length", "1"}, func(r *http.Response, _ string) bool { return r.Header.Get("Tus-Resumable") == "1.0.0" }},
		{"UCloud", "POST", "/api/files/upload", token, []string{"Content-Type", "application/json"}, func(_ *http.Response, text string) bool { return strings.HasPrefix(text, `{"why":"`) }},
		{"WOPI", "GET", strings.TrimPrefix(access.Source, s.url) + "?access_token=" + access.Token, "", nil, func(r *http.Response, _ string) bool {
			return strings.Contains(r.Header.Get("X-WOPI-ServerError"), "slow down")
		}},
	} {
		resp, text := ask(t, door.method, s.url+door.url, door.token, "", door.head...)
		after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != http.StatusTooManyRequests || err != nil || after < 1 || !door.shape(resp, text) {
			t.Errorf("%s: %d, Retry-After %d: %s", door.name, resp.StatusCode, after, text)
		}
	}
	if resp, text := ask(t, "GET", s.url+"/api/v1/account", other, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("another user: %d %s", resp.StatusCode, text)
	}
}

// TestRateOfAddress: whoever comes from one address is refused at the doors that
// people and programs come to without an account too, and editors' servers are not.
func TestRateOfAddress(t *testing.T) {
	s, err := launch(t.TempDir(), "--rate-address", "0.001", "--rate-burst", "2")
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	for range 2 {
		if resp, text := ask(t, "GET", s.url+"/signin", "", ""); resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
	}
	for _, path := range []string{"/signin", "/oauth2/keys", "/api/v1/account", "/.well-known/openid-configuration"} {
		resp, text := ask(t, "GET", s.url+path, "", "")
		if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode != http.StatusTooManyRequests || err != nil || after < 1 || !strings.Contains(text, "slow down") {
			t.Errorf("%s: %d, Retry-After %q: %s", path, resp.StatusCode, resp.Header.Get("Retry-After"), text)
		}
	}
	if resp, _ := ask(t, "GET", s.url+"/wopi/files/x?access_token=y", "", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("an editor's request: %d", resp.StatusCode)
	}
}
