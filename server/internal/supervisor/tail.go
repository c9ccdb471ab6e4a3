package supervisor

import "sync"

const tailBytes = 8 << 10

// tail keeps the last bytes of a trainer's standard error. They go to no client: see launch.lastWords.
type tail struct {
	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p[max(0, len(p)-tailBytes):]...)
	if surplus := len(t.last) - tailBytes; surplus > 0 {
		t.last = append(t.last[:0], t.last[surplus:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.last)
}
