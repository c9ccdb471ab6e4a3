// Package verification judges evidence offline: whether hardware of a known maker signed it, whether what runs there is what a policy names,
// and whether it was said to this very caller. It decides as the Python client does, on the same vectors; the command line and the server's look
// at its own evidence use it.
//
// Invariants. Nothing is fetched and no file is read: all that is needed travels with the evidence, and the makers' roots are pinned here by their
// public keys. Algorithms are fixed by this package, never taken from what is judged. What a policy does not state is refused, and a refusal names
// one check, what was expected and what was seen. Each check that passed is recorded with what it saw.
//
// Non-goals. It does not look at revocation of AMD's intermediate certificates, and it cannot see a broken TEE: a chip whose keys are out signs
// whatever its thief likes. chip_ids in the policy is the answer to that.
package verification
