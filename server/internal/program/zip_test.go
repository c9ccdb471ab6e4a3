package program

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// member is one entry as a writer would write it; what is set makes it lie.
type member struct {
	name    string
	content string // as it lies in the file

	method     uint16
	flags      uint16
	size       int64 // unpacked; -1: as long as content
	localName  string
	localSize  int64 // 0: as it is
	localFlags uint16
	compressed int64 // in the directory; 0: as it is
	offset     int64 // in the directory; 0: where it is
	extra      []byte
	comment    string
	disk       uint16
	gap        int // bytes before it
	descriptor bool
	inside     bool // only named in the directory: its own header lies in another entry's data
}

// archive is a zip in the making.
type archive struct {
	members      []member
	before       int // bytes before the directory
	inDirectory  int // bytes at the directory's end
	wide         bool
	alterEnd     func(end []byte)
	alterWide    func(wide []byte)
	alterLocator func(locator []byte)
	after        string
	entries      int // claimed; 0: as many as there are
}

func (a archive) build() []byte {
	le := binary.LittleEndian
	var file, directory []byte
	for _, m := range a.members {
		if m.size == -1 {
			m.size = int64(len(m.content))
		}
		file = append(file, make([]byte, m.gap)...)
		offset := int64(len(file))
		if m.offset != 0 {
			offset = m.offset
		}
		flags := m.flags
		if m.descriptor {
			flags |= flagDescriptor
		}
		local := make([]byte, localBytes)
		le.PutUint32(local, signLocal)
		le.PutUint16(local[6:], flags|m.localFlags)
		le.PutUint16(local[8:], m.method)
		if !m.descriptor {
			le.PutUint32(local[18:], uint32(len(m.content)))
			le.PutUint32(local[22:], uint32(m.size+m.localSize))
		}
		localName := m.name
		if m.localName != "" {
			localName = m.localName
		}
		le.PutUint16(local[26:], uint16(len(localName)))
		if !m.inside {
			file = append(append(append(file, local...), localName...), m.content...)
		}
		if m.descriptor {
			file = append(file, make([]byte, 16)...)
		}
		central := make([]byte, centralBytes)
		le.PutUint32(central, signCentral)
		le.PutUint16(central[8:], flags)
		le.PutUint16(central[10:], m.method)
		le.PutUint32(central[20:], uint32(int64(len(m.content))+m.compressed))
		le.PutUint32(central[24:], uint32(m.size))
		le.PutUint16(central[28:], uint16(len(m.name)))
		le.PutUint16(central[30:], uint16(len(m.extra)))
		le.PutUint16(central[32:], uint16(len(m.comment)))
		le.PutUint16(central[34:], m.disk)
		le.PutUint32(central[42:], uint32(offset))
		directory = append(append(append(append(directory, central...), m.name...), m.extra...), m.comment...)
	}
	directory = append(directory, make([]byte, a.inDirectory)...)
	file = append(file, make([]byte, a.before)...)
	start, entries := len(file), len(a.members)
	if a.entries != 0 {
		entries = a.entries
	}
	file = append(file, directory...)
	if a.wide {
		wide, locator := make([]byte, end64Bytes), make([]byte, locator64Bytes)
		le.PutUint32(wide, signEnd64)
		le.PutUint64(wide[4:], end64Bytes-12)
		le.PutUint64(wide[24:], uint64(entries))
		le.PutUint64(wide[32:], uint64(entries))
		le.PutUint64(wide[40:], uint64(len(directory)))
		le.PutUint64(wide[48:], uint64(start))
		le.PutUint32(locator, signLocator64)
		le.PutUint64(locator[8:], uint64(len(file)))
		le.PutUint32(locator[16:], 1)
		if a.alterWide != nil {
			a.alterWide(wide)
		}
		if a.alterLocator != nil {
			a.alterLocator(locator)
		}
		file = append(append(file, wide...), locator...)
	}
	end := make([]byte, endBytes)
	le.PutUint32(end, signEnd)
	le.PutUint16(end[8:], uint16(entries))
	le.PutUint16(end[10:], uint16(entries))
	le.PutUint32(end[12:], uint32(len(directory)))
	le.PutUint32(end[16:], uint32(start))
	if a.alterEnd != nil {
		a.alterEnd(end)
	}
	return append(append(file, end...), a.after...)
}

func stored(name, content string) member {
	return member{name: name, content: content, size: -1}
}

// torchArchive is what torch.jit.save writes, with more members in its folder.
func torchArchive(more ...member) archive {
	members := []member{stored("m/data/0", "weights!"), stored("m/data.pkl", "pickle"), stored("m/constants.pkl", "c"), stored("m/version", "3\n")}
	for i := range members {
		members[i].descriptor = true
	}
	code := member{name: "m/code/__torch__.py", content: "deflated", size: 30, method: methodDeflate, descriptor: true}
	return archive{members: append(append(members, code), more...), wide: true}
}

func check(file []byte) (Archive, error) {
	return CheckArchive(bytes.NewReader(file), int64(len(file)), DefaultArchiveLimits())
}

func TestWhatTorchWritesIsTaken(t *testing.T) {
	file, err := os.ReadFile("testdata/scripted.pt")
	if err != nil {
		t.Fatal(err)
	}
	got, err := check(file)
	if want := (Archive{Root: "scripted", Entries: 8, InflatedBytes: 96 + 225 + 267 + 838 + 4 + 2 + 6 + 40}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got, err := check(torchArchive(stored("m/traced_inputs/0", "")).build()); err != nil || got.Entries != 6 || got.InflatedBytes != 8+6+1+2+30 {
		t.Errorf("got %+v, %v", got, err)
	}
	late := torchArchive()
	late.members[3].name = "m/.data/version" // file format 10, which a model with gelu has
	if _, err := check(late.build()); err != nil {
		t.Error(err)
	}
	narrow := torchArchive()
	narrow.wide = false
	if _, err := check(narrow.build()); err != nil {
		t.Error(err)
	}
}

func TestAStateDictIsRefusedWithTheReason(t *testing.T) {
	file, err := os.ReadFile("testdata/state_dict.pt")
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, "state dict", file, "no code, as torch.save writes it")
}

func wantRefused(t *testing.T, name string, file []byte, words string) {
	t.Helper()
	got, err := check(file)
	if refusal.KindOf(err) != refusal.InvalidArgument || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "torch.jit.save") {
		t.Errorf("%s: got %+v, %v; want %q", name, got, err, words)
	}
}

func TestHostileArchivesAreRefusedUnread(t *testing.T) {
	le := binary.LittleEndian
	with := func(m member) archive { return torchArchive(m) }
	alterEnd := func(alter func([]byte)) archive {
		a := torchArchive()
		a.alterEnd = alter
		return a
	}
	alterWide := func(alter func([]byte)) archive {
		a := torchArchive()
		a.alterWide = alter
		return a
	}
	named := func(name string) archive { return with(stored(name, "x")) }
	deflated := func(content string, size int64) archive {
		return with(member{name: "m/code/bomb.py", content: content, size: size, method: methodDeflate})
	}
	wideExtra := func(values ...uint64) []byte {
		extra := le.AppendUint16(le.AppendUint16(nil, tagZip64), uint16(8*len(values)))
		for _, v := range values {
			extra = le.AppendUint64(extra, v)
		}
		return extra
	}
	overlapping := torchArchive(stored("m/x", "xxxxxxxx"))
	overlapping.members[5].offset = 1
	// An entry within another's data, each with a header of its own that is right: how a small file becomes an endless one.
	inner := archive{members: []member{stored("m/inner", "xx")}}.build()[:localBytes+len("m/inner")+2]
	within := torchArchive(stored("m/outer", string(inner)), member{name: "m/inner", content: "xx", size: -1, inside: true})
	within.members[6].offset = int64(bytes.Index(within.build(), inner))
	cases := map[string]struct {
		archive archive
		words   string
	}{
		"one within another":    {within, "overlap"},
		"comment":               {archive{members: torchArchive().members, after: "x"}, "does not end as a zip"},
		"comment that is named": {alterEnd(func(end []byte) { le.PutUint16(end[20:], 1) }), "does not end as a zip"},
		"no end":                {alterEnd(func(end []byte) { end[0] = 0 }), "does not end as a zip"},
		"several disks":         {alterEnd(func(end []byte) { end[4] = 1 }), "one part of several"},
		"entries elsewhere":     {alterEnd(func(end []byte) { end[8]-- }), "one part of several"},
		"ends disagree, count":  {alterEnd(func(end []byte) { end[8]--; end[10]-- }), "contradict"},
		"ends disagree, size":   {alterEnd(func(end []byte) { end[12]++ }), "contradict"},
		"ends disagree, place":  {alterEnd(func(end []byte) { end[16]++ }), "contradict"},
		"directory elsewhere":   {archive{members: torchArchive().members, alterEnd: func(end []byte) { end[16]++ }}, "does not lie where"},
		"directory too long":    {archive{members: torchArchive().members, alterEnd: func(end []byte) { end[12]++ }}, "does not lie where"},
		"saturated, not wide":   {archive{members: torchArchive().members, alterEnd: func(end []byte) { le.PutUint32(end[16:], saturated32) }}, "does not lie where"},
		"wide end, signature":   {alterWide(func(w []byte) { w[0] = 0 }), "wide end is malformed"},
		"wide end, length":      {alterWide(func(w []byte) { w[4]++ }), "wide end is malformed"},
		"wide end, disk":        {alterWide(func(w []byte) { w[16] = 1 }), "wide end is malformed"},
		"wide end, counts":      {alterWide(func(w []byte) { w[24]++ }), "wide end is malformed"},
		"wide end, negative": {archive{members: torchArchive().members, wide: true, alterWide: func(w []byte) { le.PutUint64(w[48:], 1<<63) },
			alterEnd: func(end []byte) { le.PutUint32(end[16:], saturated32) }}, "does not lie where"},
		"wide end elsewhere":     {archive{members: torchArchive().members, wide: true, alterLocator: func(l []byte) { l[8]++ }}, "wide end does not lie"},
		"wide end, many disks":   {archive{members: torchArchive().members, wide: true, alterLocator: func(l []byte) { l[16] = 2 }}, "wide end does not lie"},
		"no entries":             {archive{}, "cannot hold as many"},
		"more than it can hold":  {archive{members: torchArchive().members, entries: 6}, "malformed"},
		"far more":               {archive{members: torchArchive().members, entries: 60000}, "cannot hold as many"},
		"fewer than there are":   {archive{members: torchArchive().members, entries: 4}, "holds more than its entries"},
		"rubbish in directory":   {archive{members: torchArchive().members, inDirectory: 5}, "holds more than its entries"},
		"hidden before entry":    {with(member{name: "m/x", size: -1, gap: 100}), "something lies between"},
		"hidden at the start":    {archive{members: append([]member{{name: "m/x", size: -1, gap: 1}}, torchArchive().members...)}, "something lies between"},
		"hidden at the end":      {archive{members: torchArchive().members, before: 100}, "do not reach"},
		"overlapping":            {overlapping, "entr"},
		"entry twice":            {with(stored("m/version", "3")), "same name"},
		"entry twice, folded":    {with(stored("m/Version", "3")), "same name"},
		"absolute":               {named("/m/x"), "absolute"},
		"leads out":              {named("m/../../x"), "leads out"},
		"leads nowhere":          {named("m/./x"), "leads out"},
		"two slashes":            {named("m//x"), "absolute"},
		"a folder":               {named("m/x/"), "folder"},
		"backslash":              {named(`m\x`), "characters"},
		"drive":                  {named("m/c:x"), "characters"},
		"NUL in a name":          {named("m/x\x00.py"), "characters"},
		"newline in a name":      {named("m/x\n"), "characters"},
		"name not UTF-8":         {named("m/\xff"), "characters"},
		"no name":                {named(""), "name of 0 bytes"},
		"long name":              {named("m/" + strings.Repeat("x", 511)), "name of 513 bytes"},
		"in no folder":           {named("version"), "does not lie in the archive's folder"},
		"two folders":            {named("n/x"), "more than one folder"},
		"encrypted":              {with(member{name: "m/x", size: -1, flags: 1}), "encrypted"},
		"strongly encrypted":     {with(member{name: "m/x", size: -1, flags: 1 << 6}), "encrypted"},
		"masked headers":         {with(member{name: "m/x", size: -1, flags: 1 << 13}), "encrypted"},
		"another method":         {with(member{name: "m/x", size: -1, method: 12}), "method"},
		"comment of an entry":    {with(member{name: "m/x", size: -1, comment: "c"}), "malformed"},
		"on another disk":        {with(member{name: "m/x", size: -1, disk: 1}), "malformed"},
		"stored, sizes differ":   {with(member{name: "m/x", content: "x", size: 2}), "two sizes differ"},
		"bomb":                   {deflated(strings.Repeat("x", 10_000), 10_000*200+freeOfRatio+1), "more than 200 times"},
		"many bombs":             {torchArchive(bombs(5)...), "unpack to more than"},
		"own name another":       {with(member{name: "m/x", localName: "m/y", size: -1}), "own header"},
		"own name longer":        {with(member{name: "m/x", localName: "m/xy", size: -1}), "own header"},
		"own flags others":       {with(member{name: "m/x", size: -1, localFlags: 1}), "own header"},
		"own size another":       {with(member{name: "m/x", size: -1, localSize: 1}), "own sizes"},
		"reaches into directory": {with(member{name: "m/x", size: 1000, compressed: 1000, descriptor: true}), "reaches into its directory"},
		"lies in the directory":  {with(member{name: "m/x", size: -1, offset: 1 << 20}), "something lies between"},
		"wide, not needed":       {with(member{name: "m/x", size: -1, extra: wideExtra(1)}), "wide sizes"},
		"wide, missing":          {with(member{name: "m/x", size: saturated32, compressed: saturated32}), "wide sizes"},
		"wide, too short":        {with(member{name: "m/x", size: saturated32, compressed: saturated32, extra: wideExtra(saturated32)}), "wide sizes"},
		"wide, too small":        {with(member{name: "m/x", size: saturated32, compressed: saturated32, extra: wideExtra(5, 5)}), "wide sizes"},
		"wide, negative":         {with(member{name: "m/x", size: saturated32, compressed: saturated32, extra: wideExtra(1<<63, 1<<63)}), "wide sizes"},
		"wide, larger than file": {with(member{name: "m/x", size: saturated32, compressed: saturated32, extra: wideExtra(1<<40, 1<<40)}), "larger than the file"},
		"extra cut":              {with(member{name: "m/x", size: -1, extra: []byte{1, 0, 9}}), "wide sizes"},
		"extra too long":         {with(member{name: "m/x", size: -1, extra: []byte{7, 0, 9, 0}}), "wide sizes"},
		"no version":             {archive{members: torchArchive().members[:3]}, "no version"},
		"no code":                {archive{members: torchArchive().members[:2]}, "no code"},
		"no model at all":        {archive{members: []member{stored("m/x", "x")}}, "no data.pkl"},
	}
	for name, c := range cases {
		wantRefused(t, name, c.archive.build(), c.words)
	}
	for length := range endBytes + 1 {
		wantRefused(t, "short", make([]byte, length), "")
	}
}

// bombs unpack to 60 MiB each, each within its ratio.
func bombs(n int) (members []member) {
	for i := range n {
		members = append(members, member{
			name: "m/code/" + strings.Repeat("b", i+1), content: strings.Repeat("x", 320<<10), size: 60 << 20, method: methodDeflate,
		})
	}
	return members
}

func TestLimitsAreLimits(t *testing.T) {
	file := torchArchive().build()
	for name, limits := range map[string]func(*ArchiveLimits){
		"bytes":     func(l *ArchiveLimits) { l.ArchiveBytes = int64(len(file)) - 1 },
		"entries":   func(l *ArchiveLimits) { l.Entries = 4 },
		"directory": func(l *ArchiveLimits) { l.DirectoryBytes = 100 },
		"inflated":  func(l *ArchiveLimits) { l.InflatedBytes = 29 },
		"names":     func(l *ArchiveLimits) { l.NameBytes = 8 },
	} {
		l := DefaultArchiveLimits()
		limits(&l)
		if _, err := CheckArchive(bytes.NewReader(file), int64(len(file)), l); refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	file, err := os.ReadFile("testdata/scripted.pt")
	if err != nil {
		t.Fatal(err)
	}
	for length := range file {
		wantRefused(t, "cut", file[:length], "")
	}
	// Shorter than it was said to be: the file changed while it was read.
	if _, err := CheckArchive(bytes.NewReader(file[:len(file)-1]), int64(len(file)), DefaultArchiveLimits()); refusal.KindOf(err) != refusal.InvalidArgument {
		t.Errorf("got %v", err)
	}
}

// sparse is a large file of zeros with a beginning and an end.
type sparse struct {
	head, tail []byte
	size       int64
}

func (s sparse) ReadAt(into []byte, offset int64) (int, error) {
	for i := range into {
		switch at := offset + int64(i); {
		case at < int64(len(s.head)):
			into[i] = s.head[at]
		case at >= s.size-int64(len(s.tail)) && at < s.size:
			into[i] = s.tail[at-s.size+int64(len(s.tail))]
		case at >= s.size:
			return i, io.EOF
		default:
			into[i] = 0
		}
	}
	return len(into), nil
}

// Weights of more than 4 GiB need wide sizes, and get them.
func TestALargeModelIsTaken(t *testing.T) {
	le := binary.LittleEndian
	const weights = 5 << 30
	big := stored("m/data/0", "")
	big.extra = le.AppendUint64(le.AppendUint64(le.AppendUint16(le.AppendUint16(nil, tagZip64), 16), weights), weights)
	big.descriptor = true
	limits := DefaultArchiveLimits()
	limits.ArchiveBytes = 8 << 30
	// It is built with nothing in the last entry; then the data are made to be there, and what comes after moves.
	last := torchArchive()
	last.members = append(last.members[1:], big)
	file := last.build()
	directory := bytes.Index(file, []byte{'P', 'K', 1, 2})
	tail := bytes.Clone(file[directory-16:]) // from the descriptor on
	at := 16
	for range 4 {
		at += centralBytes + int(le.Uint16(tail[at+28:])) + int(le.Uint16(tail[at+30:]))
	}
	le.PutUint32(tail[at+20:], saturated32)
	le.PutUint32(tail[at+24:], saturated32)
	end := tail[len(tail)-endBytes-locator64Bytes-end64Bytes:]
	le.PutUint64(end[48:], le.Uint64(end[48:])+weights)
	le.PutUint64(end[end64Bytes+8:], le.Uint64(end[end64Bytes+8:])+weights)
	le.PutUint32(end[end64Bytes+locator64Bytes+16:], saturated32)
	size := int64(len(file)) + weights
	got, err := CheckArchive(sparse{head: file[:directory-16], tail: tail, size: size}, size, limits)
	if err != nil || got.InflatedBytes != weights+6+1+2+30 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Nothing makes the check fail otherwise than by refusing, and what it takes a stricter eye would take too.
func FuzzArchive(f *testing.F) {
	for _, name := range []string{"testdata/scripted.pt", "testdata/state_dict.pt"} {
		file, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Add(torchArchive().build())
	narrow := torchArchive()
	narrow.wide = false
	f.Add(narrow.build())
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := check(file)
		if err != nil {
			if refusal.KindOf(err) != refusal.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		if got.Entries < 3 || got.InflatedBytes < 0 || got.Root == "" || strings.Contains(got.Root, "/") {
			t.Fatalf("taken as %+v", got)
		}
	})
}
