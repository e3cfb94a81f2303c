package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

var (
	interruptedSize = flag.Int64("interrupted.size", 256<<20, "how many bytes each upload of TestInterrupted has")
	interruptions   = flag.Int("interrupted.times", 20, "how often each upload of TestInterrupted is interrupted")
)

// source is content that does not repeat and can be read from anywhere.
type source struct{ size int64 }

const sourceBlock = 1 << 20

// section reads n bytes from an offset on.
func (s source) section(offset, n int64) io.Reader {
	return io.LimitReader(&sourceReader{at: offset}, min(n, s.size-offset))
}

type sourceReader struct {
	at    int64
	block []byte
}

func (r *sourceReader) Read(p []byte) (int, error) {
	if len(r.block) == 0 {
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], uint64(r.at/sourceBlock))
		b := make([]byte, sourceBlock)
		_, _ = rand.NewChaCha8(seed).Read(b)
		r.block = b[r.at%sourceBlock:]
	}
	n := copy(p, r.block)
	r.block = r.block[n:]
	r.at += int64(n)
	return n, nil
}

// route is one way in which a large file comes. base is where the server is
// now.
type route interface {
	// begin starts an upload of so many bytes.
	begin(base string, size int64) error
	// where asks how far it is.
	where(base string) (int64, error)
	// send sends n bytes from an offset on.
	send(base string, offset, n int64, body io.Reader) error
	// end makes the file, if the last byte has not.
	end(base string) error
	path() string
}

var errCut = errors.New("cut")

// cutter fails, or does something first, after some bytes.
type cutter struct {
	r    io.Reader
	left int64
	then func()
}

func (c *cutter) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.then()
		return 0, errCut
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// call makes a request and returns the answer's body and headers.
func call(method, u, token string, body io.Reader, n int64, head ...string) (int, http.Header, []byte, error) {
	r, err := http.NewRequest(method, u, body)
	if err != nil {
		return 0, nil, nil, err
	}
	if r.ContentLength = n; n == 0 {
		r.Body = http.NoBody
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, resp.Header, b, err
}

// expect makes an error of any status but the wanted one.
func expect(want, status int, body []byte, err error) error {
	if err == nil && status != want {
		err = fmt.Errorf("%d %s", status, body)
	}
	return err
}

// fileAPIRoute is the file API's chunked upload.
type fileAPIRoute struct{ token, id string }

func (r *fileAPIRoute) path() string { return "/interrupted/fileapi" }

func (r *fileAPIRoute) begin(base string, _ int64) error {
	status, _, b, err := call("PUT", base+"/api/v1/file/chunked_upload?offset=0", r.token, nil, 0)
	var a struct {
		ID string `json:"upload_id"`
	}
	if err = expect(200, status, b, err); err == nil {
		err = json.Unmarshal(b, &a)
	}
	r.id = a.ID
	return err
}

func (r *fileAPIRoute) where(base string) (int64, error) {
	// A wrong offset is answered with the right one.
	_, _, b, err := call("PUT", base+"/api/v1/file/chunked_upload?upload_id="+r.id+"&offset=4611686018427387904", r.token, nil, 0)
	var a struct {
		Offset *int64 `json:"offset"`
	}
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(b, &a); err != nil || a.Offset == nil {
		return 0, fmt.Errorf("%s: %v", b, err)
	}
	return *a.Offset, nil
}

func (r *fileAPIRoute) send(base string, offset, n int64, body io.Reader) error {
	status, _, b, err := call("PUT", fmt.Sprintf("%s/api/v1/file/chunked_upload?upload_id=%s&offset=%d", base, r.id, offset), r.token, body, n)
	return expect(200, status, b, err)
}

func (r *fileAPIRoute) end(base string) error {
	status, _, b, err := call("POST", base+"/api/v1/file/commit_chunked_upload?upload_id="+r.id+"&path="+r.path(), r.token, nil, 0)
	return expect(200, status, b, err)
}

// tusRoute is tus.
type tusRoute struct{ token, id string }

func (r *tusRoute) path() string { return "/interrupted/tus" }

func (r *tusRoute) begin(base string, size int64) error {
	status, h, b, err := call("POST", base+"/uploads", r.token, nil, 0, "Tus-Resumable", "1.0.0", "Upload-Length", strconv.FormatInt(size, 10),
		"Upload-Metadata", "path "+base64.StdEncoding.EncodeToString([]byte(r.path())))
	if err = expect(201, status, b, err); err == nil {
		r.id = path.Base(h.Get("Location"))
	}
	return err
}

func (r *tusRoute) where(base string) (int64, error) {
	status, h, b, err := call("HEAD", base+"/uploads/"+r.id, r.token, nil, 0, "Tus-Resumable", "1.0.0")
	if err := expect(200, status, b, err); err != nil {
		return 0, err
	}
	return strconv.ParseInt(h.Get("Upload-Offset"), 10, 64)
}

func (r *tusRoute) send(base string, offset, n int64, body io.Reader) error {
	status, _, b, err := call("PATCH", base+"/uploads/"+r.id, r.token, body, n, "Tus-Resumable", "1.0.0",
		"Upload-Offset", strconv.FormatInt(offset, 10), "Content-Type", "application/offset+octet-stream")
	return expect(204, status, b, err)
}

func (r *tusRoute) end(string) error { return nil }

// ucloudRoute is UCloud's chunks. The protocol does not tell how far an upload
// is: a client sends a failed chunk again.
type ucloudRoute struct {
	token, upload string
	size, sent    int64
}

func (r *ucloudRoute) path() string { return "/interrupted/ucloud" }

// startUCloud asks for an upload and returns its token.
func startUCloud(base, token, where, kind, protocol string) (string, error) {
	body := fmt.Sprintf(`{"items":[{"id":"/main%s","type":%q,"supportedProtocols":[%q],"conflictPolicy":"REPLACE"}]}`, where, kind, protocol)
	status, _, b, err := call("POST", base+"/api/files/upload", token, strings.NewReader(body), int64(len(body)), "Content-Type", "application/json")
	if err := expect(200, status, b, err); err != nil {
		return "", err
	}
	var a struct {
		Responses []struct{ Token string }
	}
	if err := json.Unmarshal(b, &a); err != nil || len(a.Responses) != 1 {
		return "", fmt.Errorf("%s: %v", b, err)
	}
	return a.Responses[0].Token, nil
}

func (r *ucloudRoute) begin(base string, size int64) (err error) {
	r.size = size
	r.upload, err = startUCloud(base, r.token, r.path(), "FILE", "CHUNKED")
	return err
}

func (r *ucloudRoute) where(string) (int64, error) { return r.sent, nil }

func (r *ucloudRoute) send(base string, offset, n int64, body io.Reader) error {
	status, _, b, err := call("POST", base+"/ucloud/quire/chunked", "", body, n, "chunked-upload-token", r.upload,
		"chunked-upload-offset", strconv.FormatInt(offset, 10), "chunked-upload-total-size", strconv.FormatInt(r.size, 10))
	if err = expect(200, status, b, err); err == nil {
		r.sent = offset + n
	}
	return err
}

func (r *ucloudRoute) end(string) error { return nil }

// hurdles are where an upload is interrupted, in bytes, and how.
type hurdle struct {
	at   int64
	kill bool // the server; else the connection is cut
}

func hurdles(rnd *rand.Rand, size int64, n int) []hurdle {
	list := make([]hurdle, n)
	for i := range list {
		list[i] = hurdle{rnd.Int64N(size), rnd.IntN(3) == 0}
	}
	slices.SortFunc(list, func(a, b hurdle) int { return int(min(1, max(-1, a.at-b.at))) })
	return list
}

// lab is a server that can be killed and started again on its data.
type lab struct {
	t     *testing.T
	data  string
	s     *process
	token string

	mu   sync.Mutex
	peak int64 // of the server's memory, in bytes
}

func (l *lab) start() {
	l.t.Helper()
	s, err := launch(l.data)
	if err != nil {
		l.t.Fatal(err)
	}
	l.s = s
}

func (l *lab) kill() {
	l.measure(l.s)
	l.s.kill()
}

// measure notes the most memory that the server has had, where the system
// tells.
func (l *lab) measure(s *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			l.peak = max(l.peak, kb<<10)
		}
	}
}

// sum is the SHA-256 of a file as the server has it.
func (l *lab) sum(paths ...string) string {
	l.t.Helper()
	h := sha256.New()
	for _, p := range paths {
		r, err := http.NewRequest("GET", l.s.url+"/api/v1/file/get?path="+p, nil)
		if err != nil {
			l.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+l.token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			l.t.Fatal(err)
		}
		if _, err := io.Copy(h, resp.Body); err != nil || resp.StatusCode != 200 {
			l.t.Fatalf("%s: %d %v", p, resp.StatusCode, err)
		}
		resp.Body.Close()
	}
	return hex.EncodeToString(h.Sum(nil))
}

// run sends everything, past all hurdles.
func (l *lab) run(r route, src source, list []hurdle) {
	l.t.Helper()
	if err := r.begin(l.s.url, src.size); err != nil {
		l.t.Fatal(err)
	}
	const piece = 4_000_000
	refused := 0 // in a row
	for at := int64(0); at < src.size; {
		n := min(piece, src.size-at)
		body := src.section(at, n)
		hit, kill := len(list) > 0 && list[0].at < at+n, false
		if hit {
			h := list[0]
			list = list[1:]
			then := func() {}
			if h.kill {
				// In the client's goroutine: the request may fail before this is over.
				server := l.s
				then, kill = func() { l.measure(server); _ = server.cmd.Process.Kill() }, true
			}
			body = &cutter{body, max(0, h.at-at), then}
		}
		err := r.send(l.s.url, at, n, body)
		if kill {
			l.s.kill()
		}
		if err != nil && !hit {
			// The server may not have noticed yet that the last request broke
			// off: its bytes come to count while this one is refused.
			if refused++; refused > 500 {
				l.t.Fatalf("at %d: %v", at, err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err == nil {
			if hit {
				l.t.Fatalf("at %d: a broken body was taken for whole", at)
			}
			at, refused = at+n, 0
			continue
		}
		http.DefaultClient.CloseIdleConnections()
		if l.ended() {
			l.start()
		}
		now, err := r.where(l.s.url)
		if err != nil {
			l.t.Fatalf("after %d: %v", at, err)
		}
		if now < at {
			l.t.Fatalf("it was at %d, and after an interruption at %d: what was acknowledged is lost", at, now)
		}
		at = now
	}
	if err := r.end(l.s.url); err != nil {
		l.t.Fatal(err)
	}
	l.measure(l.s)
	l.t.Logf("%d bytes, the server's peak memory %d MB", src.size, l.peak>>20)
}

// ended says whether the server has died.
func (l *lab) ended() bool {
	select {
	case <-l.s.done:
		return true
	default:
		return false
	}
}

// TestInterrupted sends a large file by each protocol, while connections are
// cut and the server is killed in the middle of bodies. In the end the content
// is right, nothing acknowledged was sent twice, and the server has needed no
// more memory than for a small file.
func TestInterrupted(t *testing.T) {
	size, times := *interruptedSize, *interruptions
	if testing.Short() {
		size, times = min(size, 32<<20), min(times, 6)
	}
	l := &lab{t: t, data: t.TempDir()}
	l.start()
	defer func() { l.s.kill() }()
	l.token = newToken(t, l.data)
	src := source{size}
	h := sha256.New()
	if _, err := io.Copy(h, src.section(0, size)); err != nil {
		t.Fatal(err)
	}
	want := hex.EncodeToString(h.Sum(nil))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for name, r := range map[string]route{
		"file API": &fileAPIRoute{token: l.token}, "tus": &tusRoute{token: l.token}, "UCloud chunks": &ucloudRoute{token: l.token},
	} {
		t.Run(name, func(t *testing.T) {
			l.t = t
			l.run(r, src, hurdles(rnd, size, times))
			if got := l.sum(r.path()); got != want {
				t.Errorf("the SHA-256 is %s, want %s", got, want)
			}
		})
	}
	t.Run("UCloud WEBSOCKET_V2", func(t *testing.T) {
		l.t = t
		paths := l.tree(src, hurdles(rnd, size, times))
		if got := l.sum(paths...); got != want {
			t.Errorf("the SHA-256 is %s, want %s", got, want)
		}
	})
	l.t = t
	l.kill()
	// The short test is the one that runs with the race detector, which takes
	// several times the memory.
	const enough = 200 << 20
	if l.peak > enough && !testing.Short() {
		t.Errorf("the server took %d MB", l.peak>>20)
	}
	if err := fsck(t, l.data); err != nil {
		t.Error(err)
	}
}

// tree sends the content as a folder of many files over WEBSOCKET_V2. That
// protocol cannot go on in the middle of a file: what is whole is skipped, and
// the rest comes again.
func (l *lab) tree(src source, list []hurdle) (paths []string) {
	l.t.Helper()
	const files = 64
	each := (src.size + files - 1) / files
	token, err := startUCloud(l.s.url, l.token, "/interrupted/tree", "FOLDER", "WEBSOCKET_V2")
	if err != nil {
		l.t.Fatal(err)
	}
	var listing bytes.Buffer
	listing.WriteByte(4)
	modified := time.Now().Add(-time.Hour).UnixMilli()
	for i := range files {
		name := fmt.Sprintf("part/%02d", i)
		paths = append(paths, "/interrupted/tree/"+name)
		for _, v := range []any{uint32(i), min(each, src.size-int64(i)*each), modified, uint32(len(name))} {
			_ = binary.Write(&listing, binary.BigEndian, v)
		}
		listing.WriteString(name)
	}
	var sent int64 // on all connections
	for round := 0; ; round++ {
		if round > len(list)+1 {
			l.t.Fatal("it does not come to an end")
		}
		var next *hurdle
		if round < len(list) {
			next = &list[round]
		}
		done, err := l.connection(token, listing.Bytes(), src, each, files, &sent, next)
		if done {
			return paths
		}
		if next == nil || !errors.Is(err, errCut) {
			l.t.Fatalf("round %d: %v", round, err)
		}
		if l.ended() {
			l.start()
		}
	}
}

// connection is one connection of tree, up to a hurdle if there is one.
func (l *lab) connection(token string, listing []byte, src source, each, files int64, sent *int64, stop *hurdle) (done bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, strings.Replace(l.s.url, "http", "ws", 1)+"/ucloud/quire/upload?token="+token, nil)
	if resp != nil && resp.Body != nil {
		resp.Body.Close()
	}
	if err != nil {
		return false, err
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageBinary, listing); err != nil {
		return false, err
	}
	frame := make([]byte, 5+256<<10)
	frame[0] = 2
	for {
		_, b, err := c.Read(ctx)
		if err != nil {
			return false, err
		}
		for ; len(b) >= 5; b = b[5:] {
			n := binary.BigEndian.Uint32(b[1:])
			switch b[0] {
			case 5:
				if int64(n) == files {
					_ = c.Write(ctx, websocket.MessageBinary, []byte{6})
					return true, nil
				}
			case 0:
				from := int64(n) * each
				body := src.section(from, min(each, src.size-from))
				binary.BigEndian.PutUint32(frame[1:], n)
				for {
					k, rerr := io.ReadFull(body, frame[5:])
					if stop != nil && *sent+int64(k) > stop.at {
						if stop.kill {
							l.kill()
						}
						return false, errCut
					}
					*sent += int64(k)
					if k > 0 {
						if err := c.Write(ctx, websocket.MessageBinary, frame[:5+k]); err != nil {
							return false, err
						}
					}
					if rerr != nil {
						break
					}
				}
			}
		}
	}
}
