package trainer

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
)

// draws gives every record of every step the number that all its random operators (dropout and the like) draw from.
// PRIVACY: it depends on step and record alone, so a record is masked the same wherever it lies in a pass, whoever lies beside it and
// whether its pass is repeated: no record shifts another's draws. Who knows one number knows no other: they are made by a cipher under
// a key of this attempt.
type draws struct{ block cipher.Block }

func newDraws(source io.Reader) (*draws, error) {
	block, err := newCipher(source)
	if err != nil {
		return nil, fmt.Errorf("random operators: %w", err)
	}
	return &draws{block}, nil
}

// of returns one number for each slot of a pass.
func (d *draws) of(step int64, slots []int64) []uint64 {
	seeds := make([]uint64, len(slots))
	var in, out [aes.BlockSize]byte
	binary.BigEndian.PutUint64(in[:8], uint64(step))
	for i, record := range slots {
		binary.BigEndian.PutUint64(in[8:], uint64(record)) // an empty slot counts nothing, whatever it draws
		d.block.Encrypt(out[:], in[:])
		seeds[i] = binary.BigEndian.Uint64(out[:8])
	}
	return seeds
}
