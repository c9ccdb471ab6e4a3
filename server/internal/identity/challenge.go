package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const (
	challengeLifetime = time.Minute
	challengeBytes    = challengeTimeBytes + challengeRandomBytes + challengeTagBytes

	challengeTimeBytes   = 4 // seconds since the process began
	challengeRandomBytes = 12
	challengeTagBytes    = 16

	// maxRedeemed bounds the challenges remembered as used within one lifetime.
	maxRedeemed = 1 << 18
)

// challenges are 32 bytes: the second of issue, 12 random bytes, and a tag under a key that this process alone has. A challenge is known
// by its tag, so that Hello, which anybody may call, leaves nothing behind; only what is presented is remembered, as used, until
// it would have expired.
type challenges struct {
	now   func() time.Time
	begun time.Time
	key   [32]byte

	guard sync.Mutex
	// used holds what was presented in the current span of one lifetime, usedBefore in the one before it: together they cover every
	// challenge that can still be valid.
	used, usedBefore map[[challengeRandomBytes]byte]struct{}
	span             int64
}

func newChallenges(now func() time.Time) *challenges {
	c := &challenges{now: now, begun: now(), used: map[[challengeRandomBytes]byte]struct{}{}}
	rand.Read(c.key[:]) // never fails
	return c
}

func (c *challenges) issue() []byte {
	challenge := make([]byte, challengeTimeBytes+challengeRandomBytes, challengeBytes)
	binary.BigEndian.PutUint32(challenge, uint32(c.age()/time.Second))
	rand.Read(challenge[challengeTimeBytes:])
	return append(challenge, c.tag(challenge)...)
}

func (c *challenges) age() time.Duration { return max(c.now().Sub(c.begun), 0) }

func (c *challenges) tag(content []byte) []byte {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write(content)
	return mac.Sum(nil)[:challengeTagBytes]
}

// redeem accepts a challenge that this process issued within the last minute, once.
func (c *challenges) redeem(challenge []byte) error {
	if len(challenge) != challengeBytes {
		return notProved()
	}
	content, tag := challenge[:challengeBytes-challengeTagBytes], challenge[challengeBytes-challengeTagBytes:]
	if !hmac.Equal(tag, c.tag(content)) { // constant time
		return notProved()
	}
	return c.use(time.Duration(binary.BigEndian.Uint32(content))*time.Second, [challengeRandomBytes]byte(content[challengeTimeBytes:]))
}

func (c *challenges) use(issued time.Duration, random [challengeRandomBytes]byte) error {
	c.guard.Lock()
	defer c.guard.Unlock()
	age := c.age() // read under the guard, so that spans pass in order
	if age < issued || age-issued >= challengeLifetime {
		return notProved()
	}
	switch span := int64(age / challengeLifetime); {
	case span == c.span+1:
		c.usedBefore, c.used, c.span = c.used, map[[challengeRandomBytes]byte]struct{}{}, span
	case span > c.span:
		c.usedBefore, c.used, c.span = nil, map[[challengeRandomBytes]byte]struct{}{}, span
	}
	_, usedNow := c.used[random]
	_, usedBefore := c.usedBefore[random]
	if usedNow || usedBefore {
		return notProved()
	}
	if len(c.used) >= maxRedeemed {
		// SECURITY: what cannot be remembered as used must not be accepted.
		return refusal.New(refusal.Unavailable, "try again in a minute", "the server is asked to sign in more callers than it can take")
	}
	c.used[random] = struct{}{}
	return nil
}
