package identity

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestAChallengeIsGoodForAMinuteAndOnce(t *testing.T) {
	s, clock, _ := newSessions(t)
	k := ed25519Key(t)
	for wait, good := range map[time.Duration]bool{0: true, time.Second: true, 58 * time.Second: true, time.Minute: false, time.Hour: false} {
		request := k.request(t, s)
		clock.turn(wait)
		if _, err := s.SignIn(t.Context(), request, channel); (err == nil) != good {
			t.Errorf("after %s: %v", wait, err)
		}
		clock.turn(17 * time.Second)
	}
	seen := map[string]bool{}
	for range 1000 {
		challenge, err := s.Challenge(t.Context())
		if err != nil || seen[string(challenge)] {
			t.Fatalf("a challenge came twice (%v)", err)
		}
		seen[string(challenge)] = true
	}
}

func TestOneChallengeHasOneWinner(t *testing.T) {
	s, _, _ := newSessions(t)
	request := ed25519Key(t).request(t, s)
	var won atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if _, err := s.SignIn(t.Context(), request, channel); err == nil {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d sign-ins with one challenge", won.Load())
	}
}

// Anybody may say Hello, as often as they like.
func TestHelloCostsNoMemory(t *testing.T) {
	s, _, _ := newSessions(t)
	honest := ed25519Key(t).request(t, s)
	for range 100_000 {
		if _, err := s.Challenge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.challenges.used) != 0 || len(s.tokens.sessions) != 0 {
		t.Errorf("%d challenges are remembered", len(s.challenges.used))
	}
	if _, err := s.SignIn(t.Context(), honest, channel); err != nil {
		t.Errorf("an honest client in the crowd: %v", err)
	}
}

// Who has no key cannot fill what is remembered, and keep others out.
func TestASignInThatFailsCostsNoMemory(t *testing.T) {
	s, _, _ := newSessions(t)
	request := ed25519Key(t).request(t, s)
	right := request.Signature
	request.Signature = append([]byte{right[0] ^ 1}, right[1:]...)
	if _, err := s.SignIn(t.Context(), request, channel); err == nil {
		t.Fatal("a wrong signature was taken")
	}
	if len(s.challenges.used) != 0 {
		t.Errorf("%d challenges are remembered", len(s.challenges.used))
	}
	request.Signature = right
	if _, err := s.SignIn(t.Context(), request, channel); err != nil {
		t.Errorf("the right signature, after the wrong one: %v", err)
	}
}

func TestUsedChallengesAreForgottenOnceTheyAreVoidAndNeverBefore(t *testing.T) {
	s, clock, _ := newSessions(t)
	c := s.challenges
	var challenge []byte
	for range 20 {
		challenge = c.issue()
		if err := c.redeem(challenge); err != nil {
			t.Fatal(err)
		}
		clock.turn(13 * time.Second)
		if err := c.redeem(challenge); err == nil {
			t.Fatal("redeemed twice")
		}
	}
	if total := len(c.used) + len(c.usedBefore); total > 10 {
		t.Errorf("%d are still remembered", total)
	}
	clock.turn(time.Hour)
	if err := c.redeem(c.issue()); err != nil || len(c.used) != 1 || len(c.usedBefore) != 0 {
		t.Errorf("%d and %d are remembered, %v", len(c.used), len(c.usedBefore), err)
	}
	for len(c.used) < maxRedeemed {
		var random [challengeRandomBytes]byte
		rand.Read(random[:])
		c.used[random] = struct{}{}
	}
	if err := c.redeem(c.issue()); refusal.KindOf(err) != refusal.Unavailable {
		t.Errorf("with no room to remember: %v", err)
	}
	clock.turn(time.Minute)
	if err := c.redeem(c.issue()); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}
