package planning

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// decodeStrictly takes a charge that is written in its one way and says nothing that this release does not read: two verifiers that read
// other fields would agree on other prices.
func decodeStrictly(charge []byte) (*bastionlabv1.Charge, error) {
	c := &bastionlabv1.Charge{}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(charge, c); err != nil {
		return nil, fmt.Errorf("decode a charge: %w", err)
	}
	if again, err := (proto.MarshalOptions{Deterministic: true}).Marshal(c); err != nil || !bytes.Equal(again, charge) {
		return nil, errors.New("the charge has fields that are not documented, or is written in another way than charges are")
	}
	return c, nil
}

// Agrees says whether the price that a receipt tells is that of the charge that it holds; the check "charge" of docs/receipts.md.
func Agrees(b receipt.Body) error {
	c, err := decodeStrictly(b.Charge)
	if err != nil {
		return err
	}
	switch {
	case c.GetDatasetId() != b.Dataset:
		return errors.New("the charge is of another dataset")
	case c.GetEpsilonNano() != int64(b.Epsilon) || c.GetDeltaAtto() != int64(b.RunDelta) || c.GetPrivate() == b.Infinite:
		return errors.New("the charge has another eps or delta")
	case len(c.GetRenyi()) != len(b.Renyi):
		return errors.New("the charge draws on other filters")
	case len(c.GetSteps()) == 0:
		return errors.New("the charge has no steps")
	case !slices.Contains(chargedDevices, c.GetDevice()):
		return errors.New("the charge is of a run on a device that is not documented")
	}
	for i, cost := range c.GetRenyi() {
		if cost.GetPico() != int64(b.Renyi[i]) {
			return errors.New("the charge draws another part of the counting filters")
		}
	}
	for _, steps := range c.GetSteps() {
		rate, noise := steps.GetSampleRate(), steps.GetNoiseMultiplier()
		if steps.GetCount() < 1 || !(rate > 0 && rate <= 1) || (c.GetPrivate() && !(noise > 0 && noise <= math.MaxFloat64)) {
			return errors.New("the charge has steps that there cannot be")
		}
	}
	return nil
}
