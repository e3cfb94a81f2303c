package ucloud

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// socket is a WebSocket whose reads must move on.
type socket struct {
	conn   *websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer
	stall  time.Duration
	idle   time.Duration
	// farewell ends the connection while it waits for a message.
	farewell func()

	mu       sync.Mutex // guards the two
	waiting  bool       // for the next message
	stopping bool       // no message is taken any more
}

// accept makes a connection a WebSocket and serves it. Any origin may: what
// counts is the token, which a browser does not send by itself.
// serve adds the socket to those that are ended when the server stops, as soon
// as its farewell is set.
func (c *call) accept(user quire.UserID, limit int64, serve func(*socket)) error {
	if err := c.sockets.reserve(user); err != nil {
		return err
	}
	var s *socket
	defer func() { c.sockets.release(user, s) }()
	conn, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil // it has answered
	}
	conn.SetReadLimit(limit)
	s = &socket{conn: conn, stall: c.opt.Stall, idle: c.opt.Idle}
	s.farewell = func() { s.interrupt(context.WithoutCancel(c.ctx), errStopping) }
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	s.timer = time.AfterFunc(s.idle, s.cancel)
	serve(s)
	return nil
}

// next waits for the next message. It is errStopping where the server stops.
func (s *socket) next() (text bool, r io.Reader, err error) {
	if s.wait(true) {
		return false, nil, errStopping
	}
	s.timer.Reset(s.idle)
	defer s.timer.Stop()
	typ, r, err := s.conn.Reader(s.ctx)
	if s.wait(false) && err != nil {
		err = errStopping
	}
	return typ == websocket.MessageText, &moving{r, s}, err
}

// wait notes whether a message is waited for, and tells whether the server
// stops.
func (s *socket) wait(waiting bool) (stopping bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = waiting
	return s.stopping
}

// stop ends the connection: at once if nothing comes, else after the message
// that is being received. It does not wait for that.
func (s *socket) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.stopping
	s.stopping = true
	if first && s.waiting {
		go s.farewell()
	}
}

// cut breaks the connection off.
func (s *socket) cut() {
	s.cancel()
	go s.conn.CloseNow() // it may wait for who reads
}

// moving reads a message and cuts the connection if it stands still. Time that
// we take between reads does not count.
type moving struct {
	r io.Reader
	s *socket
}

// Read implements io.Reader. Bytes that come with an error are not told: the
// WebSocket package has not unmasked them. It fills what it is given before it
// returns, so a slow sender gets small pieces.
func (m *moving) Read(p []byte) (int, error) {
	m.s.timer.Reset(m.s.stall)
	defer m.s.timer.Stop()
	n, err := m.r.Read(p[:min(len(p), movingPiece)])
	if err != nil && err != io.EOF {
		n = 0
	}
	return n, err
}

// movingPiece is how much of a message must come within the stall time, in
// bytes.
const movingPiece = 16 << 10

// write sends a message, which the other side must take within the stall time.
func (s *socket) write(typ websocket.MessageType, b []byte) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.stall)
	defer cancel()
	return s.conn.Write(ctx, typ, b)
}

// end closes the connection: normally, or with the reason of an error.
func (s *socket) end(c *call, err error) {
	defer s.cancel()
	if err == nil {
		_ = s.conn.Close(websocket.StatusNormalClosure, "")
		return
	}
	code, why := closing(c.ctx, err)
	if code == 0 {
		_ = s.conn.CloseNow()
		return
	}
	if code == websocket.StatusInternalError {
		c.log.Error("a WebSocket failed", "request", server.RequestID(c.ctx), "error", err)
	}
	_ = s.conn.Close(code, why)
}

// interrupt ends the connection while another goroutine reads it.
func (s *socket) interrupt(ctx context.Context, err error) {
	code, why := closing(ctx, err)
	if code == 0 {
		_ = s.conn.CloseNow()
		return
	}
	_ = s.conn.Close(code, why)
}

// maxReason is the longest reason that a close frame has room for, in bytes.
const maxReason = 123

// closing translates an error to a close frame; 0 is that there is nobody to
// send one to.
func closing(ctx context.Context, err error) (websocket.StatusCode, string) {
	var gone websocket.CloseError
	if errors.As(err, &gone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errBroken) {
		return 0, ""
	}
	if errors.Is(err, errStopping) {
		return websocket.StatusGoingAway, errStopping.Error()
	}
	if errors.Is(err, websocket.ErrMessageTooBig) {
		return websocket.StatusMessageTooBig, "the message is too big"
	}
	w := translate(ctx, err)
	code := websocket.StatusPolicyViolation
	switch w.status {
	case 0:
		return 0, ""
	case http.StatusInternalServerError:
		code = websocket.StatusInternalError
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusInsufficientStorage:
		code = websocket.StatusTryAgainLater
	}
	why := w.why
	if len(why) > maxReason {
		n := maxReason
		for n > 0 && !utf8.RuneStart(why[n]) {
			n--
		}
		why = why[:n]
	}
	return code, why
}

// errBroken is a connection that broke off or stood still.
var errBroken = errors.New("the connection broke off")

// live counts the folder connections of each session in this process.
type live struct {
	mu sync.Mutex // guards conns
	// conns has how many connections a session has here.
	conns map[quire.UploadID]int
}

func (l *live) enter(id quire.UploadID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		l.conns = make(map[quire.UploadID]int)
	}
	l.conns[id]++
}

// leave says whether that was the session's last connection here.
func (l *live) leave(id quire.UploadID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[id]--
	if l.conns[id] > 0 {
		return false
	}
	delete(l.conns, id)
	return true
}

// socketV1 takes one file over WEBSOCKET_V1: a text message with the offset
// and the total size, then frames of data, each answered with the new offset
// when it is durable.
func socketV1(c *call) error {
	_, token, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, c.base), "websocket/upload/")
	s, err := c.session(token)
	if err != nil {
		return err
	}
	if s.folder() {
		return bad("this session is for a folder: use WEBSOCKET_V2")
	}
	return c.accept(s.caller.User, MaxFrame, func(ws *socket) {
		c.sockets.add(ws)
		ws.end(c, s.frames(ws))
	})
}

func (s *session) frames(ws *socket) error {
	at, total, err := s.opening(ws)
	if err != nil {
		return err
	}
	if s.upload.Done != nil {
		if total != at {
			return bad("the upload is complete: create another one")
		}
		return s.told(ws, total)
	}
	if err := s.align(ws.ctx, at, total); err != nil {
		return err
	}
	for at < total {
		text, r, err := ws.next()
		if err != nil {
			return err
		}
		if text {
			if err := ws.pong(r); err != nil {
				return err
			}
			continue
		}
		if err := s.still(ws.ctx); err != nil {
			return err
		}
		body := &watched{Reader: r}
		u, n, err := s.lib.Append(ws.ctx, s.caller, s.upload.ID, at, body, library.Append{Max: MaxFrame, Rewrite: true, Refuse: true})
		switch {
		case body.broke() && errors.Is(body.err, websocket.ErrMessageTooBig):
			return body.err
		case body.broke():
			return errBroken // what came is kept
		case err != nil:
			return err
		}
		s.upload = u
		if at += n; at < total {
			if err := ws.write(websocket.MessageText, decimal(at)); err != nil {
				return err
			}
		}
	}
	if err := s.finish(context.WithoutCancel(ws.ctx), time.Time{}); err != nil {
		return err
	}
	return s.told(ws, total)
}

// opening reads the first message: "<start> <total>".
func (s *session) opening(ws *socket) (at, total int64, err error) {
	for {
		text, r, err := ws.next()
		if err != nil {
			return 0, 0, err
		}
		b, err := io.ReadAll(io.LimitReader(r, 64))
		if err != nil {
			return 0, 0, err
		}
		if text && string(b) == "ping" {
			if err := ws.write(websocket.MessageText, []byte("pong")); err != nil {
				return 0, 0, err
			}
			continue
		}
		first, second, _ := strings.Cut(string(b), " ")
		at, ok := number(first)
		total, ok2 := number(second)
		if !text || !ok || !ok2 || at < 0 || total < 0 || at > total {
			return 0, 0, bad("begin with a text message: the offset and the total size")
		}
		return at, total, nil
	}
}

// told sends the last offset and lets the client close.
func (s *session) told(ws *socket, total int64) error {
	if err := ws.write(websocket.MessageText, decimal(total)); err != nil {
		return err
	}
	ws.idle = ws.stall
	for {
		_, r, err := ws.next()
		if err != nil {
			return err
		}
		if n, err := io.Copy(io.Discard, r); err != nil || n > 0 {
			return bad("the upload is complete: nothing more is taken")
		}
	}
}

// pong answers the text "ping"; other text has no meaning after the opening.
func (s *socket) pong(r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, 64))
	if err != nil {
		return err
	}
	if string(b) != "ping" {
		return bad("only \"ping\" may be sent as text here")
	}
	return s.write(websocket.MessageText, []byte("pong"))
}
