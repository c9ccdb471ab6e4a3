package training

import (
	"container/list"
	"sync"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// maxRemembered is how many answers of the accounting are kept: a plan takes about ten, and its run asks for the same again.
const maxRemembered = 4096

// accountant asks the package accounting for one caller. It stops between two questions when the caller has gone, and asks none twice.
// PRIVACY: an answer is a function of the question alone, so that a remembered one is the one that would be computed.
type accountant struct {
	gone  func() error // why the caller does not wait any more
	known *memory
}

func (a accountant) Calibrate(sampleRate float64, steps int64, eps, delta float64) (accounting.Calibration, error) {
	return recalled(a, question{calibrate: true, sampleRate: sampleRate, steps: steps, wanted: eps, delta: delta}, func() (accounting.Calibration, error) {
		return accounting.Calibrate(sampleRate, steps, eps, delta)
	})
}

func (a accountant) EpsilonOf(plan []accounting.Steps, delta float64) (float64, error) {
	if len(plan) != 1 {
		return accounting.EpsilonOf(plan, delta)
	}
	only := plan[0]
	return recalled(a, question{sampleRate: only.SampleRate, steps: only.Count, wanted: only.NoiseMultiplier, delta: delta}, func() (float64, error) {
		return accounting.EpsilonOf(plan, delta)
	})
}

// question is all that an answer depends on. wanted is the epsilon of a calibration, else the noise.
type question struct {
	calibrate     bool
	sampleRate    float64
	steps         int64
	wanted, delta float64
}

func recalled[Answer any](a accountant, q question, ask func() (Answer, error)) (answer Answer, err error) {
	if err := a.gone(); err != nil {
		return answer, err
	}
	if known, ok := a.known.get(q); ok {
		return known.(Answer), nil
	}
	if answer, err = ask(); err != nil {
		return answer, err // a refusal is quick
	}
	a.known.put(q, answer)
	return answer, nil
}

// memory keeps the answers that were asked for last.
type memory struct {
	mu     sync.Mutex
	most   int
	recent *list.List // of *answered, the latest first
	places map[question]*list.Element
}

type answered struct {
	question question
	answer   any
}

func newMemory(most int) *memory {
	return &memory{most: most, recent: list.New(), places: map[question]*list.Element{}}
}

func (m *memory) get(q question) (any, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	place, ok := m.places[q]
	if !ok {
		return nil, false
	}
	m.recent.MoveToFront(place)
	return place.Value.(*answered).answer, true
}

func (m *memory) put(q question, answer any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.places[q]; ok {
		return
	}
	m.places[q] = m.recent.PushFront(&answered{q, answer})
	if m.recent.Len() > m.most {
		oldest := m.recent.Back()
		delete(m.places, m.recent.Remove(oldest).(*answered).question)
	}
}
