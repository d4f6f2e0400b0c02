package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const noon = 1795401505743042951

// golden are frames that moby's own encoder has written (v28.3).
var golden = []struct {
	entry Entry
	frame string
}{
	{Entry{Source: "stdout", Time: noon, Line: []byte("hello")},
		"\x00\x00\x00\x19\n\x06stdout\x10\x87\xf3\x8f\x98\x83\x85\xa3\xf5\x18\x1a\x05hello"},
	{Entry{Source: "stderr", Time: noon},
		"\x00\x00\x00\x12\n\x06stderr\x10\x87\xf3\x8f\x98\x83\x85\xa3\xf5\x18"},
	{Entry{Source: "stdout", Time: noon, Line: bytes.Repeat([]byte("x"), 200), Partial: true, ID: "3b1ff29c7fcb5e4a8d4d9d5ac5b57d2e4cc14a3c1f9e1b27f7d17f62b9e51b0f", Ordinal: 1},
		"\x00\x00\x01%\n\x06stdout\x10\x87\xf3\x8f\x98\x83\x85\xa3\xf5\x18\x1a\xc8\x01" + strings.Repeat("x", 200) + " \x01*D\x12@3b1ff29c7fcb5e4a8d4d9d5ac5b57d2e4cc14a3c1f9e1b27f7d17f62b9e51b0f\x18\x01"},
	{Entry{Source: "stdout", Time: noon, Line: []byte("end"), Partial: true, Last: true, ID: "a1", Ordinal: 300},
		"\x00\x00\x00$\n\x06stdout\x10\x87\xf3\x8f\x98\x83\x85\xa3\xf5\x18\x1a\x03end \x01*\t\b\x01\x12\x02a1\x18\xac\x02"},
	{Entry{Source: "stdout", Time: 1, Partial: true},
		"\x00\x00\x00\x0e\n\x06stdout\x10\x01 \x01*\x00"},
	{Entry{Time: -1, Line: []byte{0, 10, 255}, Partial: true, Ordinal: -5},
		"\x00\x00\x00\x1f\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x03\x00\n\xff \x01*\v\x18\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
	{Entry{Source: "tty", Line: []byte("\n")},
		"\x00\x00\x00\b\n\x03tty\x1a\x01\n"},
}

func equal(a, b *Entry) bool {
	return a.Source == b.Source && a.Time == b.Time && bytes.Equal(a.Line, b.Line) &&
		a.Partial == b.Partial && a.Last == b.Last && a.ID == b.ID && a.Ordinal == b.Ordinal
}

func TestGolden(t *testing.T) {
	var all []byte
	for _, tt := range golden {
		if got := Append([]byte("before"), &tt.entry); string(got) != "before"+tt.frame {
			t.Errorf("%+v:\n%q, want\n%q", tt.entry, got[6:], tt.frame)
		}
		all = append(all, tt.frame...)
	}
	var e Entry // used again, so that nothing may stay of the one before
	for _, tt := range golden {
		n, err := Size(all)
		if err != nil || n != len(tt.frame) {
			t.Fatalf("size %d, %v, want %d", n, err, len(tt.frame))
		}
		if err := e.Decode(all[:n]); err != nil || !equal(&e, &tt.entry) {
			t.Errorf("%v: %+v, want %+v", err, e, tt.entry)
		}
		all = all[n:]
	}
}

// entryMessage is moby's entry.proto.
var entryMessage = func() protoreflect.MessageDescriptor {
	field := func(name string, number int32, typ descriptorpb.FieldDescriptorProto_Type, message string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: &typ, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if message != "" {
			f.TypeName = &message
		}
		return f
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("entry.proto"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("LogEntry"), Field: []*descriptorpb.FieldDescriptorProto{
				field("source", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING, ""),
				field("time_nano", 2, descriptorpb.FieldDescriptorProto_TYPE_INT64, ""),
				field("line", 3, descriptorpb.FieldDescriptorProto_TYPE_BYTES, ""),
				field("partial", 4, descriptorpb.FieldDescriptorProto_TYPE_BOOL, ""),
				field("partial_log_metadata", 5, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".PartialLogEntryMetadata"),
			}},
			{Name: proto.String("PartialLogEntryMetadata"), Field: []*descriptorpb.FieldDescriptorProto{
				field("last", 1, descriptorpb.FieldDescriptorProto_TYPE_BOOL, ""),
				field("id", 2, descriptorpb.FieldDescriptorProto_TYPE_STRING, ""),
				field("ordinal", 3, descriptorpb.FieldDescriptorProto_TYPE_INT32, ""),
			}},
		},
	}, nil)
	if err != nil {
		panic(err)
	}
	return file.Messages().ByName("LogEntry")
}()

// reference is e's frame as the protobuf library writes it.
func reference(t testing.TB, e *Entry) []byte {
	m := dynamicpb.NewMessage(entryMessage)
	set := func(m protoreflect.Message, name protoreflect.Name, v any) {
		m.Set(m.Descriptor().Fields().ByName(name), protoreflect.ValueOf(v))
	}
	set(m, "source", e.Source)
	set(m, "time_nano", e.Time)
	set(m, "line", e.Line)
	set(m, "partial", e.Partial)
	if e.Partial {
		metadata := m.Mutable(entryMessage.Fields().ByName("partial_log_metadata")).Message()
		set(metadata, "last", e.Last)
		set(metadata, "id", e.ID)
		set(metadata, "ordinal", e.Ordinal)
	}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

func FuzzAppend(f *testing.F) {
	for _, tt := range golden {
		e := tt.entry
		f.Add(e.Source, e.Time, e.Line, e.Partial, e.Last, e.ID, e.Ordinal)
	}
	f.Add("stdout", int64(math.MinInt64), []byte("\n\x06stdout"), true, true, strings.Repeat("i", 128), int32(math.MinInt32))
	f.Fuzz(func(t *testing.T, source string, time int64, line []byte, partial, last bool, id string, ordinal int32) {
		source, id = strings.ToValidUTF8(source, ""), strings.ToValidUTF8(id, "")
		e := Entry{Source: source, Time: time, Line: line, Partial: partial}
		if partial {
			e.Last, e.ID, e.Ordinal = last, id, ordinal
		}
		frame := Append(nil, &e)
		if want := reference(t, &e); !bytes.Equal(frame, want) {
			t.Fatalf("%+v:\n%q, want\n%q", e, frame, want)
		}
		if len(frame) == header || len(frame) > header+MaxSize {
			return
		}
		got := Entry{Source: "old", Time: 1, Line: []byte("old"), Partial: true, Last: true, ID: "old", Ordinal: 1}
		if err := got.Decode(frame); err != nil || !equal(&got, &e) {
			t.Fatalf("%v: %+v, want %+v", err, got, e)
		}
		for i := range frame {
			if n, err := Size(frame[:i]); err != nil || n != 0 && n != len(frame) || i > header && n == 0 {
				t.Fatalf("size of %q: %d, %v", frame[:i], n, err)
			}
		}
		if source == "stdout" || source == "stderr" {
			if i := Resync(frame); i != 0 {
				t.Fatalf("resync drops %d of %q", i, frame)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, tt := range golden {
		f.Add([]byte(tt.frame))
		f.Add([]byte(tt.frame + tt.frame[:7]))
	}
	f.Add([]byte("\x00\x00\x00\x06\x10\x01\x1a\xff\xff\x7f")) // a line longer than the frame
	f.Add([]byte("\x00\x00\x00\x02\x33\x34"))                 // a group
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clip(b) // reading behind it is a fault
		n, err := Size(b)
		if n < 0 || n > header+MaxSize || err != nil && (n != 0 || !errors.Is(err, ErrGarbled)) || n == 0 && err == nil && len(b) > header {
			t.Fatalf("size %d, %v", n, err)
		}
		var e, again Entry
		if err := e.Decode(b); err == nil {
			if n != len(b) {
				t.Fatalf("decoded %d bytes, size %d", len(b), n)
			}
			if !e.Partial {
				e.Last, e.ID, e.Ordinal = false, "", 0
			}
			if frame := Append(nil, &e); len(frame) > header {
				if err := again.Decode(frame); err != nil || !equal(&again, &e) {
					t.Fatalf("%v: %+v, then %+v", err, e, again)
				}
			}
		} else if !errors.Is(err, ErrGarbled) {
			t.Fatal(err)
		}

		i := Resync(b)
		if i < 0 || i > len(b) || i == 0 && err != nil {
			t.Fatalf("resync drops %d of %q, size says %v", i, b, err)
		}
		if rest := b[i:]; len(rest) > header+len("\n\x06stdout") {
			n, err := Size(rest)
			if err != nil || n == 0 || !strings.HasPrefix(string(rest[header:]), "\n\x06std") {
				t.Fatalf("resync stops at %q: size %d, %v", rest[:12], n, err)
			}
		}
		if Resync(b[i:]) != 0 {
			t.Fatalf("resync of %q stops at %d, then goes on", b, i)
		}
	})
}

func TestSize(t *testing.T) {
	for _, tt := range []struct {
		b    string
		want int
		bad  bool
	}{
		{"", 0, false},
		{"\x00\x00\x00", 0, false},
		{"\x00\x00\x00\x01", 0, false},
		{"\x00\x00\x00\x01\x0a", 5, false},
		{"\x00\x00\x00\x01\x10", 5, false},
		{"\x01\x00\x00\x00\x1a", 4 + MaxSize, false},
		{"\x01\x00\x00\x00", 0, false},
		{"\x01\x00\x00\x01", 0, true},
		{"\xff\xff\xff\xff\x0a", 0, true},
		{"\x00\x00\x00\x00", 0, true},
		{"\x00\x00\x00\x00\x0a", 0, true},
		{"\x00\x00\x00\x05\x00", 0, true},
		{"\x00\x00\x00\x05\x0b", 0, true},
		{"\x00\x00\x00\x05hello", 0, true},
		{"log line", 0, true},
	} {
		if n, err := Size([]byte(tt.b)); n != tt.want || errors.Is(err, ErrGarbled) != tt.bad {
			t.Errorf("%q: %d, %v", tt.b, n, err)
		}
	}
}

func TestResync(t *testing.T) {
	whole := golden[0].frame
	for _, tt := range []struct {
		junk, rest string
	}{
		{"", ""},
		{"", whole},
		{"junk", whole},
		{whole[1:], whole},
		{whole[5:], whole + whole},
		{strings.Repeat("\x00", 1000), whole},
		{"\x00\x00\x00\x05hello", golden[1].frame},
		{"\x00\x00\x00\x19\n\x06stdoux\x10\x01", whole[:12]},
		{"\x00\x00\x00\x19\n\x06std", whole},    // a beginning that is cut off
		{"\x00\x00\x00\x07\n\x06stdout", whole}, // shorter than its source
		{"\x01\x00\x00\x01\n\x06stdout", whole}, // too long
		{golden[5].frame, whole},                // no source: not believed
		{golden[6].frame, whole},
		{"junk", whole[:1]}, // it may go on
		{"junk", whole[:4]},
		{"junk", whole[:5]},
		{"junk", whole[:11]},
		{"junk", "\x01"},
		{"junk\x02", ""},
		{"junk\x00", "\x00\x00\x05"}, // the first four cannot hold their source
		{"junk\x00\x00\x00\x19\x0b\xff\xff\xff", ""},
	} {
		if got := Resync([]byte(tt.junk + tt.rest)); got != len(tt.junk) {
			t.Errorf("%q and %q: %d, want %d", tt.junk, tt.rest, got, len(tt.junk))
		}
	}
}

func TestDecodeBad(t *testing.T) {
	frame := func(payload string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(payload)))) + payload
	}
	for name, b := range map[string]string{
		"nothing":             "",
		"length only":         "\x00\x00\x00\x05",
		"cut":                 golden[0].frame[:20],
		"more behind":         golden[0].frame + "x",
		"line too long":       frame("\x1a\x05four"),
		"length too long":     frame("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		"endless varint":      frame("\x10" + strings.Repeat("\x80", 20)),
		"field 0":             frame("\x10\x01\x02\x00"),
		"time as bytes":       frame("\x0a\x00\x12\x01x"),
		"line as varint":      frame("\x0a\x00\x18\x01"),
		"source as fixed":     frame("\x10\x01\x09\x01\x02\x03\x04\x05\x06\x07\x08"),
		"metadata cut":        frame("\x2a\x03\x12\x05a"),
		"metadata wrong type": frame("\x2a\x02\x0d\x01"),
		"id as varint":        frame("\x2a\x02\x10\x01"),
		"group without end":   frame("\x10\x01\x3b"),
	} {
		var e Entry
		if err := e.Decode([]byte(b)); !errors.Is(err, ErrGarbled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDecodeUnknown: fields of a newer dockerd are passed over, wherever they are,
// and the order does not matter.
func TestDecodeUnknown(t *testing.T) {
	payload := []byte("\x2a\x02\x18\x07") // ordinal
	payload = protowire.AppendString(protowire.AppendTag(payload, 6, protowire.BytesType), "attrs")
	payload = append(payload, "\x1a\x04line\x2a\x04\x22\x00\x08\x01"...) // the metadata's field 4, and last
	payload = protowire.AppendFixed64(protowire.AppendTag(payload, 1000, protowire.Fixed64Type), 1)
	payload = append(payload, "\x20\x01\x0a\x06stderr"...)
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
	var e Entry
	want := Entry{Source: "stderr", Line: []byte("line"), Partial: true, Last: true, Ordinal: 7}
	if err := e.Decode(frame); err != nil || !equal(&e, &want) {
		t.Errorf("%v: %+v, want %+v", err, e, want)
	}
}

// TestLineAliases: the line is in the frame, and appending to it leaves the frame alone.
func TestLineAliases(t *testing.T) {
	b := []byte(golden[3].frame)
	var e Entry
	if err := e.Decode(b); err != nil {
		t.Fatal(err)
	}
	_ = append(e.Line, "overwritten"...)
	if string(b) != golden[3].frame {
		t.Errorf("the frame is %q", b)
	}
	b[bytes.Index(b, []byte("end"))] = 'E'
	if string(e.Line) != "End" {
		t.Errorf("the line is %q", e.Line)
	}
}

func TestAllocs(t *testing.T) {
	var e Entry
	var buf []byte
	for i, tt := range golden[:4] {
		frame := []byte(tt.frame)
		if n := testing.AllocsPerRun(100, func() {
			if e.Decode(frame) != nil {
				t.Error("not decoded")
			}
		}); n != 0 { // the ID is that of the run before
			t.Errorf("decode frame %d: %v allocations", i, n)
		}
		if n := testing.AllocsPerRun(100, func() { buf = Append(buf[:0], &tt.entry) }); n != 0 {
			t.Errorf("append frame %d: %v allocations", i, n)
		}
	}
	junk := bytes.Repeat([]byte("\x00\x00\x00\x19\n\x06st"), 100)
	if n := testing.AllocsPerRun(100, func() { Resync(junk) }); n != 0 {
		t.Errorf("resync: %v allocations", n)
	}
}

func Benchmark(b *testing.B) {
	e := Entry{Source: "stdout", Time: noon, Line: bytes.Repeat([]byte("x"), 100)}
	frame := Append(nil, &e)
	junk := bytes.Repeat(frame[5:], 1<<20/len(frame))
	run := func(name string, size int, do func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
	var buf []byte
	run("append", len(frame), func() { buf = Append(buf[:0], &e) })
	run("decode", len(frame), func() { e.Decode(frame) })
	run("size", len(frame), func() { Size(frame) })
	run("resync", len(junk), func() { Resync(junk) })
}
