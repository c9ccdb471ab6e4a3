package dataset

import (
	"bytes"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Whatever a batch holds, it is refused as the client's fault or laid out as exactly as many whole records as it says.
func FuzzBatch(f *testing.F) {
	f.Add(batch(f, 0, 4).GetSafetensors(), int64(4))
	f.Add(batch(f, 0, 1).GetSafetensors(), int64(1<<62))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, file []byte, count int64) {
		if count < 1 {
			return // refused before
		}
		var seen int64
		r := newRelay(smsSchema(), recordSize, func(record []byte) error {
			if seen++; len(record) != recordSize {
				t.Fatalf("a record of %d bytes", len(record))
			}
			return nil
		})
		data, err := r.open(1, &bastionlabv1.RecordBatch{Count: count, Safetensors: file})
		if err != nil {
			if refusal.KindOf(err) != refusal.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		var laid bytes.Buffer
		if err := r.write(&laid, data, count); err != nil || int64(laid.Len()) != count*recordSize || seen != count {
			t.Fatalf("%d bytes and %d seen for %d records, %v", laid.Len(), seen, count, err)
		}
	})
}
