package frame

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Decode sets e to what a frame says, which must be whole and nothing more. Fields
// that it does not know are skipped. Line is a part of frame. An Entry that is used
// again costs no allocation but for an ID that differs from the one before.
// After an error e is of no use.
func (e *Entry) Decode(frame []byte) error {
	size, err := Size(frame)
	if err != nil || size == 0 || size != len(frame) {
		return fmt.Errorf("decode frame of %d bytes: %w", len(frame), ErrGarbled)
	}
	was := *e
	*e = Entry{}
	for rest := frame[header:]; len(rest) > 0; {
		var f field
		if f, rest, err = next(rest); err != nil {
			return err
		}
		switch f.tag {
		case tagSource:
			e.Source = text(f.b, was.Source)
		case tagTime:
			e.Time = int64(f.n)
		case tagLine:
			e.Line = slices.Clip(f.b) // so that an append to it spares the frame
		case tagPartial:
			e.Partial = f.n != 0
		case tagMetadata:
			err = e.decodeMetadata(f.b, was.ID)
		default:
			err = f.unknownAbove(tagMetadata)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Entry) decodeMetadata(message []byte, wasID string) (err error) {
	for len(message) > 0 && err == nil {
		var f field
		if f, message, err = next(message); err != nil {
			return err
		}
		switch f.tag {
		case tagLast:
			e.Last = f.n != 0
		case tagID:
			e.ID = text(f.b, wasID)
		case tagOrdinal:
			e.Ordinal = int32(f.n)
		default:
			err = f.unknownAbove(tagOrdinal)
		}
	}
	return err
}

// field is one of a message: its tag, and its value as n or b, whichever the tag says.
type field struct {
	tag uint64
	n   uint64
	b   []byte
}

// next gives the field that b begins with, and what is behind it.
func next(b []byte) (f field, rest []byte, err error) {
	num, typ, size := protowire.ConsumeTag(b)
	if size < 0 {
		return f, nil, fmt.Errorf("decode frame: %w: %w", ErrGarbled, protowire.ParseError(size))
	}
	f.tag = protowire.EncodeTag(num, typ)
	rest = b[size:]
	switch typ {
	case protowire.VarintType:
		f.n, size = protowire.ConsumeVarint(rest)
	case protowire.BytesType:
		f.b, size = protowire.ConsumeBytes(rest)
	default:
		size = protowire.ConsumeFieldValue(num, typ, rest)
	}
	if size < 0 {
		return f, nil, fmt.Errorf("decode frame: field %d: %w: %w", num, ErrGarbled, protowire.ParseError(size))
	}
	return f, rest[size:], nil
}

// unknownAbove returns an error unless f's number is greater than that of the last
// field that is known: below, the value is not of the type that the field has.
func (f field) unknownAbove(last uint64) error {
	if num := f.tag >> 3; num <= last>>3 {
		return fmt.Errorf("decode frame: field %d: %w: wire type %d", num, ErrGarbled, f.tag&7)
	}
	return nil
}

// text is string(b) without an allocation for what is usual, and for what was there
// before.
func text(b []byte, was string) string {
	switch {
	case string(b) == "stdout":
		return "stdout"
	case string(b) == "stderr":
		return "stderr"
	case string(b) == was:
		return was
	}
	return string(b)
}
