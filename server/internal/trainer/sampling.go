package trainer

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// sampler draws Poisson samples: each slot by itself, each step anew, with probability threshold / 2^64.
type sampler struct {
	random    io.Reader
	threshold uint64
	all       bool // every slot in every step
	slots     int64

	buffer []byte // bounded, whatever the number of slots
}

const (
	drawBytes          = 8
	samplerBufferBytes = 64 << 10
)

func newSampler(random io.Reader, threshold uint64, all bool, slots int64) *sampler {
	return &sampler{random: random, threshold: threshold, all: all, slots: slots, buffer: make([]byte, samplerBufferBytes)}
}

// sample appends the slots of one step to into, in ascending order.
func (s *sampler) sample(into []int64) ([]int64, error) {
	if s.all {
		for slot := range s.slots {
			into = append(into, slot)
		}
		return into, nil
	}
	for first := int64(0); first < s.slots; {
		draws := min(s.slots-first, samplerBufferBytes/drawBytes)
		chunk := s.buffer[:draws*drawBytes]
		if _, err := io.ReadFull(s.random, chunk); err != nil {
			return nil, fmt.Errorf("sample: %w", err)
		}
		for i := range draws {
			// PRIVACY: an integer comparison: the probability is the accountant's, exactly. Filled or empty, a slot is drawn alike.
			if binary.LittleEndian.Uint64(chunk[i*drawBytes:]) < s.threshold {
				into = append(into, first+i)
			}
		}
		first += draws
	}
	return into, nil
}

const emptySlot = -1

// passes cuts a step's sample into what fits into memory at once, in the order of the sample. Slots beyond the records are empty. There are at
// least `least` passes: the missing ones hold one empty slot each.
// PRIVACY: how many passes there are, and how long each is, follows from the sampled slots alone.
func passes(sample []int64, passSize, records, least int64) [][]int64 {
	var cut [][]int64
	for len(sample) > 0 {
		n := min(int64(len(sample)), passSize)
		pass := sample[:n:n]
		for i, slot := range pass {
			if slot >= records {
				pass[i] = emptySlot
			}
		}
		cut = append(cut, pass)
		sample = sample[n:]
	}
	for int64(len(cut)) < least {
		cut = append(cut, []int64{emptySlot})
	}
	return cut
}

// shuffle brings a sample into a random order.
// PRIVACY: records lie in the first slots, so leaving one out moves all behind it by a slot. In a random order that cannot be told from
// a slot that is empty: who shares a pass with whom has the same distribution either way, and the proof of a certified release is about
// the latter. (docs/release.md)
func shuffle(sample []int64, random io.Reader) error {
	var word [drawBytes]byte
	for last := uint64(len(sample)) - 1; last > 0 && last < uint64(len(sample)); last-- {
		// Numbers below the largest multiple of what is left are even; others are drawn again.
		choices := last + 1
		for fair := false; !fair; {
			if _, err := io.ReadFull(random, word[:]); err != nil {
				return fmt.Errorf("shuffle: %w", err)
			}
			drawn := binary.LittleEndian.Uint64(word[:])
			if fair = drawn < math.MaxUint64-math.MaxUint64%choices; fair {
				sample[last], sample[drawn%choices] = sample[drawn%choices], sample[last]
			}
		}
	}
	return nil
}
