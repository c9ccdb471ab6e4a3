package planning

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// Drawn is what the first steps of a charged run draw on the counting filters.
// PRIVACY: what the noise's sampler may cost is kept whole: it is not spread over the steps evenly.
func Drawn(charge []byte, steps int64) ([]accounting.Renyi, error) {
	c, err := decode(charge)
	if err != nil {
		return nil, err
	}
	var whole []accounting.Renyi
	for _, cost := range c.GetRenyi() {
		drawn := accounting.Renyi(cost.GetPico())
		if drawn < accounting.MaxRenyi { // which stands for more than it says
			drawn = max(drawn-samplerRenyi, 0)
		}
		whole = append(whole, drawn)
	}
	if len(whole) == 0 {
		return nil, nil
	}
	drawn := accounting.PartOf(whole, min(steps, countOf(c)), countOf(c))
	for i := range drawn {
		drawn[i] = min(drawn[i]+samplerRenyi, accounting.Renyi(c.GetRenyi()[i].GetPico()))
	}
	return drawn, nil
}

// Recomputed is what a charged run draws at other orders than those it was charged at.
func Recomputed(charge []byte, orders []int64) ([]accounting.Renyi, error) {
	c, err := decode(charge)
	if err != nil {
		return nil, err
	}
	return drawnBy(stepsOf(c), orders)
}

// drawnBy is what a run of these steps draws at the orders, with what its noise's sampler may add.
func drawnBy(plan []accounting.Steps, orders []int64) ([]accounting.Renyi, error) {
	drawn, err := accounting.RenyiOf(plan, orders)
	for i := range drawn {
		drawn[i] = min(drawn[i]+samplerRenyi, accounting.MaxRenyi)
	}
	return drawn, err
}

func decode(charge []byte) (*bastionlabv1.Charge, error) {
	c := &bastionlabv1.Charge{}
	if err := proto.Unmarshal(charge, c); err != nil {
		return nil, fmt.Errorf("decode a charge: %w", err)
	}
	return c, nil
}

func stepsOf(c *bastionlabv1.Charge) []accounting.Steps {
	var plan []accounting.Steps
	for _, steps := range c.GetSteps() {
		plan = append(plan, accounting.Steps{SampleRate: steps.GetSampleRate(), NoiseMultiplier: steps.GetNoiseMultiplier(), Count: steps.GetCount()})
	}
	return plan
}

func countOf(c *bastionlabv1.Charge) (count int64) {
	for _, steps := range c.GetSteps() {
		count += steps.GetCount()
	}
	return count
}
