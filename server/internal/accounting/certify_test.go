package accounting

import (
	"math"
	"testing"
)

// law is a composed law as the computation makes it, for tests that spoil it.
func law(t *testing.T) composed {
	t.Helper()
	c, ok := onGrid([]Steps{{0.01, 1, 1000}}, removal, 1e-3, 10)
	if !ok {
		t.Fatal("no grid")
	}
	order := c.orderAt(1.8, 1e-5, 1)
	low, high := c.indices(order)
	return c.compose(order, low, high, aliasing)
}

func TestRoundingIsSetAside(t *testing.T) {
	sum := law(t)
	whole, _ := sum.epsilon(1e-5, 0)
	found, certain := sum.certified(1e-5, 1000)
	if !certain || !(found.eps > whole.eps) {
		t.Fatalf("eps %v (%v), want more than %v, which leaves nothing for rounding", found.eps, certain, whole.eps)
	}
	if cost := (found.eps - whole.eps) * whole.order; cost < 0.005 || cost > 0.0101 {
		t.Errorf("rounding has %.4f of delta, want up to 0.01", cost)
	}
}

func TestRoundingBeyondItsShareIsNotCertified(t *testing.T) {
	cases := map[string]func(*composed){
		"transform":  func(c *composed) { c.floor = 1e-3 },
		"masses":     func(c *composed) { c.doubt = 10 },
		"not number": func(c *composed) { c.mass[len(c.mass)/2] = math.NaN() },
		"no bound":   func(c *composed) { c.floor = math.NaN() },
		"cumulant":   func(c *composed) { c.cumulant += 1e15; c.order += 1e15 / 1.8 },
	}
	for name, spoil := range cases {
		sum := law(t)
		spoil(&sum)
		if found, certain := sum.certified(1e-5, 1000); certain {
			t.Errorf("%s: certified %+v", name, found)
		}
	}
	sum := law(t)
	if _, certain := sum.certified(1e-5, 1e14); certain {
		t.Error("certified for more steps than a cumulant can be multiplied by")
	}
}

func TestALargerShareCoversMoreRounding(t *testing.T) {
	sum := law(t)
	usual, _ := sum.certified(1e-5, 1000)
	sum.floor *= 0.05 / usual.doubt
	found, certain := sum.certified(1e-5, 1000)
	if !certain || !(found.eps > usual.eps) {
		t.Errorf("eps %v (%v), want more than %v: more of delta is set aside", found.eps, certain, usual.eps)
	}
	if found.share < found.doubt || found.share > 0.06 {
		t.Errorf("%v of delta is set aside for a doubt of %v", found.share, found.doubt)
	}
}

func TestInfiniteLossCounts(t *testing.T) {
	sum := law(t)
	sum.infinite = 0.5e-5
	if found, ok := sum.epsilon(1e-5, 0); !ok || found.eps < 1.9 {
		t.Errorf("eps %v (%v) although half of delta is infinite loss", found.eps, ok)
	}
	sum.infinite = 1.1e-5
	if found, ok := sum.epsilon(1e-5, 0); ok {
		t.Errorf("eps %v although more than delta is infinite loss", found.eps)
	}
}
