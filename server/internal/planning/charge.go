package planning

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// Charge is the price of a plan on a dataset with all that determines it, in its one encoding: what is shown, authorised and written is
// the same, byte for byte.
func Charge(p Plan, datasetID string, programSHA256 []byte) ([]byte, error) {
	charge := &bastionlabv1.Charge{
		DatasetId:     datasetID,
		ProgramSha256: programSHA256,
		Private:       p.Private,
		EpsilonNano:   int64(p.Epsilon),
		DeltaAtto:     int64(p.Delta),
		Steps:         []*bastionlabv1.ChargedSteps{{SampleRate: p.SampleRate, NoiseMultiplier: p.NoiseMultiplier, Count: p.Steps}},
		MaxGradNorm:   p.MaxGradNorm,
		Accountant:    p.Accountant,
		ReleaseMode:   p.ReleaseMode,
		GridExponent:  int32(p.GridExponent),
		Eta:           p.Eta,
		LossBound:     p.LossBound,
		Metric:        p.Metric,
		Device:        p.Device,
	}
	for i, drawn := range p.Renyi {
		charge.Renyi = append(charge.Renyi, &bastionlabv1.RenyiCost{Order: p.Orders[i], Pico: int64(drawn)})
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(charge)
	if err != nil {
		return nil, fmt.Errorf("encode a charge: %w", err)
	}
	return encoded, nil
}
