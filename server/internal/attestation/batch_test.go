package attestation

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// slowDevice takes its time, as a secure processor may, and says what it was asked to.
type slowDevice struct {
	takes time.Duration
	fails error
	calls atomic.Int64
}

func (*slowDevice) Format() string { return "slow" }

func (d *slowDevice) Attest(ctx context.Context, reportData [64]byte) (Report, error) {
	d.calls.Add(1)
	select {
	case <-time.After(d.takes):
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	return Report{Bytes: reportData[:]}, d.fails
}

// serving is a batcher over a device, ended with the test.
func serving(t *testing.T, device Provider) *Batcher {
	t.Helper()
	b := NewBatcher(device, func() Statement { return Statement{PublicKey: []byte("key"), Claims: []byte("claims")} })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Serve(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		goleak.VerifyNone(t)
	})
	return b
}

func TestCallersWhoWaitShareAReport(t *testing.T) {
	device := &slowDevice{takes: 50 * time.Millisecond}
	b := serving(t, device)
	const callers = 256
	var waiting sync.WaitGroup
	for i := range callers {
		waiting.Go(func() {
			nonce := [NonceBytes]byte{byte(i), byte(i >> 8), 1}
			channel := Channel{Binding: bastionlabv1.Binding_BINDING_EXPORTER, Exporter: [32]byte{byte(i)}}
			evidence, err := b.Evidence(context.Background(), nonce, channel)
			if err != nil {
				t.Error(err)
				return
			}
			root, err := RootOf(Leaf(channel.Binding, nonce, channel.Exporter), evidence.GetLeafIndex(), evidence.GetTreeSize(), evidence.GetPath())
			if err != nil || ReportData([]byte("key"), []byte("claims"), root) != [64]byte(evidence.GetReport()) {
				t.Errorf("caller %d got a report that does not commit to its nonce and channel: %v", i, err)
			}
		})
	}
	waiting.Wait()
	if calls := device.calls.Load(); calls > 10 {
		t.Errorf("%d callers at once took %d reports", callers, calls)
	}
}

func TestADeviceThatFailsIsSaidToAll(t *testing.T) {
	broken := errors.New("the mailbox is full")
	b := serving(t, &slowDevice{fails: broken})
	if _, err := b.Evidence(context.Background(), [NonceBytes]byte{}, Channel{}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestACallerWhoLeavesHoldsNobodyUp(t *testing.T) {
	b := serving(t, &slowDevice{takes: 20 * time.Millisecond})
	ctx, leave := context.WithCancel(context.Background())
	leave()
	if _, err := b.Evidence(ctx, [NonceBytes]byte{}, Channel{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Evidence(context.Background(), [NonceBytes]byte{}, Channel{}); err != nil {
		t.Errorf("the next caller: %v", err)
	}
}

func TestMoreCallersThanAReportServesAreTurnedAway(t *testing.T) {
	b := NewBatcher(&slowDevice{}, nil) // not serving
	ctx, leave := context.WithCancel(context.Background())
	var waiting sync.WaitGroup
	for range MaxTreeSize {
		waiting.Go(func() { _, _ = b.Evidence(ctx, [NonceBytes]byte{}, Channel{}) })
	}
	for len(b.asks) < MaxTreeSize {
		time.Sleep(time.Millisecond)
	}
	if _, err := b.Evidence(ctx, [NonceBytes]byte{}, Channel{}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	leave()
	waiting.Wait()
}

func TestWhoLeftTakesNoPlaceInAReport(t *testing.T) {
	b := NewBatcher(&slowDevice{}, func() Statement { return Statement{} })
	gone, leave := context.WithCancel(context.Background())
	leave()
	for range 3 {
		b.asks <- ask{ctx: gone}
		b.asks <- ask{ctx: context.Background()}
	}
	if asks := b.waiting(ask{ctx: gone}); len(asks) != 3 {
		t.Errorf("a report for %d", len(asks))
	}
	if asks := b.waiting(ask{ctx: gone}); len(asks) != 0 {
		t.Errorf("a report for %d, of whom none waits", len(asks))
	}
}

func BenchmarkPathsOfAFullReport(b *testing.B) {
	leaves := leavesOf(MaxTreeSize)
	for b.Loop() {
		auditPaths(leaves)
	}
}
