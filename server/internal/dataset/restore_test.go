package dataset

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// An earlier release left datasets and no digests.
func TestDigestsThatThereWereNeverAreMadeAtTheStart(t *testing.T) {
	dir := t.TempDir()
	s := openSite(t, dir)
	whole, damaged, gone := s.mustUpload(t, "alice", smsHeader(10)), s.mustUpload(t, "alice", smsHeader(10)), s.mustUpload(t, "alice", smsHeader(10))
	if err := s.catalogue.Delete(t.Context(), "alice", gone.GetId()); err != nil {
		t.Fatal(err)
	}
	s.close()
	if err := os.RemoveAll(filepath.Join(dir, "blobs", digestKind)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "blobs", blobKind, damaged.GetId()+".age"), 300); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start finds them
		s = openSite(t, dir)
		if got, want := s.digestsOf(t, whole.GetId()), s.digested(t, "alice", 0, 10); !reflect.DeepEqual(got, want) {
			t.Errorf("%d digests, want %d", got.Len(), want.Len())
		}
		for _, id := range []string{damaged.GetId(), gone.GetId()} {
			_, err := s.catalogue.digestsOf(id)
			wantRefusal(t, err, refusal.Unavailable, id)
		}
		s.close()
	}
}
