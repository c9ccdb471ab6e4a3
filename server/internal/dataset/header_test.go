package dataset

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestAHeaderThatCannotBeIsRefusedWithWhatToDo(t *testing.T) {
	type header = bastionlabv1.UploadDatasetHeader
	u8 := bastionlabv1.DType_DTYPE_U8
	limit := func(v float64) func(*header) { return func(h *header) { h.PrivacyLimit = &v } }
	delta := func(v float64) func(*header) { return func(h *header) { h.Delta = &v } }
	input := func(s *bastionlabv1.TensorSpec) func(*header) { return func(h *header) { h.Schema.Inputs[0] = s } }
	public := func(p *bastionlabv1.PublicFacts) func(*header) { return func(h *header) { h.Public = p } }
	ranges := func(rs ...*bastionlabv1.PublicRange) func(*header) {
		return public(&bastionlabv1.PublicFacts{Ranges: rs})
	}
	many := func(n int) func(*header) {
		return func(h *header) {
			h.Schema.Inputs = nil
			for i := range n {
				h.Schema.Inputs = append(h.Schema.Inputs, spec("i"+strings.Repeat("x", i), u8))
			}
		}
	}
	cases := map[string]struct {
		alter func(*header)
		words string
	}{
		"name too long":              {func(h *header) { h.Name = strings.Repeat("n", 257) }, "name"},
		"name with a newline":        {func(h *header) { h.Name = "a\nb" }, "name"},
		"name with an escape":        {func(h *header) { h.Name = "a\x1b[2J" }, "name"},
		"name not in UTF-8":          {func(h *header) { h.Name = "\xff" }, "name"},
		"description too long":       {func(h *header) { h.Description = strings.Repeat("n", 16<<10+1) }, "description"},
		"description with an escape": {func(h *header) { h.Description = "\x00" }, "description"},
		"no records":                 {func(h *header) { h.Records = 0 }, "no records"},
		"negative records":           {func(h *header) { h.Records = -1 }, "no records"},
		"more than memory":           {func(h *header) { h.Records = 1<<20/recordSize + 1 }, "87382 records of 12 bytes are more than the 1048576 bytes"},
		"far more than memory":       {func(h *header) { h.Records = math.MaxInt64 }, "more than the 1048576 bytes"},
		"fewer declared than there":  {func(h *header) { h.DeclaredSamples = 9 }, "declared_samples is 9, fewer than the dataset's 10"},
		"negative declared":          {func(h *header) { h.DeclaredSamples = -1 }, "declared_samples"},
		"declared without end":       {func(h *header) { h.DeclaredSamples = math.MaxInt64 }, "at most 1000000000"},
		"limit NaN":                  {limit(math.NaN()), "privacy_limit must be"},
		"limit zero":                 {limit(0), "privacy_limit must be"},
		"limit negative":             {limit(-1), "privacy_limit must be"},
		"limit infinite":             {limit(math.Inf(1)), "none at all"},
		"limit below a unit":         {limit(1e-10), "privacy_limit must be"},
		"limit too large":            {limit(1e7), "privacy_limit must be"},
		"delta NaN":                  {delta(math.NaN()), "delta"},
		"delta zero":                 {delta(0), "delta"},
		"delta negative":             {delta(-1e-6), "delta"},
		"delta one":                  {delta(1), "delta"},
		"delta of 1/declared":        {delta(0.1), "1/10"},
		"delta above 1/declared":     {delta(0.2), "1/10"},
		"no schema":                  {func(h *header) { h.Schema = nil }, "an input and a label"},
		"no inputs":                  {func(h *header) { h.Schema.Inputs = nil }, "an input and a label"},
		"no label":                   {func(h *header) { h.Schema.Label = nil }, "an input and a label"},
		"too many inputs":            {many(65), "65 inputs"},
		"two inputs of a name":       {func(h *header) { h.Schema.Inputs[1].Name = "ids" }, "two inputs are named"},
		"input without a name":       {input(spec("", u8)), "name of input 0"},
		"input with a long name":     {input(spec(strings.Repeat("n", 129), u8)), "name of input 0"},
		"input with a NUL":           {input(spec("a\x00b", u8)), "name of input 0"},
		"named, no identifier":       {input(spec("a.b", u8)), "parameter of forward"},
		"named, leading digit":       {input(spec("0", u8)), "parameter of forward"},
		"no input at all":            {input(nil), "name of input 0"},
		"input without a dtype":      {input(spec("a", bastionlabv1.DType_DTYPE_UNSPECIFIED)), `dtype of "input.a"`},
		"input of unknown dtype":     {input(spec("a", 99)), `dtype of "input.a"`},
		"rank too high":              {input(spec("a", u8, 1, 1, 1, 1, 1, 1, 1, 1, 1)), "9 dimensions"},
		"empty dimension":            {input(spec("a", u8, 3, 0)), "a dimension of 0"},
		"negative dimension":         {input(spec("a", u8, -1)), "a dimension of -1"},
		"record too large":           {input(spec("a", u8, 64<<10)), "larger than 65536 bytes"},
		"tensor too large":           {input(spec("a", u8, 64<<10+1)), "alone is larger"},
		"record overflows":           {input(spec("a", u8, math.MaxInt64, math.MaxInt64)), "alone is larger"},
		"record overflows to small":  {input(spec("a", u8, 1<<32, 1<<32)), "alone is larger"},
		"label without a dtype":      {func(h *header) { h.Schema.Label = spec("label", 0) }, `dtype of "label"`},
		"negative classes":           {public(&bastionlabv1.PublicFacts{Classes: -1}), "classes"},
		"too many classes":           {public(&bastionlabv1.PublicFacts{Classes: 1 << 40}), "classes"},
		"range of nothing":           {ranges(&bastionlabv1.PublicRange{Tensor: "x", High: 1}), "range"},
		"range twice":                {ranges(&bastionlabv1.PublicRange{Tensor: "ids", High: 1}, &bastionlabv1.PublicRange{Tensor: "ids", High: 1}), "range"},
		"range backwards":            {ranges(&bastionlabv1.PublicRange{Tensor: "ids", Low: 1}), `range of "ids"`},
		"range of NaN":               {ranges(&bastionlabv1.PublicRange{Tensor: "label", Low: math.NaN()}), `range of "label"`},
		"range without end":          {ranges(&bastionlabv1.PublicRange{Tensor: "ids", High: math.Inf(1)}), `range of "ids"`},
	}
	s := openSite(t, t.TempDir())
	before := s.traces(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := smsHeader(10)
			c.alter(h)
			_, err := s.catalogue.Begin(t.Context(), "alice", h)
			wantRefusal(t, err, refusal.InvalidArgument, c.words, "spent: nothing")
		})
	}
	_, err := s.catalogue.Begin(t.Context(), "alice", nil)
	wantRefusal(t, err, refusal.InvalidArgument)
	if after := s.traces(t); after != before {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestWhatAHeaderLeavesOutIsFilledIn(t *testing.T) {
	cases := map[string]struct {
		alter    func(*bastionlabv1.UploadDatasetHeader)
		declared int64
		delta    int64
		limit    *int64
	}{
		"as it is":        {func(*bastionlabv1.UploadDatasetHeader) {}, 10, 1e16, proto.Int64(6e9)},
		"more declared":   {func(h *bastionlabv1.UploadDatasetHeader) { h.DeclaredSamples = 4459 }, 4459, 1e13, proto.Int64(6e9)},
		"as many":         {func(h *bastionlabv1.UploadDatasetHeader) { h.DeclaredSamples = 10 }, 10, 1e16, proto.Int64(6e9)},
		"no limit":        {func(h *bastionlabv1.UploadDatasetHeader) { h.PrivacyLimit = nil }, 10, 1e16, nil},
		"a delta":         {func(h *bastionlabv1.UploadDatasetHeader) { h.Delta = proto.Float64(1e-6) }, 10, 1e12, proto.Int64(6e9)},
		"largest delta":   {func(h *bastionlabv1.UploadDatasetHeader) { h.Delta = proto.Float64(0.099) }, 10, 99e15, proto.Int64(6e9)},
		"a finer limit":   {func(h *bastionlabv1.UploadDatasetHeader) { h.PrivacyLimit = proto.Float64(0.1234567899) }, 10, 1e16, proto.Int64(123456789)},
		"no name":         {func(h *bastionlabv1.UploadDatasetHeader) { h.Name = "" }, 10, 1e16, proto.Int64(6e9)},
		"positional":      {func(h *bastionlabv1.UploadDatasetHeader) { h.Schema.NamedInputs = false }, 10, 1e16, proto.Int64(6e9)},
		"another script":  {func(h *bastionlabv1.UploadDatasetHeader) { h.Name = "日本語 データ" }, 10, 1e16, proto.Int64(6e9)},
		"no public facts": {func(h *bastionlabv1.UploadDatasetHeader) { h.Public = nil }, 10, 1e16, proto.Int64(6e9)},
	}
	s := openSite(t, t.TempDir())
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := smsHeader(10)
			c.alter(h)
			d := s.mustUpload(t, name, h) // each by another owner: the records are the same
			if d.GetDeclaredSamples() != c.declared || d.GetDeltaAtto() != c.delta || d.GetPrivacyLimitNano() != func() int64 {
				if c.limit == nil {
					return 0
				}
				return *c.limit
			}() || (d.PrivacyLimitNano == nil) != (c.limit == nil) {
				t.Errorf("got %v", d)
			}
		})
	}
}

func TestATestSetSharesItsTrainingSetsTerms(t *testing.T) {
	s := openSite(t, t.TempDir())
	training := s.mustUpload(t, "alice", smsHeader(10))
	if _, err := s.catalogue.LowerLimit(t.Context(), "alice", training.GetId(), 5, ""); err != nil {
		t.Fatal(err)
	}
	header := func() *bastionlabv1.UploadDatasetHeader {
		h := smsHeader(10)
		h.PrivacyLimit, h.TestOf = nil, training.GetId()
		return h
	}
	refused := map[string]struct {
		user  string
		alter func(*bastionlabv1.UploadDatasetHeader)
		kind  refusal.Kind
		words string
	}{
		"of nothing":        {"alice", func(h *bastionlabv1.UploadDatasetHeader) { h.TestOf = "nothing" }, refusal.NotFound, "no such dataset"},
		"of somebody else":  {"bob", func(*bastionlabv1.UploadDatasetHeader) {}, refusal.PermissionDenied, "owner of its training set"},
		"another shape":     {"alice", func(h *bastionlabv1.UploadDatasetHeader) { h.Schema.Inputs[0].Shape = []int64{3} }, refusal.InvalidArgument, "schema"},
		"another name":      {"alice", func(h *bastionlabv1.UploadDatasetHeader) { h.Schema.Inputs[0].Name = "tokens" }, refusal.InvalidArgument, "range"},
		"by position":       {"alice", func(h *bastionlabv1.UploadDatasetHeader) { h.Schema.NamedInputs = false }, refusal.InvalidArgument, "schema"},
		"another limit":     {"alice", func(h *bastionlabv1.UploadDatasetHeader) { h.PrivacyLimit = proto.Float64(6) }, refusal.InvalidArgument, "limit of its training set"},
		"another delta":     {"alice", func(h *bastionlabv1.UploadDatasetHeader) { h.Delta = proto.Float64(1e-3) }, refusal.InvalidArgument, "delta of its training set"},
		"too many declared": {"alice", func(h *bastionlabv1.UploadDatasetHeader) { h.DeclaredSamples = 100 }, refusal.InvalidArgument, "has its training set's delta"},
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			h := header()
			c.alter(h)
			_, err := s.upload(t, c.user, h)
			wantRefusal(t, err, c.kind, c.words)
		})
	}
	with := header()
	with.PrivacyLimit, with.Delta = proto.Float64(5), proto.Float64(0.01)
	test := s.mustUpload(t, "alice", with)
	if test.GetPrivacyLimitNano() != 5e9 || test.GetDeltaAtto() != training.GetDeltaAtto() {
		t.Errorf("test set %v", test)
	}
	account, err := s.ledger.Account(test.GetId())
	if err != nil || account.Limit != 5e9 || account.ID == training.GetId() {
		t.Errorf("its account %+v, %v", account, err)
	}
	_, err = s.upload(t, "alice", header())
	wantRefusal(t, err, refusal.InvalidArgument, "a test set already")
	ofTest := header()
	ofTest.TestOf = test.GetId()
	_, err = s.upload(t, "alice", ofTest)
	wantRefusal(t, err, refusal.InvalidArgument, "cannot have a test set")
}

// While a test set was on its way, its training set changed.
func TestATestSetIsJudgedAgainAtItsEnd(t *testing.T) {
	s := openSite(t, t.TempDir())
	begin := func(training *bastionlabv1.Dataset) *Upload {
		h := smsHeader(10)
		h.PrivacyLimit, h.TestOf = nil, training.GetId()
		u, err := s.catalogue.Begin(t.Context(), "alice", h)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Add(t.Context(), batch(t, 0, 10)); err != nil {
			t.Fatal(err)
		}
		return u
	}
	end := trailerOf(10, batch(t, 0, 10))

	training := s.mustUpload(t, "alice", smsHeader(10))
	first, second := begin(training), begin(training)
	if _, err := s.catalogue.LowerLimit(t.Context(), "alice", training.GetId(), 1, ""); err != nil {
		t.Fatal(err)
	}
	test, err := first.Finish(t.Context(), end)
	if err != nil || test.GetDataset().GetPrivacyLimitNano() != 1e9 {
		t.Errorf("a limit lowered on the way: %v, %v", test, err)
	}
	before := s.traces(t)
	_, err = second.Finish(t.Context(), end)
	wantRefusal(t, err, refusal.InvalidArgument, "a test set already")

	training = s.mustUpload(t, "alice", smsHeader(10))
	orphan := begin(training)
	if err := s.catalogue.Delete(t.Context(), "alice", training.GetId()); err != nil {
		t.Fatal(err)
	}
	_, err = orphan.Finish(t.Context(), end)
	wantRefusal(t, err, refusal.NotFound)
	if after := s.traces(t); after.files != before.files-1 || after.rows != before.rows {
		t.Errorf("before %+v, after %+v", before, after) // the second upload had a file under way
	}
}

func TestLabelsMustFitTheLoss(t *testing.T) {
	cases := []struct {
		loss  string
		dtype bastionlabv1.DType
		words string
	}{
		{"cross_entropy", bastionlabv1.DType_DTYPE_I64, ""},
		{"cross_entropy", bastionlabv1.DType_DTYPE_U8, ""},
		{"cross_entropy", bastionlabv1.DType_DTYPE_F32, "integers"},
		{"cross_entropy", bastionlabv1.DType_DTYPE_BOOL, "BOOL"},
		{"bce_with_logits", bastionlabv1.DType_DTYPE_F32, ""},
		{"bce_with_logits", bastionlabv1.DType_DTYPE_BOOL, ""},
		{"mse", bastionlabv1.DType_DTYPE_F64, ""},
		{"l2", bastionlabv1.DType_DTYPE_F16, ""},
		{"l1", bastionlabv1.DType_DTYPE_I32, ""},
		{"l1", bastionlabv1.DType_DTYPE_UNSPECIFIED, "dtype"},
		{"hinge", bastionlabv1.DType_DTYPE_F32, "cross_entropy, bce_with_logits, l2"},
		{"", bastionlabv1.DType_DTYPE_F32, "loss"},
	}
	for _, c := range cases {
		err := CheckLabel(&bastionlabv1.Schema{Label: spec("label", c.dtype)}, c.loss)
		if c.words == "" {
			if err != nil {
				t.Errorf("%s on %s: %v", c.loss, c.dtype, err)
			}
			continue
		}
		wantRefusal(t, err, refusal.InvalidArgument, c.words)
	}
}

func TestLayoutPutsInputsInOrderThenTheLabelWithoutPadding(t *testing.T) {
	offsets, size, err := Layout(smsSchema())
	if err != nil || size != recordSize || len(offsets) != 3 || offsets[0] != 0 || offsets[1] != 8 || offsets[2] != 11 {
		t.Errorf("%v, %d, %v", offsets, size, err)
	}
	for name, schema := range map[string]*bastionlabv1.Schema{
		"nothing":       nil,
		"no dtype":      {Inputs: []*bastionlabv1.TensorSpec{spec("a", 0)}, Label: spec("", bastionlabv1.DType_DTYPE_U8)},
		"sum overflows": {Inputs: []*bastionlabv1.TensorSpec{spec("a", bastionlabv1.DType_DTYPE_U8, math.MaxInt64), spec("b", bastionlabv1.DType_DTYPE_U8)}, Label: spec("", bastionlabv1.DType_DTYPE_U8)},
	} {
		if _, _, err := Layout(schema); err == nil {
			t.Errorf("%s: laid out", name)
		}
	}
}

func TestACatalogueNeedsEveryLimit(t *testing.T) {
	s := openSite(t, t.TempDir())
	for _, config := range []Config{{}, {Store: s.store}, {Store: s.store, Ledger: s.ledger}, {Ledger: s.ledger, Limits: DefaultLimits(1)}, {Store: s.store, Ledger: s.ledger, Limits: DefaultLimits(0)}} {
		if _, err := New(t.Context(), config); err == nil {
			t.Errorf("%+v: opened", config)
		}
	}
}
