package audit

import (
	"context"
	"fmt"
	"path/filepath"
)

// Query says which entries somebody wants, of those that concern them.
type Query struct {
	After    int64           // only those with a larger number
	All      bool            // everything concerns an operator
	User     string          // whose own calls concern them
	Datasets map[string]bool // whose entries concern them, deleted ones too
	Dataset  string          // only what concerns this one; empty: all
	Most     int
}

// PRIVACY: what is told of others' calls is what was done to one's own datasets.
func (q Query) wants(e Entry) bool {
	concerns := q.All || q.User != "" && e.User == q.User || q.Datasets[e.Dataset]
	return concerns && (q.Dataset == "" || e.Dataset == q.Dataset)
}

// seen is an entry as who asks may see it.
// SECURITY: of a run that somebody may not see, the log knows the dataset, and they are not to learn from it that there is such a run.
func (q Query) seen(e Entry) Entry {
	if !q.All && !q.Datasets[e.Dataset] && e.Run != "" && e.Reason == notFound {
		e.Dataset = ""
	}
	return e
}

// notFound is the reason of what is hidden, and of what there is not.
const notFound = "not_found"

// keys are what a wanted entry names at least one of; nil: anything may be wanted.
func (q Query) keys() []string {
	if q.Dataset != "" {
		return []string{q.Dataset}
	}
	if q.All {
		return nil
	}
	keys := []string{q.User}
	for dataset := range q.Datasets {
		keys = append(keys, dataset)
	}
	return keys
}

// List returns what a query wants, in order, and whether there is more. It holds one page in memory, and passes over the parts of the log that
// cannot hold what is wanted.
func (l *Log) List(ctx context.Context, q Query) (lines []Line, more bool, err error) {
	select {
	case l.reading <- struct{}{}:
		defer func() { <-l.reading }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	keys := q.keys()
	for _, b := range l.blocks() {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if b.first+int64(b.lines) <= q.After+1 || keys != nil && !l.index.may(b, keys) {
			continue
		}
		if lines, more, err = l.listBlock(b, q, lines); more || err != nil {
			return lines, more, err
		}
	}
	return lines, false, nil
}

// blocks are the parts of the log up to now. Only the last one still changes, and is a copy.
func (l *Log) blocks() []*block {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.index.blocks)
	if n == 0 {
		return nil
	}
	last := *l.index.blocks[n-1]
	return append(l.index.blocks[:n-1:n-1], &last)
}

func (l *Log) listBlock(b *block, q Query, lines []Line) (_ []Line, more bool, err error) {
	opened, err := l.disk.read(filepath.Join(l.config.Dir, nameOf(b.number)))
	if err != nil {
		return lines, false, err
	}
	defer opened.Close()
	content := make([]byte, b.to-b.from)
	if _, err := opened.ReadAt(content, b.from); err != nil {
		return lines, false, fmt.Errorf("read audit log: %w", err)
	}
	for len(content) > 0 {
		encoded := firstLine(content)
		line, _, err := decode(encoded)
		if err != nil {
			return lines, false, &IntegrityError{File: nameOf(b.number), Reason: "it has changed since it was opened: " + err.Error()}
		}
		content = content[len(encoded):]
		line.Entry = q.seen(line.Entry)
		if line.Seq <= q.After || !q.wants(line.Entry) {
			continue
		}
		if len(lines) == q.Most {
			return lines, true, nil
		}
		lines = append(lines, line)
	}
	return lines, false, nil
}
