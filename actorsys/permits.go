package actorsys

import "sync"

// permits bound how many actors replay at a time: first come, first served. Whoever
// has joined keeps the place in line until leaving.
type permits struct {
	mu   sync.Mutex
	free int
	line []*permit // not granted yet, oldest first
}

type permit struct {
	granted chan struct{} // closed when it is
	held    bool          // guarded by permits.mu
}

func (p *permits) join() *permit {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &permit{granted: make(chan struct{})}
	if p.free > 0 {
		p.free--
		t.grant()
	} else {
		p.line = append(p.line, t)
	}
	return t
}

func (t *permit) grant() {
	t.held = true
	close(t.granted)
}

// leave gives the permit, or the place in line, back.
func (p *permits) leave(t *permit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !t.held:
		for i := range p.line {
			if p.line[i] == t {
				p.line = append(p.line[:i], p.line[i+1:]...)
				return
			}
		}
	case len(p.line) > 0:
		p.line[0].grant()
		p.line = p.line[1:]
	default:
		p.free++
	}
}
