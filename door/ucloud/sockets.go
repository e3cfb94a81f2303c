package ucloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/quire-docs/quire"
)

// sockets are the WebSockets of this process. The HTTP server knows nothing of
// them any more once they are made, so the door itself limits and ends them.
type sockets struct {
	max     int    // for each user
	refused func() // nil is nobody to tell

	mu       sync.Mutex // guards the rest
	open     map[*socket]struct{}
	users    map[quire.UserID]int
	stopping bool
	changed  chan struct{} // closed and made anew when a socket goes
}

// errStopping ends a connection because the server stops. What came is kept.
var errStopping = errors.New("the server stops: connect again and go on from what is here")

// reserve counts a connection that a user is about to have.
func (l *sockets) reserve(user quire.UserID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		return &quire.Unavailable{Reason: errStopping.Error(), After: 5 * time.Second}
	}
	if l.users[user] >= l.max {
		if l.refused != nil {
			l.refused()
		}
		return &quire.Unavailable{Reason: "too many of your connections are open: close some first", After: 10 * time.Second, Excess: true}
	}
	if l.users == nil {
		l.users, l.open = make(map[quire.UserID]int), make(map[*socket]struct{})
	}
	l.users[user]++
	return nil
}

// add notes a connection that was reserved. One that comes while the server is
// stopping ends before its first message.
func (l *sockets) add(s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[s] = struct{}{}
	if l.stopping {
		s.stop()
	}
}

// release is for each reservation, whether a socket came of it (s) or not.
func (l *sockets) release(user quire.UserID, s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, s)
	if l.users[user]--; l.users[user] == 0 {
		delete(l.users, user)
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// wait returns a channel that is closed when a socket goes; nil if there is
// none.
func (l *sockets) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.users) == 0 {
		return nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// each calls f for every socket that is open.
func (l *sockets) each(f func(*socket)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.open {
		f(s)
	}
}

// afterCut is how long connections that were cut have for noting what came.
const afterCut = 5 * time.Second

// Drain ends the WebSockets: each is closed as "going away" after the message
// that is being received, and those that are left when ctx ends are cut. It
// returns when what came by them is recorded. No new ones are made.
func (d *Door) Drain(ctx context.Context) {
	d.sockets.mu.Lock()
	d.sockets.stopping = true
	d.sockets.mu.Unlock()
	d.sockets.each((*socket).stop)
	cut := false
	for {
		gone := d.sockets.wait()
		if gone == nil {
			return
		}
		select {
		case <-gone:
		case <-ctx.Done():
			if cut {
				return
			}
			cut = true
			d.sockets.each((*socket).cut)
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterCut)
			defer cancel()
			ctx = late
		}
	}
}
