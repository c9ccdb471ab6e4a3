package safetensors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// entry is one tensor of a header with the place of its data.
type entry struct {
	tensor     Tensor
	begin, end int64
}

const metadataKey = "__metadata__"

// parseHeader reads the JSON header and checks that its tensors tile dataBytes exactly. encoding/json alone would take the last of two
// equal keys, match keys without regard to case and mend bad UTF-8, each of which gives a file a second reading.
func parseHeader(header []byte, dataBytes int64) ([]entry, error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, fmt.Errorf("%w: the header does not begin with an object", ErrMalformed)
	}
	if !utf8.Valid(header) || !json.Valid(header) {
		return nil, fmt.Errorf("%w: the header is not JSON in UTF-8", ErrMalformed)
	}
	p := headerParser{decoder: json.NewDecoder(bytes.NewReader(header))}
	p.decoder.UseNumber()
	entries, err := p.entries()
	if err != nil {
		return nil, err
	}
	// Empty tensors sort before the one that begins where they lie, so that the walk below meets every end as the next begin.
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	var at int64
	for i, e := range entries {
		if e.begin != at {
			return nil, fmt.Errorf("%w: a gap or an overlap before tensor %d of the data", ErrMalformed, i)
		}
		at = e.end
	}
	if at != dataBytes {
		return nil, fmt.Errorf("%w: the tensors take %d bytes, the file has %d", ErrMalformed, at, dataBytes)
	}
	return entries, nil
}

type headerParser struct{ decoder *json.Decoder }

func (p headerParser) entries() ([]entry, error) {
	if err := p.delim('{'); err != nil {
		return nil, err
	}
	var entries []entry
	seen := map[string]bool{}
	for p.decoder.More() {
		name, err := p.text()
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, fmt.Errorf("%w: a name occurs twice", ErrMalformed)
		}
		seen[name] = true
		if name == metadataKey {
			if err := p.metadata(); err != nil {
				return nil, err
			}
			continue
		}
		if len(entries) == MaxTensors {
			return nil, fmt.Errorf("%w: more than %d tensors", ErrMalformed, MaxTensors)
		}
		if name == "" || len(name) > MaxNameBytes {
			return nil, fmt.Errorf("%w: tensor %d has a name of %d bytes, 1 to %d are read", ErrMalformed, len(entries), len(name), MaxNameBytes)
		}
		e, err := p.entry(name)
		if err != nil {
			return nil, fmt.Errorf("tensor %d of the header: %w", len(entries), err)
		}
		entries = append(entries, e)
	}
	return entries, p.delim('}')
}

func (p headerParser) entry(name string) (entry, error) {
	e := entry{tensor: Tensor{Name: name}}
	if err := p.delim('{'); err != nil {
		return e, err
	}
	var hasDType, hasShape, hasOffsets bool
	for p.decoder.More() {
		key, err := p.text()
		if err != nil {
			return e, err
		}
		switch {
		case key == "dtype" && !hasDType:
			hasDType = true
			spelled, err := p.text()
			if err != nil {
				return e, err
			}
			form, ok := formNamed(spelled)
			if !ok {
				return e, fmt.Errorf("%w: unknown dtype", ErrMalformed)
			}
			e.tensor.DType = form.dtype
		case key == "shape" && !hasShape:
			hasShape = true
			if e.tensor.Shape, err = p.integers(MaxRank); err != nil {
				return e, err
			}
		case key == "data_offsets" && !hasOffsets:
			hasOffsets = true
			offsets, err := p.integers(2)
			if err != nil {
				return e, err
			}
			if len(offsets) != 2 {
				return e, fmt.Errorf("%w: data_offsets are not two numbers", ErrMalformed)
			}
			e.begin, e.end = offsets[0], offsets[1]
		default:
			return e, fmt.Errorf("%w: an unknown or repeated key", ErrMalformed)
		}
	}
	if !hasDType || !hasShape || !hasOffsets {
		return e, fmt.Errorf("%w: dtype, shape or data_offsets is missing", ErrMalformed)
	}
	size, err := e.tensor.Bytes()
	if err != nil {
		return e, err
	}
	if e.end-e.begin != size { // neither is negative, so nothing overflows
		return e, fmt.Errorf("%w: data_offsets do not fit dtype and shape", ErrMalformed)
	}
	return e, p.delim('}')
}

// metadata checks the one key that is no tensor - texts by name - and forgets it.
func (p headerParser) metadata() error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.decoder.More() {
		for range 2 { // key, value
			if _, err := p.text(); err != nil {
				return err
			}
		}
	}
	return p.delim('}')
}

func (p headerParser) delim(want json.Delim) error {
	token, err := p.decoder.Token()
	if got, ok := token.(json.Delim); err != nil || !ok || got != want {
		return fmt.Errorf("%w: the header lacks %q where it is due", ErrMalformed, want.String())
	}
	return nil
}

func (p headerParser) text() (string, error) {
	token, err := p.decoder.Token()
	text, ok := token.(string)
	if err != nil || !ok {
		return "", fmt.Errorf("%w: the header lacks a text where one is due", ErrMalformed)
	}
	return text, nil
}

func (p headerParser) integers(most int) ([]int64, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	numbers := []int64{}
	for p.decoder.More() {
		if len(numbers) == most {
			return nil, fmt.Errorf("%w: more than %d numbers in a list", ErrMalformed, most)
		}
		token, err := p.decoder.Token()
		number, ok := token.(json.Number)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: a list holds what is no number", ErrMalformed)
		}
		// 63 bits unsigned: refuses signs, fractions and exponents, and always fits an int64.
		value, err := strconv.ParseUint(number.String(), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%w: a list holds what is no whole number from 0 to 2^63-1", ErrMalformed)
		}
		numbers = append(numbers, int64(value))
	}
	return numbers, p.delim(']')
}
