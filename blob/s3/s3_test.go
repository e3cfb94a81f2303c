package s3_test

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

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
		"s3://bucket?sse=x", "s3://bucket?sse=kms", "s3://bucket?kms-key=x", "s3://bucket?lookup=x", "s3://bucket?%zz",
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
