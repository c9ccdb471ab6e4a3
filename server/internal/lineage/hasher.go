package lineage

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// Key is an owner's key. SECURITY: whoever has it can try guesses of records against stored digests; it is derived when needed and never
// stored.
type Key [32]byte

// recordLabel opens what is digested. Another form of digests needs another label: two forms must never be compared.
const recordLabel = "bastionlab record 1\n"

// Hasher digests records of one schema for one owner. It is used by one goroutine.
type Hasher struct {
	inputs      []field
	label       field
	recordBytes int
	tensor      hash.Hash
	record      hash.Hash // keyed
	forms       []byte
	sums        [][sha256.Size]byte
}

// field is where one tensor lies in a record.
type field struct {
	dtype       bastionlabv1.DType
	from, until int
}

// formsAtOnce is how many bytes of a tensor are brought into canonical form at once: whole elements of every dtype.
const formsAtOnce = 4 << 10

// NewHasher makes a hasher for records that lie as dataset.Layout says: the inputs in order, then the label, without padding.
func NewHasher(key Key, schema *bastionlabv1.Schema) (*Hasher, error) {
	h := &Hasher{tensor: sha256.New(), record: hmac.New(sha256.New, key[:])}
	for _, spec := range schema.GetInputs() {
		input, err := h.place(spec)
		if err != nil {
			return nil, err
		}
		h.inputs = append(h.inputs, input)
	}
	var err error
	if h.label, err = h.place(schema.GetLabel()); err != nil {
		return nil, err
	}
	h.sums = make([][sha256.Size]byte, len(h.inputs))
	return h, nil
}

func (h *Hasher) place(spec *bastionlabv1.TensorSpec) (field, error) {
	size, err := safetensors.SizeBytes(spec.GetDtype(), spec.GetShape())
	if err != nil {
		return field{}, fmt.Errorf("digest records: %w", err)
	}
	until := h.recordBytes + int(size)
	if until < h.recordBytes {
		return field{}, errors.New("digest records: a record larger than can be addressed")
	}
	f := field{dtype: spec.GetDtype(), from: h.recordBytes, until: until}
	h.recordBytes = until
	return f, nil
}

// Sum digests one record.
func (h *Hasher) Sum(record []byte) (digest Digest, err error) {
	if len(record) != h.recordBytes {
		return digest, fmt.Errorf("digest records: a record of %d bytes, the schema's have %d", len(record), h.recordBytes)
	}
	for i, input := range h.inputs {
		h.sums[i] = h.sumTensor(input, record)
	}
	// Inputs may come in another order, or as a dict after a tuple. That two of them exchanged their values is then not seen: the safe side.
	slices.SortFunc(h.sums, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	h.record.Reset()
	h.record.Write([]byte(recordLabel))
	for _, sum := range h.sums {
		h.record.Write(sum[:])
	}
	sum := h.sumTensor(h.label, record)
	h.record.Write(sum[:])
	return Digest(h.record.Sum(h.forms[:0])), nil
}

// sumTensor digests one tensor's values. It needs no key: the digest is never seen, and the record's, which is, has one.
func (h *Hasher) sumTensor(f field, record []byte) (sum [sha256.Size]byte) {
	h.tensor.Reset()
	// Nothing is said of the shape, for a flattened image is the same image, nor of the number of elements, which the forms tell.
	for raw := record[f.from:f.until]; len(raw) > 0; {
		n := min(len(raw), formsAtOnce)
		h.forms = appendValues(h.forms[:0], f.dtype, raw[:n])
		h.tensor.Write(h.forms)
		raw = raw[n:]
	}
	h.tensor.Sum(sum[:0])
	return sum
}
