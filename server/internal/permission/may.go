package permission

import (
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Action is what somebody wants to do with a dataset.
type Action int

const (
	See      Action = iota // name, shapes, dtypes, budget
	Propose                // send a model that is to train on it
	Train                  // plan and start a training run
	Test                   // plan and start a test
	TakeHome               // take the weights that were trained on it
)

var actionNames = [...]string{See: "see it", Propose: "send a model for it", Train: "train on it", Test: "test on it", TakeHome: "take weights home"}

func (a Action) String() string { return actionNames[a] }

// Wish is an action with what its permission can depend on.
type Wish struct {
	Action       Action
	ConstantTime bool // with Train: the run takes constant time
	GPU          bool // with Train: the run computes on a GPU
}

// Dataset is what a decision about it needs. A test set is asked about with the permissions of its training set.
type Dataset struct {
	Owner       string
	Permissions Permissions
}

// May decides on a wish. Hidden is no error to be shown: who asks is told that there is no such dataset.
func May(user string, roles Roles, wish Wish, d Dataset) (hidden bool, err error) {
	if user == d.Owner {
		return false, nil
	}
	grant, granted := d.Permissions.Of(user)
	if !granted && !roles.Has(Operator) {
		// SECURITY: whether there is such a dataset is not for everybody to know.
		return true, nil
	}
	permitted := false
	switch wish.Action {
	case See:
		permitted = true
	case Propose, Train:
		permitted = grant.Train
	case Test:
		permitted = grant.Test
	case TakeHome:
		permitted = grant.TakeHome
	}
	if !permitted {
		return false, refusal.New(refusal.PermissionDenied, "ask the dataset's owner to grant it", "the owner of this dataset has not permitted you to %s", wish.Action)
	}
	if wish.Action == Train && d.Permissions.constantTime && !wish.ConstantTime {
		// PRIVACY: how long a run takes is seen, and the owner does not want that to be of the records.
		return false, refusal.New(refusal.PermissionDenied, "train with constant_time=True", "the owner of this dataset permits runs with constant_time only")
	}
	if wish.Action == Train && wish.GPU && !d.Permissions.gpu {
		// PRIVACY: records on a GPU lie in memory that the server's evidence does not speak of, and whether they may is the owner's to say.
		return false, refusal.New(refusal.PermissionDenied, `train with device="cpu", or ask the dataset's owner for an upload with Permissions(gpu=True)`,
			"the owner of this dataset permits no runs on a GPU")
	}
	return false, nil
}
