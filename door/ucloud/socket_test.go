package ucloud_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/ucloud"
	"github.com/quire-docs/quire/lock"
)

// client is one connection of a client.
type client struct {
	t    testing.TB
	ctx  context.Context
	conn *websocket.Conn
}

func dial(t testing.TB, endpoint string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, endpoint, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { conn.CloseNow() })
	return &client{t, ctx, conn}
}

func (c *client) send(frame []byte) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageBinary, frame); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) text(s string) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageText, []byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() string {
	c.t.Helper()
	_, b, err := c.conn.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// ended reads until the connection is closed and returns the reason.
func (c *client) ended() (websocket.StatusCode, string) {
	c.t.Helper()
	for {
		if _, _, err := c.conn.Read(c.ctx); err != nil {
			var closed websocket.CloseError
			if !errors.As(err, &closed) {
				return 0, err.Error()
			}
			return closed.Code, closed.Reason
		}
	}
}

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func listing(id uint32, size int64, mtime time.Time, path string) []byte {
	b := binary.BigEndian.AppendUint32(nil, id)
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	b = binary.BigEndian.AppendUint64(b, uint64(mtime.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(path)))
	return append(b, path...)
}

func frame(op byte, parts ...[]byte) []byte {
	b := []byte{op}
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// done reads messages until a number of files is complete, and returns those
// that were asked for and skipped.
func (c *client) done(n uint32) (asked, skipped []uint32) {
	c.t.Helper()
	for {
		b := []byte(c.read())
		for len(b) >= 5 {
			v := binary.BigEndian.Uint32(b[1:])
			switch b[0] {
			case 0:
				asked = append(asked, v)
			case 3:
				skipped = append(skipped, v)
			case 5:
				if v == n {
					return asked, skipped
				}
			default:
				c.t.Fatalf("opcode %d", b[0])
			}
			b = b[5:]
		}
	}
}

var day = time.Date(2023, 11, 14, 0, 0, 0, 0, time.UTC)

func TestVerifiedExchange(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.begin("/main/target", "FOLDER", `["CHUNKED","WEBSOCKET"]`, "RENAME")
	c := dial(t, u.Endpoint)
	b, err := hex.DecodeString("04" + "00000000" + "0000000000000019" + "0000018bcfe5687b" + "0000000d" + hex.EncodeToString([]byte("sub/hello.txt")))
	if err != nil {
		t.Fatal(err)
	}
	c.send(b)
	if got := hex.EncodeToString([]byte(c.read())); got != "0000000000" {
		t.Errorf("got %s, want OK of file 0", got)
	}
	data := "Hello, this is 25 bytes.\n"
	c.send(frame(2, u32(0), []byte(data)))
	if got := hex.EncodeToString([]byte(c.read())); got != "0500000001" {
		t.Errorf("got %s, want FILES_COMPLETED of 1", got)
	}
	c.conn.Close(websocket.StatusNormalClosure, "")
	f.has("/target/sub/hello.txt", data)
	e, err := f.lib.Lookup(f.ctx, f.admin, "/target/sub/hello.txt")
	if err != nil || e.Client.UnixMilli() != 0x18bcfe5687b {
		t.Errorf("got %v, %v", e.Client, err)
	}
	f.clean()
}

func TestSocketV1(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.begin("/main/a", "FILE", `["WEBSOCKET"]`, "RENAME")
	if u.Protocol != "WEBSOCKET_V1" {
		t.Fatalf("got %+v", u)
	}
	c := dial(t, u.Endpoint)
	c.text("0 25")
	c.send([]byte("0123456789"))
	if got := c.read(); got != "10" {
		t.Errorf("got %s", got)
	}
	// The connection breaks off, and the file goes on at the same offset.
	c.conn.CloseNow()
	f.restart()
	u.Endpoint = strings.Replace(f.url, "http", "ws", 1) + u.Endpoint[strings.Index(u.Endpoint, "/ucloud"):]
	c = dial(t, u.Endpoint)
	c.text("10 25")
	c.send([]byte("0123456789"))
	if got := c.read(); got != "20" {
		t.Errorf("got %s", got)
	}
	c.text("ping")
	if got := c.read(); got != "pong" {
		t.Errorf("got %s", got)
	}
	c.send([]byte("01234"))
	if got := c.read(); got != "25" {
		t.Errorf("got %s", got)
	}
	c.conn.Close(websocket.StatusNormalClosure, "")
	f.has("/a", "0123456789012345678901234")

	u = f.begin("/main/empty", "FILE", `["WEBSOCKET"]`, "RENAME")
	c = dial(t, u.Endpoint)
	c.text("0 0")
	if got := c.read(); got != "0" {
		t.Errorf("got %s", got)
	}
	for _, test := range []struct {
		name, opening string
		frames        []string
	}{
		{"no opening", "", nil},
		{"words", "zero ten", nil},
		{"one number", "5", nil},
		{"three numbers", "0 1 2", nil},
		{"negative", "-1 5", nil},
		{"overflow", "0 99999999999999999999", nil},
		{"beyond the total", "6 5", nil},
		{"beyond what is here", "1 5", nil},
		{"more than the total", "0 5", []string{"123456"}},
	} {
		u := f.begin("/main/bad", "FILE", `["WEBSOCKET_V1"]`, "RENAME")
		c := dial(t, u.Endpoint)
		c.text(test.opening)
		for _, s := range test.frames {
			c.send([]byte(s))
		}
		if code, why := c.ended(); code != websocket.StatusPolicyViolation {
			t.Errorf("%s: %d %s", test.name, code, why)
		}
	}
	u = f.begin("/main/toobig", "FILE", `["WEBSOCKET_V1"]`, "RENAME")
	c = dial(t, u.Endpoint)
	c.text("0 20000000")
	c.send(make([]byte, 16_000_001))
	if code, why := c.ended(); code != websocket.StatusPolicyViolation && code != websocket.StatusMessageTooBig {
		t.Errorf("%d %s", code, why)
	}
	f.clean()
}

func TestFolder(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	c := dial(t, u.Endpoint)
	c.text("ping")
	if got := c.read(); got != "pong" {
		t.Errorf("got %q", got)
	}
	// Large and small files at the same time, in pieces, and one that is given
	// up, with messages side by side in a frame.
	big := strings.Repeat("0123456789abcdef", 20_000)
	c.send(frame(4,
		listing(0, int64(len(big)), day, "big.bin"), listing(1, 5, day, "a/b/small.txt"), listing(2, 0, day, "empty"),
		listing(3, 1_000_000, day, "given-up.bin"), listing(4, 3, day, "later.txt"), listing(5, 10, day, "never.txt")))
	c.send(frame(2, u32(0), []byte(big[:100_000])))
	c.send(frame(2, u32(3), make([]byte, 70_000)))
	c.send(frame(2, u32(1), []byte("he")))
	c.send(frame(2, u32(2)))
	c.send(frame(2, u32(0), []byte(big[100_000:])))
	c.send(append(frame(3, u32(3)), frame(3, u32(5))...))
	c.send(append(frame(3, u32(5)), frame(2, u32(1), []byte("llo"))...))
	c.send(frame(2, u32(4), []byte("end")))
	asked, skipped := c.done(6)
	if len(asked) != 6 || len(skipped) != 0 {
		t.Errorf("asked for %v, skipped %v", asked, skipped)
	}
	f.has("/tree/big.bin", big)
	f.has("/tree/a/b/small.txt", "hello")
	f.has("/tree/empty", "")
	f.has("/tree/later.txt", "end")
	for _, path := range []string{"/tree/given-up.bin", "/tree/never.txt"} {
		if _, err := f.lib.Lookup(f.ctx, f.admin, path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
	c.conn.Close(websocket.StatusNormalClosure, "")

	// The same again: what is here is not sent. Counts are per connection.
	c = dial(t, u.Endpoint)
	c.send(frame(4,
		listing(10, int64(len(big)), day.Add(59*time.Second), "big.bin"), listing(11, 5, day.Add(time.Minute), "a/b/small.txt"),
		listing(12, 4, day, "later.txt"), listing(13, 0, day, "empty")))
	c.send(frame(3, u32(11)))
	c.send(frame(2, u32(12), []byte("more")))
	asked, skipped = c.done(4)
	if fmt.Sprint(asked, skipped) != "[11 12] [10 13]" {
		t.Errorf("asked for %v, skipped %v", asked, skipped)
	}
	f.has("/tree/later.txt", "end")
	f.has("/tree/later(1).txt", "more")
	c.send([]byte{6})
	if code, _ := c.ended(); code != websocket.StatusNormalClosure {
		t.Errorf("CLOSE: %d", code)
	}
	// The session is over.
	f.waitGone(u)
	f.clean()
}

// waitGone waits until a token's session has ended: the server ends it after
// the connection.
func (f *fixture) waitGone(u upload) {
	f.t.Helper()
	for range 200 {
		if a := f.call("", "GET", u.Endpoint[strings.Index(u.Endpoint, "/ucloud"):], ""); a.status == 404 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	f.t.Error("the session lives on after CLOSE")
}

// TestFolderThatGoes: a folder that somebody deletes in the middle is made
// anew for what comes after.
func TestFolderThatGoes(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	c := dial(t, u.Endpoint)
	c.send(frame(4, listing(0, 3, day, "sub/one"), listing(1, 3, day, "sub/two"), listing(2, 3, day, "sub/three")))
	c.send(frame(2, u32(0), []byte("111")))
	c.done(1)
	e, err := f.lib.Lookup(f.ctx, f.admin, "/tree/sub")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.lib.Delete(f.ctx, f.admin, e.ID, quire.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	c.send(frame(2, u32(1), []byte("222")))
	c.send(frame(2, u32(2), []byte("333")))
	c.done(3)
	f.has("/tree/sub/two", "222")
	f.has("/tree/sub/three", "333")
	f.clean()
}

func TestFolderAgain(t *testing.T) {
	f := open(t, ucloud.Options{})
	exists := func(path string, want bool) {
		t.Helper()
		if _, err := f.lib.Lookup(f.ctx, f.admin, path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A folder that was cut off is gone on with.
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	c := dial(t, u.Endpoint)
	c.send(frame(4, listing(0, 3, day, "one"), listing(1, 3, day, "two")))
	c.send(frame(2, u32(0), []byte("111")))
	c.done(1)
	c.conn.CloseNow()
	f.restart()
	u = f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	exists("/tree(1)", false)
	c = dial(t, u.Endpoint)
	c.send(frame(4, listing(0, 3, day, "one"), listing(1, 3, day, "two")))
	c.send(frame(2, u32(1), []byte("222")))
	if _, skipped := c.done(2); fmt.Sprint(skipped) != "[0]" {
		t.Errorf("skipped %v", skipped)
	}
	c.conn.Close(websocket.StatusNormalClosure, "")
	f.has("/tree/two", "222")
	// One that is complete is not, once the server has seen the connection end.
	for i := 0; ; i++ {
		f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
		if _, err := f.lib.Lookup(f.ctx, f.admin, "/tree(1)"); err == nil {
			break
		} else if i == 200 {
			t.Fatal("a complete folder is gone on with")
		}
		time.Sleep(5 * time.Millisecond)
	}
	f.clean()
}

func TestSeveralConnections(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "MERGE_RENAME")
	var wg sync.WaitGroup
	for n := range 16 {
		c := dial(t, u.Endpoint)
		wg.Go(func() {
			var all [][]byte
			for i := range uint32(20) {
				all = append(all, listing(i, int64(i), day, fmt.Sprintf("shared/%d-%d", n, i)))
			}
			c.send(frame(4, all...))
			for i := range uint32(20) {
				c.send(frame(2, u32(i), []byte(strings.Repeat("x", int(i)))))
			}
			c.done(20) // per connection
			if n == 0 {
				c.send([]byte{6}) // the others go on
				c.ended()
			}
		})
	}
	wg.Wait()
	for n := range 16 {
		f.has(fmt.Sprintf("/tree/shared/%d-19", n), strings.Repeat("x", 19))
	}
	f.clean()
}

func TestFolderRejects(t *testing.T) {
	f := open(t, ucloud.Options{})
	ok := listing(1, 3, day, "a")
	for _, test := range []struct {
		name   string
		frames [][]byte
	}{
		{"..", [][]byte{frame(4, listing(0, 1, day, "../x"))}},
		{".. inside", [][]byte{frame(4, listing(0, 1, day, "a/../../x"))}},
		{".. at the end", [][]byte{frame(4, listing(0, 1, day, "a/.."))}},
		{"dot", [][]byte{frame(4, listing(0, 1, day, "./x"))}},
		{"absolute", [][]byte{frame(4, listing(0, 1, day, "/etc/passwd"))}},
		{"drive letter", [][]byte{frame(4, listing(0, 1, day, "C:/x"))}},
		{"backslash", [][]byte{frame(4, listing(0, 1, day, `..\x`))}},
		{"UNC", [][]byte{frame(4, listing(0, 1, day, `\\server\x`))}},
		{"NUL", [][]byte{frame(4, listing(0, 1, day, "a\x00b"))}},
		{"not UTF-8", [][]byte{frame(4, listing(0, 1, day, "a\xff"))}},
		{"empty path", [][]byte{frame(4, listing(0, 1, day, ""))}},
		{"empty part", [][]byte{frame(4, listing(0, 1, day, "a//b"))}},
		{"slash at the end", [][]byte{frame(4, listing(0, 1, day, "a/"))}},
		{"reserved name", [][]byte{frame(4, listing(0, 1, day, "CON"))}},
		{"colon", [][]byte{frame(4, listing(0, 1, day, "a:stream"))}},
		{"negative size", [][]byte{frame(4, listing(0, -1, day, "a"))}},
		{"overflowing size", [][]byte{frame(4, listing(0, 1<<62, day, "a"))}},
		{"a path longer than the frame", [][]byte{frame(4, ok[:len(ok)-1], nil)}},
		{"a path of 4 GB", [][]byte{append(frame(4, ok[:20]), 0xff, 0xff, 0xff, 0xff, 'a')}},
		{"half an entry", [][]byte{frame(4, ok[:9])}},
		{"unknown opcode", [][]byte{{7}}},
		{"an opcode of the server's", [][]byte{frame(0, u32(0))}},
		{"a checksum", [][]byte{frame(1, u32(0))}},
		{"half a chunk's head", [][]byte{{2, 0, 0}}},
		{"unknown file", [][]byte{frame(2, u32(9), []byte("data"))}},
		{"unknown file, empty chunk", [][]byte{frame(2, u32(9))}},
		{"unknown file given up", [][]byte{frame(3, u32(9))}},
		{"number twice", [][]byte{frame(4, ok, ok)}},
		{"more than the size", [][]byte{frame(4, ok), frame(2, u32(1), []byte("1234"))}},
		{"more after the end", [][]byte{frame(4, ok), frame(2, u32(1), []byte("123")), frame(2, u32(1), []byte("4"))}},
	} {
		u := f.begin("/main/bad", "FOLDER", `["WEBSOCKET"]`, "RENAME")
		c := dial(t, u.Endpoint)
		for _, b := range test.frames {
			c.send(b)
		}
		if code, why := c.ended(); code != websocket.StatusPolicyViolation || why == "" {
			t.Errorf("%s: %d %s", test.name, code, why)
		}
	}
	u := f.begin("/main/bad", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	c := dial(t, u.Endpoint)
	c.send(make([]byte, 32_000_006)) // an unknown opcode, too
	c.ended()
	f.clean()
}

func TestSingleFileOverV2(t *testing.T) {
	f := open(t, ucloud.Options{})
	for _, size := range []int{0, 10, 300_000} {
		data := strings.Repeat("x", size)
		path := fmt.Sprintf("/file%d", size)
		u := f.begin("/main"+path, "FILE", `["WEBSOCKET_V2"]`, "RENAME")
		c := dial(t, u.Endpoint)
		c.send(frame(4, listing(7, int64(size), day, "")))
		c.send(frame(2, u32(7), []byte(data)))
		if asked, _ := c.done(1); fmt.Sprint(asked) != "[7]" {
			t.Errorf("asked for %v", asked)
		}
		f.has(path, data)
		if e, _ := f.lib.Lookup(f.ctx, f.admin, path); !e.Client.Equal(day) && size > 0 {
			t.Errorf("%s: modified %v", path, e.Client)
		}
		c.conn.Close(websocket.StatusNormalClosure, "")
		// Once more, because the answer was lost.
		if size > 0 {
			c = dial(t, u.Endpoint)
			c.send(frame(4, listing(1, int64(size), day, "")))
			if _, skipped := c.done(1); fmt.Sprint(skipped) != "[1]" {
				t.Errorf("skipped %v", skipped)
			}
		}
	}
	u := f.begin("/main/x", "FILE", `["WEBSOCKET_V2"]`, "RENAME")
	c := dial(t, u.Endpoint)
	c.send(frame(4, listing(7, 1, day, "../y")))
	if code, _ := c.ended(); code != websocket.StatusPolicyViolation {
		t.Errorf("got %d", code)
	}
	f.clean()
}

func TestOneRefusedFileDoesNotStopTheOthers(t *testing.T) {
	f := open(t, ucloud.Options{})
	for _, name := range []string{"small", "large"} {
		e := f.store("/tree/"+name, "old")
		if _, err := f.lib.Lock(f.ctx, f.admin, e.ID, lock.Request{Op: lock.Lock, ID: "L", Name: "Ann"}); err != nil {
			t.Fatal(err)
		}
	}
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "REPLACE")
	c := dial(t, u.Endpoint)
	c.send(frame(4, listing(0, 5, day, "small"), listing(1, 200_000, day, "large"), listing(2, 3, day, "free")))
	c.send(frame(2, u32(0), []byte("01234")))
	for range 4 {
		c.send(frame(2, u32(1), make([]byte, 50_000)))
	}
	c.send(frame(2, u32(2), []byte("new")))
	c.done(1)
	if code, why := c.ended(); code != websocket.StatusPolicyViolation || !strings.Contains(why, "editing") {
		t.Errorf("got %d %s", code, why)
	}
	f.has("/tree/free", "new")
	f.has("/tree/small", "old")
	f.has("/tree/large", "old")
	f.clean()
}

func TestSlowSocketIsCut(t *testing.T) {
	f := open(t, ucloud.Options{Idle: 200 * time.Millisecond})
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	c := dial(t, u.Endpoint)
	began := time.Now()
	c.ended()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("cut after %v", took)
	}
	// In the middle of a message.
	f.opt = ucloud.Options{Stall: 200 * time.Millisecond}
	f.restart()
	u = f.begin("/main/b", "FILE", `["WEBSOCKET_V1"]`, "RENAME")
	c = dial(t, u.Endpoint)
	c.text("0 100000")
	w, err := c.conn.Writer(c.ctx, websocket.MessageBinary)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, 50_000))
	began = time.Now()
	c.ended()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("cut after %v", took)
	}
	f.clean()
}

// TestManyFiles lists far more files than the server asks for at a time, all
// before the first byte, and sends what it asks for in another order.
func TestManyFiles(t *testing.T) {
	f := open(t, ucloud.Options{})
	const n = 1200
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	c := dial(t, u.Endpoint)
	data := func(id uint32) []byte {
		if id%500 == 7 {
			return make([]byte, 100_000+id)
		}
		return []byte(strings.Repeat("x", int(id%50)))
	}
	var all [][]byte
	for id := range uint32(n) {
		all = append(all, listing(id, int64(len(data(id))), day, fmt.Sprintf("d%d/f%d", id%10, id)))
	}
	c.send(frame(4, all...))
	random := rand.New(rand.NewPCG(3, 4))
	var ready []uint32
	completed := uint32(0)
	for completed < n {
		for b := []byte(c.read()); len(b) >= 5; b = b[5:] {
			switch v := binary.BigEndian.Uint32(b[1:]); b[0] {
			case 0:
				ready = append(ready, v)
			case 5:
				completed = v
			}
		}
		random.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
		for len(ready) > 0 {
			id := ready[0]
			ready = ready[1:]
			c.send(frame(2, u32(id), data(id)))
		}
	}
	c.conn.Close(websocket.StatusNormalClosure, "")
	for _, id := range []uint32{0, 7, 49, 507, 1034, n - 1} {
		f.has(fmt.Sprintf("/tree/d%d/f%d", id%10, id), string(data(id)))
	}
	f.clean()
}

// TestMillionEntries: a listing that is too long ends the connection, not the
// server's memory.
func TestMillionEntries(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	c := dial(t, u.Endpoint)
	go func() {
		for id := uint32(0); id < 1_000_000; {
			var part [][]byte
			for range 2000 {
				part = append(part, listing(id, 5, day, fmt.Sprintf("folder/with/some/depth/file-%d", id)))
				id++
			}
			if c.conn.Write(c.ctx, websocket.MessageBinary, frame(4, part...)) != nil {
				return
			}
		}
	}()
	if code, why := c.ended(); code != websocket.StatusPolicyViolation || !strings.Contains(why, "too many") {
		t.Errorf("got %d %s", code, why)
	}
}

func TestSocketOfSomebodyDisabled(t *testing.T) {
	f := open(t, ucloud.Options{})
	_, token := f.user("bob", quire.RoleMember, quire.Editor)
	f.token = token
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	if _, err := f.lib.ChangeUser(f.ctx, "bob", func(u *quire.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	if a := f.call("", "GET", u.Endpoint[strings.Index(u.Endpoint, "/ucloud"):], ""); a.status != 401 {
		t.Errorf("got %d %s", a.status, a.body)
	}
}
