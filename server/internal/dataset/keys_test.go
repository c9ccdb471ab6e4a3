package dataset

import (
	"errors"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Records are under the dataset's key, which goes with them; the digests of records, which an account needs when they are gone, are under the
// server's.
func TestRecordsAreUnderTheirDatasetsKeyAndDigestsAreNot(t *testing.T) {
	s := openSite(t, t.TempDir())
	d := s.mustUpload(t, "alice", smsHeader(10))
	wrong := func(err error) bool {
		var fault *storage.BlobError
		return errors.As(err, &fault) && fault.Fault == storage.BlobWrongKey
	}
	if _, err := s.store.OpenBlob(blobKind, d.GetId()); !wrong(err) {
		t.Errorf("the server's key opens records: %v", err)
	}
	if err := s.catalogue.Delete(t.Context(), "alice", d.GetId()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.catalogue.digestsOf(d.GetId()); err != nil {
		t.Errorf("digests of a deleted dataset: %v", err)
	}
}

// An upload that comes to nothing leaves no key.
func TestAnUploadThatEndsOtherwiseLeavesNoKey(t *testing.T) {
	s := openSite(t, t.TempDir())
	upload, err := s.catalogue.Begin(t.Context(), "alice", smsHeader(10))
	if err != nil {
		t.Fatal(err)
	}
	upload.Abort()
	var gone *storage.BlobError
	if _, err := s.store.CreateDatasetBlob(t.Context(), upload.id, blobKind, upload.id); !errors.As(err, &gone) || gone.Fault != storage.BlobKeyGone {
		t.Errorf("got %v", err)
	}
}
