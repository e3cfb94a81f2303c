package s3_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/goleak"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
	"github.com/quire-docs/quire/blob/s3"
	"github.com/quire-docs/quire/blob/s3/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, url string, opts s3.Options) *s3.Driver {
	t.Helper()
	at, err := s3.ParsePlace(url)
	if err != nil {
		t.Fatal(err)
	}
	if opts.Credentials == nil {
		opts.Credentials = credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, "")
	}
	d, err := s3.Open(t.Context(), at, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestDriver is the contract, against a real server.
func TestDriver(t *testing.T) {
	server := s3test.Start(t)
	blobtest.Run(t, func(t *testing.T) (a, b blob.Driver) {
		url := server.URL(string(blob.NewKey()))
		return open(t, url, s3.Options{PartSize: 5 << 20}), open(t, url, s3.Options{PartSize: 5 << 20})
	})
}

// TestDriverInMemory is the contract, against a server in memory. That one does
// not know the condition at the end of an upload in parts, so parts are larger
// here than what is put over existing objects.
func TestDriverInMemory(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket(s3test.Bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(gofakes3.New(backend).Server())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it writes headers twice
	server.Start()
	defer server.Close()
	blobtest.Run(t, func(t *testing.T) (a, b blob.Driver) {
		url := "s3://" + s3test.Bucket + "/" + string(blob.NewKey()) + "?endpoint=" + server.URL
		return open(t, url, s3.Options{}), open(t, url, s3.Options{})
	})
}

// TestBadSettings: each stops the start with a sentence that says what to do.
func TestBadSettings(t *testing.T) {
	server := s3test.Start(t)
	readOnly := s3test.Start(t, "--readonly")
	good := server.Credentials()
	for _, test := range []struct {
		name, url string
		creds     *credentials.Credentials
		say       string
	}{
		{"endpoint", "s3://documents?endpoint=http://127.0.0.1:1", good, "correct the endpoint"},
		{"access key", server.URL("x"), credentials.NewStaticV4("somebody", "x", ""), "correct AWS_ACCESS_KEY_ID"},
		{"secret", server.URL("x"), credentials.NewStaticV4(s3test.AccessKey, "wrong", ""), "correct AWS_SECRET_ACCESS_KEY"},
		{"no credentials", server.URL("x"), credentials.NewStaticV4("", "", ""), "set AWS_ACCESS_KEY_ID"},
		{"region", strings.ReplaceAll(server.URL("x"), s3test.Region, "us-west-9"), good, "correct region="},
		{"bucket", strings.ReplaceAll(server.URL("x"), "s3://documents", "s3://nothing-here"), good, "create it, or correct the name"},
		{"no write right", readOnly.URL("x"), good, "grant them list, read, write and delete"},
	} {
		t.Run(test.name, func(t *testing.T) {
			at, err := s3.ParsePlace(test.url)
			if err != nil {
				t.Fatal(err)
			}
			d, err := s3.Open(t.Context(), at, s3.Options{Credentials: test.creds})
			var setting *s3.SettingError
			if d != nil || !errors.As(err, &setting) || !strings.Contains(err.Error(), test.say) {
				t.Errorf("%v, want it to say %q", err, test.say)
			}
			if err != nil && strings.Contains(err.Error(), s3test.SecretKey) {
				t.Errorf("the error has the secret in it: %v", err)
			}
		})
	}
}

func TestParsePlace(t *testing.T) {
	for _, bad := range []string{
		"", "s3:", "s3://", "http://bucket", "s3://key:secret@bucket", "s3://BUCKET", "s3://b", "s3://bucket#x",
		"s3://bucket/a//b", "s3://bucket/../b", "s3://bucket?endpoint=", "s3://bucket?endpoint=ftp://x",
		"s3://bucket?endpoint=http://x/path", "s3://bucket?colour=red", "s3://bucket?region=a&region=b",
		"s3://bucket?public=ftp://x", "s3://bucket?public=http://x/path", "s3://bucket?sse=x", "s3://bucket?sse=kms", "s3://bucket?kms-key=x", "s3://bucket?lookup=x", "s3://bucket?%zz",
	} {
		var setting *s3.SettingError
		if _, err := s3.ParsePlace(bad); !errors.As(err, &setting) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	at, err := s3.ParsePlace("s3://bucket/a/b/?endpoint=localhost:9000&sse=kms&kms-key=k&lookup=path")
	if err != nil || at.Prefix != "a/b/" || at.Endpoint.String() != "https://localhost:9000" || at.Region != "us-east-1" {
		t.Errorf("%+v, %v", at, err)
	}
}

func FuzzParsePlace(f *testing.F) {
	f.Add("s3://bucket/a/b/?endpoint=localhost:9000&sse=kms&kms-key=k&lookup=path")
	f.Add("s3://bucket?region=eu-central-1")
	f.Add("s3://bucket?public=http://localhost:9001")
	f.Fuzz(func(t *testing.T, text string) {
		at, err := s3.ParsePlace(text)
		if err != nil {
			return
		}
		again, err := s3.ParsePlace(at.String())
		if err != nil || again != at {
			t.Errorf("%q is %+v, written %q and read again %+v, %v", text, at, at.String(), again, err)
		}
	})
}

// TestClaim: a place belongs to the first that claims it.
func TestClaim(t *testing.T) {
	server := s3test.Start(t)
	a, b := blob.New(open(t, server.URL("p"), s3.Options{}), blob.Options{}), blob.New(open(t, server.URL("p"), s3.Options{}), blob.Options{})
	other := blob.New(open(t, server.URL("q"), s3.Options{}), blob.Options{})
	if id, err := a.Owner(t.Context()); id != "" || err != nil {
		t.Errorf("a new place belongs to %q, %v", id, err)
	}
	for _, step := range []struct {
		s    *blob.Store
		id   string
		want error
	}{{a, "one", nil}, {b, "one", nil}, {b, "two", blob.ErrClaimed}, {a, "one", nil}, {other, "two", nil}} {
		if err := step.s.Claim(t.Context(), step.id); !errors.Is(err, step.want) {
			t.Errorf("claim for %s: %v, want %v", step.id, err, step.want)
		}
	}
	if id, err := a.Owner(t.Context()); id != "one" || err != nil {
		t.Errorf("the place belongs to %q, %v", id, err)
	}
	if err := a.Claim(t.Context(), "a\nb"); err == nil {
		t.Error("an id of two lines was taken")
	}
}

// TestAbandoned: Open aborts old uploads, and only those.
func TestAbandoned(t *testing.T) {
	server := s3test.Start(t)
	open(t, server.URL("p"), s3.Options{})
	c := server.Client(t)
	for _, name := range []string{"p/segments/" + string(blob.NewKey()), "elsewhere/segments/" + string(blob.NewKey())} {
		if _, err := c.NewMultipartUpload(t.Context(), s3test.Bucket, name, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		page, err := c.ListMultipartUploads(t.Context(), s3test.Bucket, "", "", "", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Uploads)
	}
	open(t, server.URL("p"), s3.Options{})
	if n := count(); n != 2 {
		t.Errorf("%d uploads after an Open that spares young ones, want 2", n)
	}
	open(t, server.URL("p"), s3.Options{StaleAfter: 1})
	if n := count(); n != 1 {
		t.Errorf("%d uploads after an Open that spares none, want that of elsewhere", n)
	}
}

// TestPresign: a presigned URL gives the object to anybody, with the headers that
// were asked for, and only for as long and as it says.
func TestPresign(t *testing.T) {
	server := s3test.Start(t)
	d := open(t, server.URL("p"), s3.Options{})
	key := blob.NewKey()
	content := string(blobtest.Bytes(1, 100_000))
	if _, err := d.Put(t.Context(), key, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	fetch := func(url string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer http.DefaultClient.CloseIdleConnections()
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(b)
	}
	link := blob.Link{Life: time.Minute, Type: "text/plain; charset=utf-8", Disposition: `attachment; filename="a b.txt"`}
	url, err := d.Presign(t.Context(), key, link)
	if err != nil || strings.Contains(url, s3test.SecretKey) {
		t.Fatal(url, err)
	}
	res, got := fetch(url)
	if res.StatusCode != http.StatusOK || got != content {
		t.Errorf("%s, %d bytes", res.Status, len(got))
	}
	for name, want := range map[string]string{"Content-Type": link.Type, "Content-Disposition": link.Disposition, "Cache-Control": "private, no-store"} {
		if h := res.Header.Get(name); h != want {
			t.Errorf("%s is %q, want %q", name, h, want)
		}
	}
	for what, other := range map[string]string{
		"another object":      strings.Replace(url, string(key), string(blob.NewKey()), 1),
		"another disposition": strings.Replace(url, "attachment", "inline", 1),
		"a longer life":       strings.Replace(url, "X-Amz-Expires=60", "X-Amz-Expires=600", 1),
	} {
		if res, _ := fetch(other); res.StatusCode != http.StatusForbidden || other == url {
			t.Errorf("%s: %s", what, res.Status)
		}
	}
	link.Life = time.Second
	if url, err = d.Presign(t.Context(), key, link); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; {
		if res, _ := fetch(url); res.StatusCode == http.StatusForbidden {
			break
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatal("a URL for a second is good for half a minute")
		}
	}
	at, err := s3.ParsePlace(server.URL("p") + "&public=https://files.example.org")
	if err != nil {
		t.Fatal(err)
	}
	outside := open(t, at.String(), s3.Options{})
	if url, err = outside.Presign(t.Context(), key, link); err != nil || !strings.HasPrefix(url, "https://files.example.org/"+s3test.Bucket+"/p/segments/"+string(key)) {
		t.Errorf("with a public endpoint: %q, %v", url, err)
	}
	if _, err := d.Presign(t.Context(), "x", link); !errors.Is(err, blob.ErrBadKey) {
		t.Errorf("no key: %v", err)
	}
}

// watched is a transport that shows requests to a function, which may answer them.
type watched func(*http.Request) *http.Response

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	if res := w(r); res != nil {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		return res, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestEncryption: the server is asked to encrypt whatever is stored: each object,
// the beginning of each upload in parts, and the mark of the installation.
func TestEncryption(t *testing.T) {
	server := s3test.Start(t)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	for _, test := range []struct {
		sse  string
		want http.Header
	}{
		{"", http.Header{}},
		{"&sse=s3", http.Header{"X-Amz-Server-Side-Encryption": {"AES256"}}},
		{"&sse=kms&kms-key=key-1", http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": {"key-1"}}},
	} {
		t.Run(test.sse, func(t *testing.T) {
			var mu sync.Mutex // parts come at the same time
			seen := map[string]int{}
			tr := watched(func(r *http.Request) *http.Response {
				q := r.URL.Query()
				kind := ""
				switch {
				case r.Method == http.MethodPut && !q.Has("partNumber"):
					kind = "object"
				case r.Method == http.MethodPost && q.Has("uploads"):
					kind = "upload"
				default:
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				seen[kind]++
				got := http.Header{}
				for name, v := range r.Header {
					if strings.HasPrefix(name, "X-Amz-Server-Side-") {
						got[name] = v // the server here has no keys: what it is asked is what counts
					}
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s %s: %s", r.Method, r.URL.Path, diff)
				}
				return nil
			})
			d := open(t, server.URL(string(blob.NewKey()))+test.sse, s3.Options{Transport: tr, PartSize: 5 << 20})
			if err := d.Claim(t.Context(), "one"); err != nil {
				t.Fatal(err)
			}
			for _, size := range []int64{10, 6 << 20} {
				key := blob.NewKey()
				if _, err := d.Put(t.Context(), key, blobtest.Sparse(size)); err != nil {
					t.Fatal(err)
				}
				if info, err := d.Stat(t.Context(), key); err != nil || info.Size != size {
					t.Errorf("%+v, %v", info, err)
				}
			}
			if seen["object"] < 3 || seen["upload"] != 1 {
				t.Errorf("seen: %v", seen)
			}
		})
	}
}

// TestRetries: what the server refuses for a passing reason is sent again, part by
// part; what it goes on refusing fails as passing, and an upload in parts that
// fails is aborted.
func TestRetries(t *testing.T) {
	server := s3test.Start(t)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	var mu sync.Mutex
	refuse, refused := 0, map[string]int{} // how often each request is refused, and was
	tr := watched(func(r *http.Request) *http.Response {
		mu.Lock()
		defer mu.Unlock()
		what := r.Method + r.URL.Path + r.URL.Query().Get("partNumber")
		if r.Method != http.MethodPut || refused[what] >= refuse {
			return nil
		}
		refused[what]++
		const text = "<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"
		return &http.Response{StatusCode: 503, Header: http.Header{"Content-Type": {"application/xml"}}, ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text)), Request: r}
	})
	d := open(t, server.URL("p"), s3.Options{Transport: tr, PartSize: 5 << 20, Backoff: time.Millisecond})
	c := server.Client(t)
	for _, test := range []struct {
		refuse int
		size   int64
		want   error
	}{{2, 10, nil}, {2, 12 << 20, nil}, {100, 10, blob.ErrTransient}, {100, 12 << 20, blob.ErrTransient}} {
		t.Run(fmt.Sprint(test.refuse, " ", test.size), func(t *testing.T) {
			mu.Lock()
			refuse = test.refuse
			clear(refused)
			mu.Unlock()
			key := blob.NewKey()
			n, err := d.Put(t.Context(), key, blobtest.Sparse(test.size))
			if test.want == nil && (err != nil || n != test.size) || test.want != nil && !errors.Is(err, test.want) && !errors.Is(err, blob.ErrUncertain) {
				t.Errorf("%d, %v; want %v", n, err, test.want)
			}
			mu.Lock()
			if len(refused) == 0 {
				t.Error("nothing was refused")
			}
			refuse = 0
			mu.Unlock()
			// While the server fails so often it is given a pause, and the abort
			// comes after that.
			for begin := time.Now(); ; {
				page, err := c.ListMultipartUploads(t.Context(), s3test.Bucket, "", "", "", "", 100)
				if err == nil && len(page.Uploads) == 0 {
					break
				}
				if err != nil || time.Since(begin) > 30*time.Second {
					t.Fatalf("%d uploads are left, %v", len(page.Uploads), err)
				}
			}
			if _, err := d.Stat(t.Context(), key); (err == nil) != (test.want == nil) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	key, broken := blob.NewKey(), errors.New("broken")
	if _, err := d.Put(t.Context(), key, io.MultiReader(blobtest.Sparse(12<<20), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("a source that breaks off: %v", err)
	}
	page, err := c.ListMultipartUploads(t.Context(), s3test.Bucket, "", "", "", "", 100)
	if err != nil || len(page.Uploads) != 0 {
		t.Errorf("after a source that breaks off %d uploads are left, %v", len(page.Uploads), err)
	}
}
