// Package accounting computes what differentially private training costs: pure mathematics, without clock, store or randomness.
//
// # What is bounded
//
// One step includes every record by itself with probability q (Poisson sampling), sums the included records' vectors, each of
// norm at most C, and adds N(0, (sigma*C)^2) to every coordinate. Two datasets are neighbours if one has a record that the other lacks.
// By rotation the worst case is one-dimensional (Abadi et al. 2016; Zhu, Dong and Wang, 2106.08567): with
//
//	A = (1-q) N(0, sigma^2) + q N(1, sigma^2)     the step with the record
//	B = N(0, sigma^2)                             the step without it
//
// the pair (A, B) dominates the removal of a record and (B, A) its addition. A plan is a list of such steps, fixed before the first
// output. A record is either in all steps of a plan or in none, so each direction is composed by itself and the larger epsilon is
// taken; that neither direction dominates alone, and that mixing them is no neighbouring pair, is shown in 2405.20769.
//
// # How
//
// The privacy loss distribution of a pair (P, Q) is the law under P of ln(P/Q). Sums of independent losses give composition, and
// delta(eps) = E[(1 - e^(eps-loss))+] (Sommer, Meiser and Mohammadi 2019; Koskela et al., 1906.03049).
//
//   - pld.go puts each pair's loss on a grid such that the result dominates the pair (connect the dots, 2207.04380).
//   - tilt.go weighs that law with e^(theta*loss). Rounding errors of the Fourier transform are absolute; tilted to where epsilon lies
//     they become small against delta however small delta is (Gruebel and Hermesmeier 1999; for privacy losses 2208.09595).
//   - compose.go raises the characteristic functions to the number of steps and multiplies them.
//   - convert.go reads epsilon off.
//   - certify.go bounds everything that rounding may have done.
//   - rdp.go is the coarser bound for what the above does not certify: Renyi divergence, in closed form.
//   - calibrate.go inverts: the noise for an epsilon.
//
// Runs that are chosen by what earlier ones released have no joint distribution of which that could be said. Accounts stop by filters instead
// (docs/composition.md has the proof):
//
//   - renyi.go is what a plan draws on an account, in Renyi divergences as integers; moment.go computes them, rounded up.
//   - filter.go judges a history by the sum of epsilons and by divergences at the orders of orders.go, each with its own share of delta.
//   - noiseleft.go inverts: the noise with which a run still fits.
//   - distribution.go computes the same divergences another way, as a check.
//
// # Invariants
//
// Every figure errs to the safe side. The grid, the truncated tails and the transform's wrap-around only ever make epsilon larger. A share of
// delta (1% or less, more past knees) is set aside for rounding; what rounding can have done is bounded after the computation, and where the
// bound exceeds every share the result is thrown away for the coarser bound. Budgets are integers (Epsilon, Delta), read from decimals by
// rounding down, and so are divergences, rounded up: sums are exact.
//
// # How tight
//
// The grid adds at most 0.1% to epsilon, as a rule 0.02%, and the share set aside costs at most about 0.04%. Both are on top of the true epsilon.
//
// # Non-goals
//
// No sampling without replacement, no shuffling: their cost differs and is not computed here. No loss distributions that are composed as
// one goes: a stopping rule by them is invalid where plans depend on outputs (2602.06756), so between runs only the filters' sums count. No
// odometer: what is proved for chosen runs is the limit, not the figure that Spent shows on the way.
package accounting
