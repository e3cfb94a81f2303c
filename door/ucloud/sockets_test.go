package ucloud_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/ucloud"
)

// again is an endpoint on the server as it runs now.
func (f *fixture) moved(endpoint string) string {
	return strings.Replace(f.url, "http", "ws", 1) + endpoint[strings.Index(endpoint, "/ucloud"):]
}

// begun starts a message of 16 MB and sends so much of it that the server must
// be reading: more than any buffer between the two holds.
func begun(c *client) (finish func()) {
	c.t.Helper()
	w, err := c.conn.Writer(c.ctx, websocket.MessageBinary)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 15_000_000)); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		c.t.Helper()
		if _, err := w.Write(make([]byte, 1_000_000)); err != nil {
			c.t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestDrain stops the server while sockets are open: those that wait are told
// at once, one that is sending may finish its message, and nothing that was
// acknowledged or sent is lost.
func TestDrain(t *testing.T) {
	f := open(t, ucloud.Options{})
	f.drain = time.Minute
	f.restart()
	one := f.begin("/main/one", "FILE", `["WEBSOCKET"]`, "RENAME")
	tree := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	large := f.begin("/main/large", "FILE", `["WEBSOCKET"]`, "RENAME")

	idle := dial(t, one.Endpoint)
	idle.text("0 25")
	idle.send([]byte("0123456789"))
	if got := idle.read(); got != "10" {
		t.Fatalf("got %s", got)
	}
	folder := dial(t, tree.Endpoint)
	folder.send(frame(4, listing(0, 5, day, "a.txt"), listing(1, 5, day, "b.txt")))
	folder.send(frame(2, u32(0), []byte("hello")))
	folder.done(1)
	busy := dial(t, large.Endpoint)
	busy.text("0 20000000")
	finish := begun(busy)

	stopped := make(chan struct{})
	go func() { defer close(stopped); f.stop() }()
	for name, c := range map[string]*client{"a file's": idle, "a folder's": folder} {
		if code, why := c.ended(); code != websocket.StatusGoingAway || !strings.Contains(why, "the server stops") {
			t.Errorf("%s socket that waits: %d %s", name, code, why)
		}
	}
	select {
	case <-stopped:
		t.Fatal("the server did not wait for a message that was coming")
	default:
	}
	finish()
	if got := busy.read(); got != "16000000" {
		t.Errorf("the last message was answered %s", got)
	}
	if code, why := busy.ended(); code != websocket.StatusGoingAway {
		t.Errorf("%d %s", code, why)
	}
	<-stopped

	f.start()
	idle = dial(t, f.moved(one.Endpoint))
	idle.text("10 25")
	idle.send([]byte("012345678901234"))
	if got := idle.read(); got != "25" {
		t.Errorf("got %s", got)
	}
	busy = dial(t, f.moved(large.Endpoint))
	busy.text("16000000 20000000")
	busy.send(make([]byte, 4_000_000))
	if got := busy.read(); got != "20000000" {
		t.Errorf("got %s", got)
	}
	folder = dial(t, f.moved(tree.Endpoint))
	folder.send(frame(4, listing(0, 5, day, "a.txt"), listing(1, 5, day, "b.txt")))
	folder.send(frame(2, u32(1), []byte("world")))
	if asked, skipped := folder.done(2); len(asked) != 1 || len(skipped) != 1 {
		t.Errorf("asked for %v, skipped %v", asked, skipped)
	}
	f.has("/one", "0123456789012345678901234")
	f.has("/tree/a.txt", "hello")
	f.has("/tree/b.txt", "world")
	f.clean()
}

// TestDrainCut: a sender that does not finish its message is cut when the time
// is over; what came is kept.
func TestDrainCut(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.begin("/main/large", "FILE", `["WEBSOCKET"]`, "RENAME")
	c := dial(t, u.Endpoint)
	c.text("0 20000000")
	begun(c)
	f.restart()
	open, err := f.lib.OpenUploads(f.ctx, f.admin)
	if err != nil || len(open) != 1 || open[0].Received < 1_000_000 {
		t.Fatalf("what came is not kept: %+v, %v", open, err)
	}
	c = dial(t, f.moved(u.Endpoint))
	c.text(strconv.FormatInt(open[0].Received, 10) + " 20000000")
	c.send(make([]byte, 20_000_000-open[0].Received))
	if got := c.read(); got != "20000000" {
		t.Errorf("got %s", got)
	}
	f.clean()
}

func TestSocketsOfAUser(t *testing.T) {
	f := open(t, ucloud.Options{MaxSockets: 2})
	u := f.begin("/main/tree", "FOLDER", `["WEBSOCKET"]`, "RENAME")
	first := dial(t, u.Endpoint)
	dial(t, u.Endpoint)
	ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, u.Endpoint, nil)
	if err == nil {
		conn.CloseNow()
		t.Fatal("a third socket of one user was accepted")
	}
	if resp == nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "10" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %v", resp)
	}

	// Another user is not concerned.
	mine := f.token
	_, f.token = f.user("other", quire.RoleMember, quire.Owner)
	dial(t, f.begin("/main/others", "FOLDER", `["WEBSOCKET"]`, "RENAME").Endpoint)
	f.token = mine

	// One that is closed makes room, as soon as the server has seen it.
	first.conn.Close(websocket.StatusNormalClosure, "")
	for {
		conn, _, err := websocket.Dial(ctx, u.Endpoint, nil)
		if err == nil {
			conn.CloseNow()
			break
		}
		if ctx.Err() != nil {
			t.Fatal("a socket that was closed still counts")
		}
	}
}
