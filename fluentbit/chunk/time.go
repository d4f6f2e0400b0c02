package chunk

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TimeFormat is how a JSON record's time is written: those of Fluent Bit's
// json_date_format, and ISO 8601 with nanoseconds.
type TimeFormat uint8

const (
	Iso8601          TimeFormat = iota // "2026-11-23T02:08:25.743042Z"
	Iso8601Nano                        // "2026-11-23T02:08:25.743042951Z"
	Epoch                              // 1795399705
	EpochMillis                        // 1795399705743
	Double                             // 1795399705.743043
	JavaSQLTimestamp                   // "2026-11-23 02:08:25.743042"
)

var timeFormats = [...]string{"iso8601", "iso8601_ns", "epoch", "epoch_ms", "double", "java_sql_timestamp"}

// ParseTimeFormat is the format of that name, in any case.
func ParseTimeFormat(name string) (TimeFormat, error) {
	lower := strings.ToLower(name)
	switch lower {
	case "epoch_millis", "epoch_milliseconds": // Fluent Bit's other names
		return EpochMillis, nil
	}
	for f, text := range timeFormats {
		if lower == text {
			return TimeFormat(f), nil
		}
	}
	return 0, fmt.Errorf("parse time format %q: use %s", name, strings.Join(timeFormats[:], ", "))
}

// String is the name that ParseTimeFormat takes.
func (f TimeFormat) String() string {
	if int(f) < len(timeFormats) {
		return timeFormats[f]
	}
	return fmt.Sprintf("TimeFormat(%d)", uint8(f))
}

// clock writes times. Most are of the same second as the one before, whose text
// it keeps.
type clock struct {
	format TimeFormat
	second int64
	text   []byte // of the second, with the quote before it; nil: none yet
}

func (c *clock) append(dst []byte, t time.Time) []byte {
	ns := t.Nanosecond()
	switch c.format {
	case Epoch:
		return strconv.AppendInt(dst, t.Unix(), 10)
	case EpochMillis:
		return strconv.AppendInt(dst, t.UnixMilli(), 10)
	case Double:
		return appendFloat(dst, float64(t.Unix())+float64(ns)/1e9)
	}
	if second := t.Unix(); second != c.second || c.text == nil {
		layout := `"2006-01-02T15:04:05.`
		if c.format == JavaSQLTimestamp {
			layout = `"2006-01-02 15:04:05.`
		}
		c.second, c.text = second, t.UTC().AppendFormat(c.text[:0], layout)
	}
	dst = append(dst, c.text...)
	micros, rest := uint32(ns)/1000, uint32(ns)%1000
	dst = append(dst,
		byte('0'+micros/100000), byte('0'+micros/10000%10), byte('0'+micros/1000%10),
		byte('0'+micros/100%10), byte('0'+micros/10%10), byte('0'+micros%10))
	switch c.format {
	case Iso8601Nano:
		return append(dst, byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10), 'Z', '"')
	case JavaSQLTimestamp:
		return append(dst, '"')
	}
	return append(dst, 'Z', '"')
}
