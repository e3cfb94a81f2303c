package ucloud

import (
	"encoding/binary"
	"sync"

	"github.com/coder/websocket"
)

// outbox gathers answers while earlier ones are on their way, so that many of
// them share a frame.
type outbox struct {
	ws *socket

	mu      sync.Mutex // guards the rest
	changed *sync.Cond
	frame   []byte
	texts   []string
	total   uint32 // how many files are done
	told    uint32 // what the client was told last
	sending bool
	closed  bool
	failed  bool
}

// maxOut is how many bytes of answers may wait for a client that does not
// read them.
const maxOut = 256 << 10

func (o *outbox) init(ws *socket) {
	o.ws = ws
	o.changed = sync.NewCond(&o.mu)
}

// add adds a message with a file's number.
func (o *outbox) add(op byte, id uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frame = binary.BigEndian.AppendUint32(append(o.frame, op), id)
	o.changed.Broadcast()
}

// count counts a file that is done.
func (o *outbox) count() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.total++
	o.changed.Broadcast()
}

// text adds a text message.
func (o *outbox) text(s string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.texts = append(o.texts, s)
	o.changed.Broadcast()
}

// room waits until the client has taken enough.
func (o *outbox) room() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.frame) > maxOut && !o.failed {
		o.changed.Wait()
	}
	if o.failed {
		return errBroken
	}
	return nil
}

// drain waits until all that was added is sent, or cannot be.
func (o *outbox) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.failed && (o.sending || len(o.frame) > 0 || len(o.texts) > 0 || o.told != o.total) {
		o.changed.Wait()
	}
}

// close lets run send what is left and end.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

// run sends messages until the outbox is closed and empty, or the connection
// fails.
func (o *outbox) run() error {
	for {
		o.mu.Lock()
		for len(o.frame) == 0 && o.told == o.total && len(o.texts) == 0 && !o.closed {
			o.changed.Wait()
		}
		frame, texts, closed := o.frame, o.texts, o.closed
		o.frame, o.texts = nil, nil
		if o.told != o.total {
			o.told = o.total
			frame = binary.BigEndian.AppendUint32(append(frame, opCompleted), o.told)
		}
		if len(frame) == 0 && len(texts) == 0 && closed {
			o.mu.Unlock()
			return nil
		}
		o.sending = true
		o.changed.Broadcast()
		o.mu.Unlock()
		err := o.send(frame, texts)
		o.mu.Lock()
		o.sending, o.failed = false, err != nil
		o.changed.Broadcast()
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (o *outbox) send(frame []byte, texts []string) error {
	if len(frame) > 0 {
		if err := o.ws.write(websocket.MessageBinary, frame); err != nil {
			return err
		}
	}
	for _, t := range texts {
		if err := o.ws.write(websocket.MessageText, []byte(t)); err != nil {
			return err
		}
	}
	return nil
}

// idSet is a set of file numbers, which clients give out one after the other.
type idSet struct {
	words map[uint32]uint64
}

// maxWords bounds the set's memory: beyond some four million files on one
// connection, the oldest are forgotten.
const maxWords = 1 << 16

func (s *idSet) add(id uint32) {
	if s.words == nil || len(s.words) == maxWords && s.words[id>>6] == 0 {
		s.words = make(map[uint32]uint64)
	}
	s.words[id>>6] |= 1 << (id & 63)
}

func (s *idSet) has(id uint32) bool { return s.words[id>>6]&(1<<(id&63)) != 0 }
