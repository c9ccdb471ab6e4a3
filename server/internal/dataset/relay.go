package dataset

import (
	"io"
	"slices"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// relay turns batches, in which each tensor holds one field of all records, into records one after the other, so that a trainer finds a
// record by multiplying.
type relay struct {
	names       []string
	specs       []*bastionlabv1.TensorSpec
	recordBytes int64
	each        func(record []byte) error // called with every record where it lies
	buffer      []byte
}

// relayBytes is about how much is written at once.
const relayBytes = 1 << 20

func newRelay(schema *bastionlabv1.Schema, recordBytes int64, each func(record []byte) error) relay {
	return relay{names: tensorNames(schema), specs: specs(schema), recordBytes: recordBytes, each: each}
}

// open decodes a batch strictly and returns the tensors' data in the order of the record.
func (r *relay) open(number int64, batch *bastionlabv1.RecordBatch) ([][]byte, error) {
	tensors, err := safetensors.Decode(batch.GetSafetensors())
	if err != nil {
		return nil, invalid("use the client of this server's release", "batch %d is no proper safetensors file: %s", number, err)
	}
	if len(tensors) != len(r.names) {
		return nil, invalid(uploadAgain, "batch %d has %d tensors, the schema has %d", number, len(tensors), len(r.names))
	}
	data := make([][]byte, len(r.names))
	for i, name := range r.names {
		at := slices.IndexFunc(tensors, func(t safetensors.Tensor) bool { return t.Name == name })
		if at < 0 {
			return nil, invalid(uploadAgain, "batch %d has no tensor %q", number, name)
		}
		if err := r.fits(number, i, tensors[at], batch.GetCount()); err != nil {
			return nil, err
		}
		data[i] = tensors[at].Data
	}
	return data, nil
}

func (r *relay) fits(number int64, i int, tensor safetensors.Tensor, count int64) error {
	spec := r.specs[i]
	if tensor.DType != spec.GetDtype() {
		return invalid("give all items the same dtypes, and upload again", "in batch %d, %q is not of the schema's dtype %s",
			number, r.names[i], safetensors.DTypeName(spec.GetDtype()))
	}
	if len(tensor.Shape) == 0 || tensor.Shape[0] != count {
		return invalid(uploadAgain, "in batch %d, %q does not hold the %d records that the batch says", number, r.names[i], count)
	}
	if !slices.Equal(tensor.Shape[1:], spec.GetShape()) {
		// PRIVACY: the schema's shape is shown, not the item's, which can depend on a record.
		return invalid("give all items the same shapes, and upload again", "in batch %d, %q is not of the schema's shape %v", number, r.names[i], spec.GetShape())
	}
	return nil
}

// write writes count records. Sizes were checked by open: every tensor's data are count equal parts.
func (r *relay) write(w io.Writer, data [][]byte, count int64) error {
	r.buffer = r.buffer[:0]
	for i := range count {
		from := len(r.buffer)
		for _, tensor := range data {
			part := int64(len(tensor)) / count
			r.buffer = append(r.buffer, tensor[i*part:(i+1)*part]...)
		}
		if err := r.each(r.buffer[from:]); err != nil {
			return err
		}
		if len(r.buffer) >= relayBytes || i == count-1 {
			if _, err := w.Write(r.buffer); err != nil {
				return err
			}
			r.buffer = r.buffer[:0]
		}
	}
	return nil
}
