package attestation

import (
	"context"
	"errors"
	"fmt"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// ErrBusy is what a caller gets while more callers wait than one report serves.
var ErrBusy = errors.New("too many callers wait for evidence")

// Statement is what a server says of itself at this moment.
type Statement struct {
	PublicKey []byte // of its TLS certificate: SubjectPublicKeyInfo, DER
	Claims    []byte // an encoded bastionlab.v1.Claims
}

// Batcher answers callers with evidence. Hardware gives one report after the other, some slowly, and a host may slow it down further: all that
// ask while one is made share the next.
type Batcher struct {
	provider Provider
	say      func() Statement
	asks     chan ask
}

type ask struct {
	ctx      context.Context // of the caller
	leaf     [32]byte
	binding  bastionlabv1.Binding
	answered chan answer // holds one
}

type answer struct {
	evidence *bastionlabv1.Evidence
	err      error
}

// NewBatcher makes a batcher that states what say returns. It answers while Serve runs.
func NewBatcher(provider Provider, say func() Statement) *Batcher {
	return &Batcher{provider: provider, say: say, asks: make(chan ask, MaxTreeSize)}
}

// Serve makes reports until ctx is done.
func (b *Batcher) Serve(ctx context.Context) {
	for {
		select {
		case first := <-b.asks:
			if asks := b.waiting(first); len(asks) > 0 {
				b.answer(ctx, asks)
			}
		case <-ctx.Done():
			return
		}
	}
}

// waiting is everybody who asks now, and has not left.
func (b *Batcher) waiting(next ask) (asks []ask) {
	for {
		if next.ctx.Err() == nil {
			asks = append(asks, next)
		}
		if len(asks) == MaxTreeSize {
			return asks
		}
		select {
		case next = <-b.asks:
		default:
			return asks
		}
	}
}

func (b *Batcher) answer(ctx context.Context, asks []ask) {
	leaves := make([][32]byte, len(asks))
	for i, each := range asks {
		leaves[i] = each.leaf
	}
	said := b.say()
	paths, head := auditPaths(leaves)
	report, err := b.provider.Attest(ctx, ReportData(said.PublicKey, said.Claims, head))
	for i, each := range asks {
		if err != nil {
			each.answered <- answer{err: fmt.Errorf("ask for a report: %w", err)}
			continue
		}
		each.answered <- answer{evidence: &bastionlabv1.Evidence{
			Format: b.provider.Format(), Report: report.Bytes, Endorsements: report.Endorsements, Claims: said.Claims,
			Binding: each.binding, Path: paths[i], LeafIndex: uint32(i), TreeSize: uint32(len(leaves)),
		}}
	}
}

// Evidence proves what the server is to one caller, for a nonce that the caller drew, on the channel that it came on.
func (b *Batcher) Evidence(ctx context.Context, nonce [NonceBytes]byte, channel Channel) (*bastionlabv1.Evidence, error) {
	this := ask{ctx: ctx, leaf: Leaf(channel.Binding, nonce, channel.Exporter), binding: channel.Binding, answered: make(chan answer, 1)}
	select {
	case b.asks <- this:
	default:
		return nil, ErrBusy
	}
	select {
	case got := <-this.answered:
		return got.evidence, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
