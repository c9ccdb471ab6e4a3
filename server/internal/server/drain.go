package server

import "sync"

// drain counts the calls under way, and takes no more once the server stops. Connections stay meanwhile, so that who calls is told why.
type drain struct {
	mu       sync.Mutex
	calls    int
	stopping bool
	idle     chan struct{} // closed when the server stops and no call is under way
}

func newDrain() *drain { return &drain{idle: make(chan struct{})} }

func (d *drain) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return false
	}
	d.calls++
	return true
}

// leave ends a call, if it was one that entered.
func (d *drain) leave(entered bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !entered {
		return
	}
	if d.calls--; d.calls == 0 && d.stopping {
		close(d.idle)
	}
}

func (d *drain) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return
	}
	if d.stopping = true; d.calls == 0 {
		close(d.idle)
	}
}

func (d *drain) underWay() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}
