package training

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// openRaw opens the database beside the server.
func openRaw(dir string) (*sql.DB, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("%v, %w", files, err)
	}
	return sql.Open("sqlite", "file:"+files[0]+"?_pragma=busy_timeout(10000)")
}

// jam makes every update of a run fail, as a full disk does; release makes them work again.
func (w *world) jam() (release func()) {
	w.t.Helper()
	db, err := openRaw(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	change := func(statement string) {
		w.t.Helper()
		if _, err := db.ExecContext(w.t.Context(), statement); err != nil {
			w.t.Fatal(err)
		}
	}
	change("CREATE TRIGGER jam BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
	return func() { w.t.Helper(); change("DROP TRIGGER jam") }
}

func (w *world) written(id string) storage.RunRow {
	w.t.Helper()
	row, err := w.store.Run(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return row
}

// A run whose end cannot be written has ended all the same, for whoever asks, and is written when that is possible again.
func TestAnEndThatCannotBeWrittenIsWrittenLater(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	w.writeAgain = 10 * time.Millisecond
	w.serve()
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	release := w.jam()
	id := w.start(scientist, request(m, d, 2)).GetId()
	ended := w.wait(id)
	for range 3 { // also when it is no longer executed
		time.Sleep(20 * time.Millisecond)
		if run, err := w.Get(t.Context(), scientist, id); err != nil || run.GetStatus() != ended.GetStatus() || run.GetEndedUnixMs() == 0 {
			t.Errorf("the run is told as %v, %v", run, err)
		}
	}
	if row := w.written(id); row.EndedUnixMS != 0 {
		t.Errorf("it is written as %+v", row)
	}
	release()
	deadline := time.Now().Add(10 * time.Second)
	for w.written(id).EndedUnixMS == 0 || w.live(id) != nil {
		if time.Now().After(deadline) {
			t.Fatalf("it is still written as %+v", w.written(id))
		}
		time.Sleep(5 * time.Millisecond)
	}
	if row := w.written(id); statusOf(row) != ended.GetStatus() || row.EndedUnixMS != ended.GetEndedUnixMs() || row.Spent != ended.GetSpent() {
		t.Errorf("written as %+v, told as %v", row, ended)
	}
}

// A server that stops tries once more, and does not wait for what cannot be.
func TestAnEndThatIsOwedWhenTheServerStops(t *testing.T) {
	for name, works := range map[string]bool{"the last try works": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			w := open(t, t.TempDir(), nil)
			w.writeAgain = time.Hour
			stop := w.serve()
			d := w.upload(6)
			release := w.jam()
			id := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
			w.wait(id)
			if works {
				release()
			}
			stop()
			if ended := w.written(id).EndedUnixMS != 0; ended != works {
				t.Errorf("its end is written: %t", ended)
			}
			if said := strings.Contains(w.log.String(), "the next start tells it from the ledger"); said == works {
				t.Errorf("the log holds\n%s", w.log)
			}
		})
	}
}
