package schedule

import "sort"

// Epoch is some steps of a run: those after Begin, up to End.
type Epoch struct{ Begin, End int64 }

// EpochFrom returns the epoch that begins when stepsDone are done, and false where none does.
func (s Schedule) EpochFrom(stepsDone int64) (Epoch, bool) {
	next := sort.Search(len(s.epochEnds), func(i int) bool { return s.epochEnds[i] > stepsDone })
	if next == len(s.epochEnds) || stepsDone < 0 || (next == 0) != (stepsDone == 0) {
		return Epoch{}, false
	}
	if next > 0 && s.epochEnds[next-1] != stepsDone {
		return Epoch{}, false
	}
	return Epoch{stepsDone, s.epochEnds[next]}, true
}

// Steps is how many steps the run has.
func (s Schedule) Steps() int64 {
	if len(s.epochEnds) == 0 {
		return 0
	}
	return s.epochEnds[len(s.epochEnds)-1]
}

// longest is the length of the longest epoch.
func (s Schedule) longest() (longest int64) {
	begin := int64(0)
	for _, end := range s.epochEnds {
		longest, begin = max(longest, end-begin), end
	}
	return longest
}

// sampledBeyond is what an epoch may sample beyond twice the expected number. That it needs more is as likely as to guess a key.
const sampledBeyond = 2000

// SampleBytes is the most that the samples of one epoch take in a state, where a slot is sampled if a uniform 64-bit number is below
// threshold.
func (s Schedule) SampleBytes(threshold uint64, slots int64) int64 {
	const numberBytes = 8
	expected := float64(threshold) / (1 << 64) * float64(slots) * float64(s.longest())
	return numberBytes * (int64(2*expected) + sampledBeyond + s.longest())
}
