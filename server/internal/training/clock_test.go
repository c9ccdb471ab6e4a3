package training

import (
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// A run that was made while the clock was ahead, or ends while it stands at its beginning, has ended, and not before it was made.
func TestAClockThatWasSetBackEndsNoRunBeforeItBegan(t *testing.T) {
	made := time.Now().UnixMilli()
	for name, now := range map[string]time.Time{"back a year": time.Now().AddDate(-1, 0, 0), "at the beginning": time.Unix(0, 0), "before it": time.Unix(-5, 0)} {
		s := &Service{Config: Config{Now: func() time.Time { return now }}}
		if ended := s.endOf(storage.RunRow{CreatedUnixMS: made}); ended != made {
			t.Errorf("%s: ended at %d, made at %d", name, ended, made)
		}
		if s.endOf(storage.RunRow{CreatedUnixMS: now.UnixMilli()}) == 0 {
			t.Errorf("%s: a run that has ended counts as under way", name)
		}
	}
}
